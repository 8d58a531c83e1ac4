"""(8) What a call uses up if it passes, as a value; the ledger makes it true.

A token normally serves many calls. It is claimed when the token says so, the route or tool says
so, or the ruling says so; a call that does not pass uses up nothing.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from sidecar.core.digest import digest, hash_tag
from sidecar.core.model import (
    Agent,
    Allowed,
    Call,
    Claim,
    Conflict,
    Decision,
    Dependency,
    Effects,
    Refused,
    Ruling,
)
from sidecar.core.pins import pins_of, proof_claim
from sidecar.core.reasons import Reason

__all__ = ["CONFLICT_REASON", "effects_of", "hash_tag"]

CONFLICT_REASON: Final = MappingProxyType(
    {
        Conflict.CLAIMED_BEFORE: Reason.REPLAYED,
        Conflict.NOT_REMEMBERED: Reason.USE_UNKNOWN,
        Conflict.QUOTA: Reason.QUOTA_EXCEEDED,
        Conflict.OVERLOADED: Reason.OVERLOADED,
        Conflict.SESSION_OF_ANOTHER: Reason.SESSION_REFUSED,
        Conflict.ANOTHER_PEER: Reason.BINDING_REFUSED,
    }
)


def effects_of(
    decision: Decision, ruling: Ruling, call: Call, agent: Agent, *, now: float
) -> Effects | Refused:
    """What committing this decision has to make true; ``now`` in seconds since the epoch.

    Refused as ``core.pins`` says, when what belongs to one caller cannot be told from what does
    not.
    """
    if not isinstance(decision, Allowed):
        return Effects()
    pins = pins_of(call, agent, now=now)
    if isinstance(pins, Refused):
        return pins
    proof = proof_claim(agent)
    claims = () if proof is None else (proof,)
    if agent.single_use or call.single_use or ruling.single_use:
        claims = (*claims, _token_claim(agent))
    return Effects(claims=claims, pins=pins)


def _token_claim(agent: Agent) -> Claim:
    tag = hash_tag(agent.issuer, agent.tenant)
    return Claim(
        key=f"{tag}:jti:{digest(agent.issuer, agent.jti)}",
        owner=f"{tag}:agent:{digest(agent.issuer, agent.tenant, agent.agent)}",
        until=agent.usable_until,
        dependency=Dependency.REPLAY_OF_SINGLE_USE_TOKEN if agent.single_use else Dependency.REPLAY,
        issued_at=agent.issued_at,
    )
