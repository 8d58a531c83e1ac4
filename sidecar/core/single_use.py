"""(8) What a call uses up if it passes, as a value; the ledger makes it true.

A token normally serves many calls. It is claimed when the token says so, the route or tool says
so, or the ruling says so; a call that does not pass uses up nothing.
"""

from __future__ import annotations

from hashlib import sha256
from types import MappingProxyType
from typing import Final

from sidecar.core.model import (
    Agent,
    Allowed,
    Call,
    Claim,
    Conflict,
    Decision,
    Dependency,
    Effects,
    Ruling,
)
from sidecar.core.reasons import Reason

CONFLICT_REASON: Final = MappingProxyType(
    {
        Conflict.CLAIMED_BEFORE: Reason.REPLAYED,
        Conflict.NOT_REMEMBERED: Reason.USE_UNKNOWN,
        Conflict.QUOTA: Reason.QUOTA_EXCEEDED,
        Conflict.OVERLOADED: Reason.OVERLOADED,
    }
)


def effects_of(decision: Decision, ruling: Ruling, call: Call, agent: Agent) -> Effects:
    """What committing this decision has to make true."""
    asked = agent.single_use or call.single_use or ruling.single_use
    if not asked or not isinstance(decision, Allowed):
        return Effects()
    tag = hash_tag(agent.issuer, agent.tenant)
    claim = Claim(
        key=f"{tag}:jti:{_digest(agent.issuer, agent.jti)}",
        owner=f"{tag}:agent:{_digest(agent.issuer, agent.tenant, agent.agent)}",
        until=agent.usable_until,
        dependency=Dependency.REPLAY_OF_SINGLE_USE_TOKEN if agent.single_use else Dependency.REPLAY,
        issued_at=agent.issued_at,
    )
    return Effects(claims=(claim,))


def hash_tag(issuer: str, tenant: str) -> str:
    """``{digest}``: what every stored key of an issuer's tenant starts with.

    The braces are Redis Cluster's hash tag: all these keys live on one node.
    """
    return f"{{{_digest(issuer, tenant)}}}"


def _digest(*parts: str) -> str:
    """A hash of length-prefixed parts: ("a:b", "c") and ("a", "b:c") differ."""
    hashed = sha256()
    for part in parts:
        raw = part.encode()
        hashed.update(len(raw).to_bytes(4, "big"))
        hashed.update(raw)
    return hashed.hexdigest()[:32]
