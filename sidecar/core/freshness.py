"""(4) How old a token may be for what it is used for, whatever its issuer minted.

A token is stolen while it lives, and the more a call can do, the shorter its token should have
lived. So the operator gives the access and the risk of a call a longest age, and a longest life of
the tokens that may be used for it at all; the strictest of all that apply holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sidecar.core.model import Access, Agent, Call, Refused, Risk
from sidecar.core.reasons import Reason

_FROM_MILD_TO_STRICT: Final = (Access.READ, Access.SENSITIVE, Access.WRITE)


@dataclass(frozen=True, slots=True)
class Limit:
    """For calls of one kind; seconds, None for no limit beside the issuer's own."""

    max_age: float | None = None
    """From ``iat`` to now."""
    max_lifetime: float | None = None
    """From ``iat`` to ``exp``."""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The limits of every kind of call; a kind that is not here has none."""

    by_access: Mapping[Access, Limit] = field(default_factory=dict)
    by_risk: Mapping[Risk, Limit] = field(default_factory=dict)


def too_old(agent: Agent, call: Call, lifetimes: Lifetimes, *, now: float) -> Refused | None:
    """Refuse a token that is too old, or lives too long, for this call.

    What holds for a milder access holds for a stricter one as well.
    ``now`` is in seconds since the epoch. Refused as ``TOKEN_TOO_OLD`` or ``LIFETIME_EXCEEDED``;
    as ``CLAIM_INVALID`` when a batch operation is called by a token without a task: such a token
    lives as long as its task, and no task would mean for ever.
    """
    if call.risk is Risk.BATCH and not agent.task:
        return Refused(Reason.CLAIM_INVALID, "a batch operation wants a token with a task")
    issued = agent.issued_at
    # Whoever makes a read look like a write does not get away from what holds for reads.
    milder = _FROM_MILD_TO_STRICT[: _FROM_MILD_TO_STRICT.index(call.access) + 1]
    for limit in (*map(lifetimes.by_access.get, milder), _of_risk(call, lifetimes)):
        if limit is None:
            continue
        age = None if issued is None else now - issued
        if limit.max_age is not None and (age is None or age > limit.max_age):
            return Refused(Reason.TOKEN_TOO_OLD, f"{age} s")
        life = None if issued is None else agent.expires_at - issued
        if limit.max_lifetime is not None and (life is None or life > limit.max_lifetime):
            return Refused(Reason.LIFETIME_EXCEEDED, f"{life} s")
    return None


def _of_risk(call: Call, lifetimes: Lifetimes) -> Limit | None:
    return None if call.risk is None else lifetimes.by_risk.get(call.risk)
