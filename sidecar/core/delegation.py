"""Delegation: who holds a token, in whose name, and whether anything grew on the way.

Two forms: ``act`` of RFC 8693 (section 4.1), where the token's subject is who it is about and the
outermost actor holds it; and AgentWrit's ``delegation_chain`` (``core.chain``), where the subject
holds it. Only the holder is authorised; all others are provenance, and a reason to refuse when one
of them is revoked (``core.deny``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from math import floor
from typing import Any, Final

from sidecar.core.chain import MAX_DEPTH, prove_chain
from sidecar.core.claims import is_date, is_text, shown
from sidecar.core.model import Ancestor, JsonObject, Refused, Scope, SignedClaims
from sidecar.core.reasons import Reason
from sidecar.core.scope import covered

__all__ = [
    "MAX_DEPTH",
    "Actor",
    "Ancestry",
    "Delegation",
    "actors_of",
    "ancestry",
    "prove_chain",
]

_MEMBERS: Final = frozenset({"sub", "iss", "act", "exp"})


class Delegation(Enum):
    """A form of delegation; the value is the claim that carries it."""

    ACT = "act"
    CHAIN = "delegation_chain"


@dataclass(frozen=True, slots=True)
class Actor:
    """One ``act`` claim (RFC 8693, section 4.1)."""

    subject: str
    issuer: str = ""
    """``iss``; empty when it has none: then the subject is a name of the token's issuer."""
    expires_at: float | None = None
    """``exp`` in seconds since the epoch. RFC 8693 gives it no meaning; here it is when the actor's
    own token ends, and can only shorten what the token may last."""


@dataclass(frozen=True, slots=True)
class Ancestry:
    """Who holds a token, and who stands above."""

    actor: str
    ancestors: tuple[Ancestor, ...] = ()
    """Oldest first, without the actor."""
    actor_issuer: str = ""
    """Whose name for it ``actor`` is; empty: the token's own issuer."""


def actors_of(claims: JsonObject, *, max_depth: int = MAX_DEPTH) -> tuple[Actor, ...] | Refused:
    """Read the ``act`` claims inside each other, outermost (who holds the token) first.

    Empty when there is none. Refused as ``DELEGATION_REFUSED`` when one is malformed, when there
    are more than ``max_depth``, or when ``may_act`` names somebody else (section 4.4).
    """
    try:
        actors = _actors(claims, max_depth)
        if "may_act" in claims:
            _check_may_act(claims, actors)
    except ValueError as error:
        return Refused(Reason.DELEGATION_REFUSED, str(error))
    return tuple(actors)


def _actors(claims: JsonObject, max_depth: int) -> list[Actor]:
    actors: list[Actor] = []
    holder: JsonObject = claims
    while "act" in holder:
        if len(actors) == max_depth:
            raise ValueError(f"act is nested deeper than {max_depth}")
        holder = holder["act"]
        actors.append(_actor(holder, "act"))
    return actors


def _actor(value: Any, name: str) -> Actor:
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")  # noqa: TRY004 - the token's fault, as all others
    for member in value.keys() - _MEMBERS:
        if member.casefold() in _MEMBERS:
            raise ValueError(f"{name}: {shown('another case', member)}")
    if not is_text(value.get("sub")):
        raise ValueError(f"{name}.sub is not a text")
    if "iss" in value and not is_text(value["iss"]):
        raise ValueError(f"{name}.iss is not a text")
    if "exp" in value and not is_date(value["exp"]):
        raise ValueError(f"{name}.exp is not a date")
    expires = float(value["exp"]) if "exp" in value else None
    return Actor(value["sub"], value.get("iss", ""), expires)


def _check_may_act(claims: JsonObject, actors: list[Actor]) -> None:
    named = _actor(claims["may_act"], "may_act")
    # A name is one issuer's name: whoever gives no issuer means the token's own.
    own = claims.get("iss")
    for actor in actors[:1]:
        if (actor.subject, actor.issuer or own) != (named.subject, named.issuer or own):
            raise ValueError("act is not whom may_act names")


def ancestry(
    signed: SignedClaims,
    kinds: frozenset[Delegation],
    scopes: tuple[Scope, ...],
    *,
    leeway: float,
    max_depth: int,
) -> Ancestry | Refused:
    """Tell who holds the token and who stands above, if nothing grew from one to the next.

    ``kinds`` are the forms that the issuer may use, ``scopes`` the token's own, ``leeway`` the
    seconds of clock difference forgiven, ``max_depth`` the most links. Refused as
    ``DELEGATION_REFUSED``, or as ``CLAIM_INVALID`` when ``sub``, ``iat`` or ``exp`` is unusable.
    """
    claims = signed.claims
    for name, good in (("sub", is_text), ("iat", is_date), ("exp", is_date)):
        if not good(claims.get(name)):
            return Refused(Reason.CLAIM_INVALID, name)
    actors = actors_of(claims, max_depth=max_depth)
    if isinstance(actors, Refused):
        return actors
    try:
        _check_kind(signed, kinds)
        if signed.chain:
            _check_chain(signed, scopes, leeway=leeway, max_depth=max_depth)
        _check_end(claims, (ancestor.expires_at for ancestor in signed.chain))
        _check_end(claims, (actor.expires_at for actor in actors))
    except ValueError as error:
        return Refused(Reason.DELEGATION_REFUSED, str(error))
    return _acted(signed, actors) if actors else Ancestry(claims["sub"], signed.chain)


def _check_kind(signed: SignedClaims, kinds: frozenset[Delegation]) -> None:
    has = {kind for kind in Delegation if kind.value in signed.claims}
    for kind in has - kinds:
        raise ValueError(f"{kind.value} is not taken from this issuer")
    if len(has) > 1:
        raise ValueError("act and delegation_chain in one token")
    if (Delegation.CHAIN in has) is not bool(signed.chain):
        raise ValueError("delegation_chain was not proven")


def _acted(signed: SignedClaims, actors: tuple[Actor, ...]) -> Ancestry:
    holder, *before = actors
    earlier = (
        Ancestor(actor.subject, _issuer(actor, signed), expires_at=actor.expires_at)
        for actor in reversed(before)
    )
    subject = Ancestor(signed.claims["sub"])
    return Ancestry(holder.subject, (subject, *earlier), _issuer(holder, signed))


def _issuer(actor: Actor, signed: SignedClaims) -> str:
    return "" if actor.issuer == signed.key.issuer else actor.issuer


def _check_chain(
    signed: SignedClaims, scopes: tuple[Scope, ...], *, leeway: float, max_depth: int
) -> None:
    chain, claims = signed.chain, signed.claims
    if len(chain) > max_depth:
        raise ValueError(f"delegation_chain is longer than {max_depth}")
    names = {*(ancestor.agent for ancestor in chain), claims["sub"]}
    if len(names) <= len(chain):
        raise ValueError("somebody stands twice in delegation_chain")
    times = [ancestor.delegated_at or 0.0 for ancestor in chain]
    if times != sorted(times):
        raise ValueError("delegation_chain is not in the order of time")
    # iat is in whole seconds, rounded down, and the record of the same moment is not.
    if floor(times[-1]) > claims["iat"] + leeway:
        raise ValueError("delegated after the token was issued")
    for above, below in pairwise((*(ancestor.scopes or () for ancestor in chain), scopes)):
        _check_narrower(above, below)


def _check_narrower(above: tuple[Scope, ...], below: tuple[Scope, ...]) -> None:
    held = frozenset(above)
    for scope in below:
        # Nothing else covers it; asking every scope of a hundred for every other would take long.
        limits = held & {scope, Scope(scope.action, scope.resource, "*")}
        if not covered(scope, limits):
            raise ValueError(f"{scope} is more than its delegator held")


def _check_end(claims: JsonObject, ends: Iterable[float | None]) -> None:
    if any(end is not None and claims["exp"] > end for end in ends):
        raise ValueError("exp is after the end of a delegator's own token")
