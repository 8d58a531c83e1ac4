"""Why the gate refuses, in words that tell an operator where to look.

A caller never hears any of this. Every text may hold values of the token: ``plain`` makes them fit
for a terminal before they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.cli.plain import moment, since, span, value
from sidecar.core.claims import claim_of, is_date
from sidecar.core.freshness import Limit
from sidecar.core.model import Call, JsonObject, Refused
from sidecar.core.profile import IssuerProfile
from sidecar.core.reasons import Reason
from sidecar.nearest import unknown_name


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known when something is refused."""

    now: float
    claims: JsonObject = field(default_factory=dict, repr=False)
    header: JsonObject = field(default_factory=dict, repr=False)
    issuer: IssuerProfile | None = None
    known_issuers: Iterable[str] = ()
    call: Call | None = None
    limits: Mapping[str, Limit] = field(default_factory=dict)
    """The limits on the call's age, by their place in the settings."""
    lacks: str = ""
    """What the token was minted for is not this."""


_Hint = Callable[[Circumstances, IssuerProfile, Refused], str]


def hint_for(refused: Refused, around: Circumstances) -> str:
    """Say what that means here, and what could be done; empty when the reason says it all."""
    if refused.reason is Reason.ISSUER_UNKNOWN and around.issuer is None:
        return _unknown_issuer(around)
    found = _FORM.get(refused.detail, "")
    hint = _HINTS.get(refused.reason)
    if found or hint is None or around.issuer is None:
        return found
    return hint(around, around.issuer, refused)


_FORM: Final = {
    "not three segments": "a signed JWT has three parts with two dots between them",
    "not canonical base64url": "it was changed on its way, or is padded or of another alphabet "
    "than base64url without =",
    "characters that no token has": "is there white space, a quote or a line end inside of it?",
    "a list in the Authorization header": "a comma: two tokens, or none",
    "header: alg is missing or no text": "an unsigned token is none",
}


def _unknown_issuer(around: Circumstances) -> str:
    said = around.claims.get("iss")
    if not said:
        return "it has no iss, and its sub is no SPIFFE id of a trust domain that the settings know"
    return (
        f"iss {unknown_name(str(said), around.known_issuers)} (issuers[].issuer, compared exactly)"
    )


def _algorithm(around: Circumstances, issuer: IssuerProfile, refused: Refused) -> str:
    if refused.detail.startswith("the key"):
        return "the key that it names is for another algorithm than its header says"
    taken = " or ".join(sorted(issuer.algorithms))
    return f"alg is {value(around.header.get('alg'))}; {issuer.name} may use {taken} (algorithms:)"


def _type(around: Circumstances, issuer: IssuerProfile, refused: Refused) -> str:
    if "header member" in refused.detail:
        more = ", ".join(sorted(around.header.keys() - {"alg", "kid", "typ"}))
        return f"this profile's tokens have no {more} in their header"
    if not refused.detail.startswith(("typ '", 'typ "')):
        return "another kind of token; the caller has to send its access token"
    taken = " or ".join(one or '""' for one in sorted(issuer.types))
    return f"typ is {value(around.header.get('typ'))}; the issuer's profile wants {taken} (types:)"


def _signature(_around: Circumstances, _issuer: IssuerProfile, _refused: Refused) -> str:
    return "it was changed or cut off, or another key of the same name signed it"


def _ended(around: Circumstances, issuer: IssuerProfile, _refused: Refused) -> str:
    early = issuer.claims.ends_early
    name = "exp"
    if is_date(claim_of(around.claims, early, None)):
        ends = {"exp": around.claims["exp"], early: claim_of(around.claims, early, 0)}
        name = min(ends, key=lambda one: ends[one])
    ended = claim_of(around.claims, name, 0)
    return f"{name} was {since(ended, around.now)}; {issuer.leeway:g} s are forgiven (leeway:)"


def _early(around: Circumstances, issuer: IssuerProfile, refused: Refused) -> str:
    begins = around.claims.get(refused.detail, 0)
    return (
        f"{refused.detail} is {since(begins, around.now)}, and {issuer.leeway:g} s are forgiven "
        "(leeway:); is a clock wrong?"
    )


def _lifetime(around: Circumstances, issuer: IssuerProfile, _refused: Refused) -> str:
    if around.call is not None:
        return f"tokens for such calls may live for {_limited(around, 'max_lifetime')}"
    claims = around.claims
    return (
        f"its lifetime is {claims['exp'] - claims['iat']:g} s; max_lifetime is "
        f"{issuer.max_lifetime:g}"
    )


def _age(around: Circumstances, _issuer: IssuerProfile, _refused: Refused) -> str:
    issued = around.claims.get("iat")
    ago = f"iat was {since(issued, around.now)}" if is_date(issued) and issued else "it has no iat"
    return f"{ago}; tokens for such calls may be as old as {_limited(around, 'max_age')}"


def _limited(around: Circumstances, name: str) -> str:
    limits = ((place, getattr(limit, name)) for place, limit in around.limits.items())
    said = (f"{at:g} s (lifetimes.{place}.{name})" for place, at in limits if at is not None)
    return " and ".join(said)


def _audience(around: Circumstances, issuer: IssuerProfile, _refused: Refused) -> str:
    said = around.claims.get("aud")
    if around.call is not None:
        return f"aud holds {value(said)}; the route wants {value(around.call.audience)}"
    if "aud" not in around.claims:
        return "it has no aud (audience: optional takes such tokens at every route)"
    if issuer.single_audience and isinstance(said, list) and len(said) > 1:
        return f"it is for {len(said)} audiences, and each could use it at the others"
    return f"aud is {value(said)}: not a text, or an array of texts of which none is * or empty"


def _foreign_tenant(around: Circumstances, issuer: IssuerProfile, _refused: Refused) -> str:
    takes = ", ".join(sorted(issuer.tenants))
    name = issuer.claims.tenant
    said = claim_of(around.claims, name, None)
    return f"{name or 'the tenant'} is {value(said)}; {issuer.name} speaks for {takes} (tenants:)"


def _tenant(around: Circumstances, _issuer: IssuerProfile, _refused: Refused) -> str:
    wanted = around.call.tenant if around.call else None
    return f"the route is for the tenant {value(wanted)} alone"


def _ceiling(_around: Circumstances, issuer: IssuerProfile, _refused: Refused) -> str:
    return f"{issuer.name} may grant {', '.join(map(str, issuer.ceiling))} (ceiling:)"


def _claim(around: Circumstances, issuer: IssuerProfile, refused: Refused) -> str:
    name = refused.detail
    said = claim_of(around.claims, name, None)
    dates = ("exp", "iat", "nbf", issuer.claims.ends_early)
    if name in dates:
        want = "a date: a number, in seconds since the epoch"
    elif name == issuer.claims.scope:
        want = "1 to 100 scopes such as read:orders:*, as an array or with one space between them"
    elif name == issuer.claims.single_use:
        want = "true or false"
    else:
        want = "a text of 1 to 256 visible ASCII characters"
    if said is None and all(mark not in name for mark in " :"):
        return f"{name} is missing; it has to be {want}"
    return "" if said is None else f"{name} is {value(said)}; it has to be {want}"


def _scope(around: Circumstances, _issuer: IssuerProfile, _refused: Refused) -> str:
    return f"the token holds {around.lacks or 'no scopes'}"


def _delegation(_around: Circumstances, issuer: IssuerProfile, _refused: Refused) -> str:
    kinds = ", ".join(sorted(kind.value for kind in issuer.delegation)) or "none"
    return f"from {issuer.name}, forms of delegation taken: {kinds} (delegation:)"


def _stale(around: Circumstances, _issuer: IssuerProfile, _refused: Refused) -> str:
    return f"{around.lacks}; the agent needs a new token"


def _binding(_around: Circumstances, _issuer: IssuerProfile, _refused: Refused) -> str:
    return "no caller can show that: the token has to be minted for it (cnf)"


_HINTS: Final[Mapping[Reason, _Hint]] = {
    Reason.ALGORITHM_REFUSED: _algorithm,
    Reason.TYPE_REFUSED: _type,
    Reason.SIGNATURE_INVALID: _signature,
    Reason.TOKEN_EXPIRED: _ended,
    Reason.TOKEN_NOT_YET_VALID: _early,
    Reason.LIFETIME_EXCEEDED: _lifetime,
    Reason.TOKEN_TOO_OLD: _age,
    Reason.AUDIENCE_REFUSED: _audience,
    Reason.TENANT_NOT_OF_ISSUER: _foreign_tenant,
    Reason.TENANT_MISMATCH: _tenant,
    Reason.SCOPE_ABOVE_CEILING: _ceiling,
    Reason.CLAIM_INVALID: _claim,
    Reason.INSUFFICIENT_SCOPE: _scope,
    Reason.DELEGATION_REFUSED: _delegation,
    Reason.STALE_POLICY: _stale,
    Reason.STALE_CAPABILITIES: _stale,
    Reason.BINDING_REFUSED: _binding,
}

_DATES: Final = ("iat", "nbf", "exp", "auth_time", "/kubernetes.io/warnafter")


def dates_of(claims: JsonObject, now: float) -> dict[str, tuple[Any, str]]:
    """Every date that a token has: its seconds, and when that is, for people."""
    found: dict[str, tuple[Any, str]] = {}
    for name in _DATES:
        at = claim_of(claims, name, None)
        if is_date(at):
            found[name.removeprefix("/")] = (at, f"{moment(at)}, {since(at, now)}")
    if "exp" in found and "iat" in found:
        life = found["exp"][0] - found["iat"][0]
        found["lifetime"] = (life, span(life) if life > 0 else "none: exp is not after iat")
    return found
