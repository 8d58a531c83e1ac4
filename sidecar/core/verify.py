"""(3) (4) Whose token it is, and ``SignedClaims`` -> ``Agent``: the only place that reads claims.

Every rule is an allow-list of the issuer's profile or of the route. ``now`` is an argument and no
library's claim check is used. A claim that is there but cannot be used refuses the token: what is
ignored today would be believed by somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from sidecar.core.model import Agent, Call, JsonObject, Jws, Refused, Scope, SignedClaims
from sidecar.core.profile import ClaimNames, IssuerProfile
from sidecar.core.reasons import Reason
from sidecar.core.scope import covered, parse_scope

_MAX_SCOPES: Final = 100
_LAST_DATE: Final = 2**53  # beyond it a double skips seconds
_MAX_SHOWN: Final = 256

# All of an agent's texts may end up in a header: visible ASCII, so no line ends and no spaces.
_TEXT: Final = re.compile(r"[!-~]{1,256}")

# Keycloak puts a token's kind into its payload; none of these is an access token.
_OTHER_KINDS: Final = frozenset({"id", "refresh", "offline", "logout"})
_NOT_SUPPORTED: Final = ("cnf", "act", "may_act", "delegation_chain")


def profile_of(jws: Jws, issuers: Mapping[str, IssuerProfile]) -> IssuerProfile | Refused:
    """Find the profile of the issuer that the token names, if it takes the ``alg`` and ``typ``.

    Refused as ``ISSUER_UNKNOWN``, ``ALGORITHM_REFUSED`` or ``TYPE_REFUSED``.
    """
    issuer = issuers.get(jws.unverified_issuer)
    if issuer is None:
        return Refused(Reason.ISSUER_UNKNOWN, _shown("iss", jws.unverified_issuer))
    if jws.algorithm not in issuer.algorithms:
        return Refused(Reason.ALGORITHM_REFUSED, _shown("alg", jws.algorithm))
    if (jws.type or "") not in issuer.types:
        return Refused(Reason.TYPE_REFUSED, _shown("typ", jws.type or ""))
    return issuer


# What ``admit`` checks, in this order; the code below carries the same numbers.
#
#  4.1  issuer     the key's, the claim's and the profile's are one string
#  4.2  kind       no ID, refresh, offline or logout token, no security event (RFC 8417)
#  4.3  bindings   sender-constrained and delegated tokens are not supported yet
#  4.4  spelling   no claim named like one of the profile's in another case
#  4.5  dates      exp and iat are dates, nbf too if it is there; now lies between them
#  4.6  lifetime   exp is after iat, and not by more than the profile allows
#  4.7  audience   the route's own, as an exact member
#  4.8  texts      sub and jti; agent, task and session if they are there
#  4.9  tenant     one of the profile's, and the route's own
#  4.10 single use true or false if it is there
#  4.11 scopes     each well-formed and within the profile's ceiling


def admit(
    signed: SignedClaims, issuer: IssuerProfile, call: Call, *, now: float
) -> Agent | Refused:
    """Make the agent that these claims stand for, at ``now`` (seconds since the epoch).

    Refused with the reason of the first check that fails; ``CLAIM_INVALID`` names the claim in its
    detail. Sources: RFC 7519 section 4.1, RFC 8725 section 3, RFC 9068 section 4.
    """
    claims = signed.claims
    refused = (
        _origin(signed, issuer)  # 4.1 4.2 4.3 4.4
        or _time(claims, issuer, now)  # 4.5 4.6
        or _audience(claims.get("aud"), call.audience)  # 4.7
        or _texts(claims, issuer.claims)  # 4.8
        or _tenant(claims, issuer, call)  # 4.9
        or _single_use(claims, issuer.claims)  # 4.10
    )
    if refused is not None:
        return refused
    scopes = _scopes(claims.get(issuer.claims.scope), issuer)  # 4.11
    if isinstance(scopes, Refused):
        return scopes
    return _agent(signed, issuer, scopes)


def _agent(signed: SignedClaims, issuer: IssuerProfile, scopes: tuple[Scope, ...]) -> Agent:
    claims, names = signed.claims, issuer.claims
    return Agent(
        issuer=issuer.issuer,
        tenant=claims[names.tenant],
        subject=claims["sub"],
        agent=claims.get(names.agent, claims["sub"]),
        task=claims.get(names.task, ""),
        session=claims.get(names.session, ""),
        scopes=scopes,
        jti=claims["jti"],
        kid=signed.key.kid,
        issued_at=float(claims["iat"]),
        expires_at=float(claims["exp"]),
        usable_until=float(claims["exp"]) + issuer.leeway,
        single_use=claims.get(names.single_use, False),
    )


def _origin(signed: SignedClaims, issuer: IssuerProfile) -> Refused | None:
    claims, names = signed.claims, issuer.claims
    # 4.1
    if not claims.get("iss") == signed.key.issuer == issuer.issuer:
        return Refused(Reason.ISSUER_UNKNOWN, "iss, key and profile differ")
    # 4.2
    kind = claims.get("typ", "")
    if not isinstance(kind, str) or kind.casefold() in _OTHER_KINDS or "events" in claims:
        return Refused(Reason.TYPE_REFUSED, "not an access token")
    # 4.3
    for name in _NOT_SUPPORTED:
        if name in claims:
            return Refused(Reason.CLAIM_INVALID, f"{name} is not supported yet")
    # 4.4
    exact = {names.agent, names.tenant, names.scope, names.task, names.session, names.single_use}
    folded = {name.casefold() for name in exact}
    for name in claims.keys() - exact:
        if name.casefold() in folded:
            return Refused(Reason.CLAIM_INVALID, _shown("another case", name))
    return None


def _time(claims: JsonObject, issuer: IssuerProfile, now: float) -> Refused | None:
    # 4.5
    for name in ("exp", "iat", "nbf"):
        if not _is_date(claims.get(name)) and (name in claims or name != "nbf"):
            return Refused(Reason.CLAIM_INVALID, name)
    expires, issued = claims["exp"], claims["iat"]
    if not expires > now - issuer.leeway:  # RFC 7519: on or after exp, it is over
        return Refused(Reason.TOKEN_EXPIRED)
    for name in ("iat", "nbf"):
        if claims.get(name, issued) > now + issuer.leeway:
            return Refused(Reason.TOKEN_NOT_YET_VALID, name)
    # 4.6
    if expires <= issued:
        return Refused(Reason.CLAIM_INVALID, "exp is not after iat")
    if expires - issued > issuer.max_lifetime:
        return Refused(Reason.LIFETIME_EXCEEDED, f"{expires - issued} s")
    return None


def _is_date(value: object) -> bool:
    """Tell whether it is a finite number of seconds; to Python, True is a number too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_LAST_DATE <= value <= _LAST_DATE


def _audience(value: Any, wanted: str) -> Refused | None:
    # 4.7: RFC 7519 section 4.1.3, one string or several
    members = [value] if isinstance(value, str) else value
    if (
        isinstance(members, list)
        and all(isinstance(member, str) and member not in ("", "*") for member in members)
        and wanted in members
    ):
        return None
    return Refused(Reason.AUDIENCE_REFUSED, f"wants {wanted}")


def _texts(claims: JsonObject, names: ClaimNames) -> Refused | None:
    # 4.8
    for name in ("sub", "jti"):
        if not _is_text(claims.get(name)):
            return Refused(Reason.CLAIM_INVALID, name)
    for name in (names.agent, names.task, names.session):
        if name in claims and not _is_text(claims[name]):
            return Refused(Reason.CLAIM_INVALID, name)
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str) and _TEXT.fullmatch(value) is not None


def _tenant(claims: JsonObject, issuer: IssuerProfile, call: Call) -> Refused | None:
    # 4.9
    tenant = claims.get(issuer.claims.tenant)
    if not isinstance(tenant, str) or tenant not in issuer.tenants:
        return Refused(Reason.TENANT_NOT_OF_ISSUER, f"{issuer.claims.tenant} of {issuer.name}")
    if not _is_text(tenant):
        return Refused(Reason.CLAIM_INVALID, issuer.claims.tenant)
    if call.tenant is not None and tenant != call.tenant:
        return Refused(Reason.TENANT_MISMATCH, f"{tenant}; the route takes {call.tenant}")
    return None


def _single_use(claims: JsonObject, names: ClaimNames) -> Refused | None:
    # 4.10
    if isinstance(claims.get(names.single_use, False), bool):
        return None
    return Refused(Reason.CLAIM_INVALID, names.single_use)


def _scopes(value: object, issuer: IssuerProfile) -> tuple[Scope, ...] | Refused:
    # 4.11: an array as AgentWrit has it, or the string of RFC 9068
    items = value.split(" ") if isinstance(value, str) else value
    if not isinstance(items, list) or not 0 < len(items) <= _MAX_SCOPES:
        return Refused(Reason.CLAIM_INVALID, issuer.claims.scope)
    scopes: list[Scope] = []
    for item in items:
        scope = parse_scope(item) if isinstance(item, str) else None
        if scope is None:
            return Refused(Reason.CLAIM_INVALID, issuer.claims.scope)
        if not covered(scope, issuer.ceiling):
            return Refused(Reason.SCOPE_ABOVE_CEILING, str(scope))
        scopes.append(scope)
    return tuple(scopes)


def _shown(name: str, value: str) -> str:
    """Shorten and escape a value that somebody else chose, for the record."""
    return f"{name} {value[:_MAX_SHOWN]!r}"
