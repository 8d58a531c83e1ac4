"""(3) (4) Whose token it is, and ``SignedClaims`` -> ``Agent``: the only place that reads claims.

Every rule is an allow-list of the issuer's profile or of the route. ``now`` is an argument and no
library's claim check is used. A claim that is there but cannot be used refuses the token: what is
ignored today would be believed by somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.core.binding import confirmation_of
from sidecar.core.claims import TEXT, audience, claim_of, is_date, is_text, shown
from sidecar.core.delegation import Ancestry, ancestry
from sidecar.core.model import Agent, Call, JsonObject, Jws, Refused, Scope, SignedClaims
from sidecar.core.profile import ClaimNames, IssuerProfile
from sidecar.core.reasons import Reason
from sidecar.core.scope import scopes_of
from sidecar.core.spiffe import trust_domain_of

_DIGEST: Final = "sha256:"

# Keycloak puts a token's kind into its payload; any other word there is no access token.
_ACCESS_KINDS: Final = frozenset({"", "bearer", "dpop", "jwt"})
# Members that only other tokens have: security events and logout tokens (RFC 8417), ID tokens
# (OpenID Connect Core, section 3.3.2.11), DPoP proofs (RFC 9449), WIMSE proofs, status lists.
_OF_OTHER_TOKENS: Final = frozenset(
    (*("events", "toe"), *("at_hash", "c_hash", "s_hash"), "htm", "htu", "wth", "status_list")
)


def profile_of(jws: Jws, issuers: Mapping[str, IssuerProfile]) -> IssuerProfile | Refused:
    """Find the profile of the issuer that the token names, if it takes the token's header.

    Refused as ``ISSUER_UNKNOWN``, ``ALGORITHM_REFUSED`` or ``TYPE_REFUSED``.
    """
    issuer = issuers.get(jws.unverified_issuer)
    if issuer is None:
        return Refused(Reason.ISSUER_UNKNOWN, shown("iss", jws.unverified_issuer))
    if jws.algorithm not in issuer.algorithms:
        return Refused(Reason.ALGORITHM_REFUSED, shown("alg", jws.algorithm))
    if (jws.type or "") not in issuer.types:
        return Refused(Reason.TYPE_REFUSED, shown("typ", jws.type or ""))
    if issuer.plain_header and not jws.plain_header:
        return Refused(Reason.TYPE_REFUSED, "a header member beside alg, kid and typ")
    return issuer


# What ``admit`` checks, in this order; the code below carries the same numbers.
#
#  4.1  issuer     the key's, the claim's and the profile's are one string
#  4.2  kind       no ID, refresh, offline or logout token, no proof, no security event
#  4.3  status     none: no status list is asked here
#  4.4  spelling   no claim named like one of the profile's in another case
#  4.5  dates      exp and iat are dates, nbf too if it is there; now lies between them
#  4.6  lifetime   exp is after iat, and not by more than the profile allows
#  4.7  audience   the route's own, as an exact member
#  4.8  texts      sub, what is required, and what else is read, if it is there
#  4.9  tenant     one of the profile's, and the route's own
#  4.10 single use true or false if it is there
#  4.11 scopes     each well-formed and within the profile's ceiling (core/scope)
#  4.12 delegation well-formed, of a kind that the profile takes, ever narrower (core/delegation)
#  4.13 cnf        well-formed; core/binding compares it


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
        or audience(claims, call.audience, issuer)  # 4.7
        or _texts(claims, issuer)  # 4.8
        or _tenant(claims, issuer, call)  # 4.9
        or _single_use(claims, issuer.claims)  # 4.10
    )
    if refused is not None:
        return refused
    scopes = scopes_of(claims, issuer)  # 4.11
    if isinstance(scopes, Refused):
        return scopes
    depth, leeway = issuer.max_depth, issuer.leeway
    descent = ancestry(signed, issuer.delegation, scopes, leeway=leeway, max_depth=depth)  # 4.12
    if isinstance(descent, Refused):
        return descent
    return _agent(signed, issuer, scopes, descent)


def _agent(
    signed: SignedClaims, issuer: IssuerProfile, scopes: tuple[Scope, ...], descent: Ancestry
) -> Agent | Refused:
    if foreign := _foreign(descent, signed.claims, issuer):  # 4.12
        return foreign
    confirmation = confirmation_of(signed.claims)  # 4.13
    if isinstance(confirmation, Refused):
        return confirmation
    claims, names = signed.claims, issuer.claims
    ends = _end_of(claims, names)
    return Agent(
        issuer=issuer.issuer,
        tenant=_tenant_of(claims, issuer),
        subject=claims["sub"],
        agent=claim_of(claims, names.agent, descent.actor),
        task=claim_of(claims, names.task, ""),
        session=claim_of(claims, names.session, ""),
        scopes=scopes,
        # What was signed is the name of a token that has none.
        jti=claims.get("jti") or f"{_DIGEST}{signed.digest.hex()}",
        kid=signed.key.kid,
        issued_at=float(claims["iat"]),
        expires_at=ends,
        usable_until=ends + issuer.leeway,
        single_use=claim_of(claims, names.single_use, False),
        ancestors=descent.ancestors,
        actor=descent.actor,
        actor_issuer=descent.actor_issuer,
        confirmation=confirmation,
        policy_version=claims.get("policy_version", ""),
        capability_hash=claims.get("capability_hash", ""),
    )


def _foreign(descent: Ancestry, claims: JsonObject, issuer: IssuerProfile) -> Refused | None:
    """Refuse names that are not this issuer's to give, or that nobody could revoke."""
    issuers = {descent.actor_issuer, *(ancestor.issuer for ancestor in descent.ancestors)}
    if issuers - {""} - issuer.actor_issuers:
        return Refused(Reason.DELEGATION_REFUSED, "act.iss may not name an actor here")
    # Without a claim for the agent, another issuer's name would be taken for one of ours.
    if descent.actor_issuer and not claim_of(claims, issuer.claims.agent, ""):
        return Refused(Reason.DELEGATION_REFUSED, "a foreign actor, and no agent claim")
    return None


def _origin(signed: SignedClaims, issuer: IssuerProfile) -> Refused | None:
    claims, names = signed.claims, issuer.claims
    # 4.1
    said = claims.get("iss") or (issuer.issuer_optional and trust_domain_of(claims.get("sub")))
    if not said == signed.key.issuer == issuer.issuer:
        return Refused(Reason.ISSUER_UNKNOWN, "iss, key and profile differ")
    # 4.2
    kind = claims.get("typ", "")
    if not isinstance(kind, str) or kind.casefold() not in _ACCESS_KINDS:
        return Refused(Reason.TYPE_REFUSED, "typ says that it is no access token")
    for name in _OF_OTHER_TOKENS & claims.keys():
        return Refused(Reason.TYPE_REFUSED, f"{name} is no claim of an access token")
    # 4.3
    if "status" in claims:
        return Refused(Reason.CLAIM_INVALID, "status: no status list is asked here")
    # 4.4
    exact = {names.agent, names.tenant, names.scope, names.task, names.session, names.single_use}
    folded = {name.casefold() for name in exact | issuer.required}
    for name in claims.keys() - exact - issuer.required:
        if name.casefold() in folded:
            return Refused(Reason.CLAIM_INVALID, shown("another case", name))
    return None


def _time(claims: JsonObject, issuer: IssuerProfile, now: float) -> Refused | None:
    # 4.5
    early = issuer.claims.ends_early
    for name in ("exp", "iat", "nbf"):
        if not is_date(claims.get(name)) and (name in claims or name != "nbf"):
            return Refused(Reason.CLAIM_INVALID, name)
    if not is_date(claim_of(claims, early, 0)):
        return Refused(Reason.CLAIM_INVALID, early)
    expires, issued = _end_of(claims, issuer.claims), claims["iat"]
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


def _end_of(claims: JsonObject, names: ClaimNames) -> float:
    expires = float(claims["exp"])
    return min(expires, float(claim_of(claims, names.ends_early, expires)))


def _texts(claims: JsonObject, issuer: IssuerProfile) -> Refused | None:
    # 4.8
    for name in ("sub", *issuer.required):
        if not is_text(claims.get(name)):
            return Refused(Reason.CLAIM_INVALID, name)
    names = issuer.claims
    read = (names.agent, names.task, names.session, "jti", "policy_version", "capability_hash")
    for name in read:
        if not is_text(claim_of(claims, name, TEXT)):
            return Refused(Reason.CLAIM_INVALID, name)
    # Where a token may go without a jti, its digest is one: no other token may be called so.
    if "jti" not in issuer.required and claims.get("jti", "").startswith(_DIGEST):
        return Refused(Reason.CLAIM_INVALID, "jti")
    if issuer.trust_domain and trust_domain_of(claims["sub"]) != issuer.trust_domain:
        return Refused(Reason.CLAIM_INVALID, f"sub is not in {issuer.trust_domain}")
    return None


def _tenant(claims: JsonObject, issuer: IssuerProfile, call: Call) -> Refused | None:
    # 4.9
    tenant = _tenant_of(claims, issuer)
    if tenant not in issuer.tenants:
        return Refused(Reason.TENANT_NOT_OF_ISSUER, f"{issuer.claims.tenant} of {issuer.name}")
    if not is_text(tenant):
        return Refused(Reason.CLAIM_INVALID, issuer.claims.tenant)
    if call.tenant is not None and tenant != call.tenant:
        return Refused(Reason.TENANT_MISMATCH, f"{tenant}; the route takes {call.tenant}")
    return None


def _tenant_of(claims: JsonObject, issuer: IssuerProfile) -> str:
    if issuer.claims.tenant:
        said = claim_of(claims, issuer.claims.tenant, "")
        return said if isinstance(said, str) else ""
    return next(iter(issuer.tenants)) if len(issuer.tenants) == 1 else ""


def _single_use(claims: JsonObject, names: ClaimNames) -> Refused | None:
    # 4.10
    if isinstance(claim_of(claims, names.single_use, False), bool):
        return None
    return Refused(Reason.CLAIM_INVALID, names.single_use)
