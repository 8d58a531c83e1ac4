"""Everything that is wrong with a token's claims, not only what the gate stumbles on first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any, Final

from sidecar.core.claims import claim_of, is_text
from sidecar.core.model import Agent, Call, Jws, Refused, SignedClaims
from sidecar.core.profile import ClaimNames, IssuerProfile
from sidecar.core.reasons import Reason
from sidecar.core.scope import parse_scope
from sidecar.core.verify import admit, profile_of

_MOST: Final = 32
_NO_TENANT: Final = "*"  # no tenant that settings or a catalogue may name
_DELEGATION: Final = frozenset({"act", "may_act", "delegation_chain", "chain_hash"})
_NO_SCOPES: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Attempt:
    """What ``admit`` is asked, perhaps with something put right that the gate does not."""

    signed: SignedClaims
    issuer: IssuerProfile
    now: float

    def admit(self, call: Call) -> Agent | Refused:
        """Ask the gate's own function."""
        return admit(self.signed, self.issuer, call, now=self.now)


@dataclass(frozen=True, slots=True)
class Examined:
    """What became of it."""

    refusals: tuple[Refused, ...]
    """In the gate's order; only the first one is what the gate would say."""
    attempt: Attempt
    """With all of that put right."""
    agent: Agent | None
    """Whom the claims would stand for; None when one of them cannot be put right."""


def header_refusals(jws: Jws, issuer: IssuerProfile) -> tuple[Refused, ...]:
    """List what the profile does not take of a token's header."""
    found: list[Refused] = []
    while isinstance(answer := profile_of(jws, {jws.unverified_issuer: issuer}), Refused):
        found.append(answer)
        if answer.reason is Reason.ALGORITHM_REFUSED:
            issuer = replace(issuer, algorithms=issuer.algorithms | {jws.algorithm})
        elif (jws.type or "") not in issuer.types:
            issuer = replace(issuer, types=issuer.types | {jws.type or ""})
        else:
            issuer = replace(issuer, plain_header=False)
    return tuple(found)


def examine(attempt: Attempt, call: Call) -> Examined:
    """Ask again and again, each time with the last refusal put right."""
    found: list[Refused] = []
    for _ in range(_MOST):
        answer = attempt.admit(call)
        if isinstance(answer, Agent):
            return Examined(tuple(found), attempt, answer)
        if answer in found:
            break
        found.append(answer)
        right = _put_right(attempt, answer)
        if right is None:
            break
        attempt = right
    return Examined(tuple(found), attempt, None)


def _put_right(attempt: Attempt, refused: Refused) -> Attempt | None:
    """Change as little as makes this one refusal go away; None when that would be guessing."""
    issuer, claims = attempt.issuer, attempt.signed.claims
    match refused.reason:
        case Reason.TOKEN_EXPIRED:
            return replace(attempt, now=float(claims["iat"]))
        case Reason.TOKEN_NOT_YET_VALID:
            return replace(attempt, now=float(max(claims["iat"], claims.get("nbf", claims["iat"]))))
        case Reason.LIFETIME_EXCEEDED:
            return replace(attempt, issuer=replace(issuer, max_lifetime=inf))
        case Reason.AUDIENCE_REFUSED:
            return _for_anybody(attempt)
        case Reason.TENANT_NOT_OF_ISSUER:
            return _of_any_tenant(attempt)
        case Reason.SCOPE_ABOVE_CEILING:
            scope = parse_scope(refused.detail)
            ceiling = (*issuer.ceiling, *([scope] if scope else []))
            return replace(attempt, issuer=replace(issuer, ceiling=ceiling))
        case Reason.DELEGATION_REFUSED:
            unchained = replace(attempt.signed, chain=())
            return _without(replace(attempt, signed=unchained), _DELEGATION)
        case Reason.BINDING_REFUSED:
            return _without(attempt, {"cnf"})
        case Reason.CLAIM_INVALID:
            return _without_claim(attempt, refused.detail)
        case _:
            return None


def _for_anybody(attempt: Attempt) -> Attempt:
    said, issuer = attempt.signed.claims.get("aud"), attempt.issuer
    loose = replace(issuer, audience_optional=True, single_audience=False)
    several = issuer.single_audience and isinstance(said, list) and len(said) > 1
    return replace(attempt if several else _without(attempt, {"aud"}), issuer=loose)


def _of_any_tenant(attempt: Attempt) -> Attempt:
    issuer = attempt.issuer
    said = claim_of(attempt.signed.claims, issuer.claims.tenant, "")
    if is_text(said):
        return replace(attempt, issuer=replace(issuer, tenants=issuer.tenants | {said}))
    names = replace(issuer.claims, tenant="")
    lenient = replace(issuer, claims=names, tenants=frozenset({_NO_TENANT}))
    return replace(attempt, issuer=lenient)


def _without_claim(attempt: Attempt, name: str) -> Attempt | None:
    """Do as if these tokens had no such claim, unless the gate can do nothing without it."""
    issuer = attempt.issuer
    if name in {"sub", "iat", "exp"}:
        return None
    if name == issuer.claims.scope:
        return replace(attempt, issuer=replace(issuer, scope_words=None, grants=_NO_SCOPES))
    read = {one.name for one in fields(ClaimNames) if getattr(issuer.claims, one.name) == name}
    if not read and name not in attempt.signed.claims and name not in issuer.required:
        return None
    names = replace(issuer.claims, **dict.fromkeys(read, ""))
    lenient = replace(issuer, claims=names, required=issuer.required - {name})
    return _without(replace(attempt, issuer=lenient), {name})


def _without(attempt: Attempt, names: frozenset[str] | set[str]) -> Attempt:
    claims = {name: said for name, said in attempt.signed.claims.items() if name not in names}
    return replace(attempt, signed=replace(attempt.signed, claims=claims))
