"""The deny list's entries, and which of them a verified agent falls under.

Every entry belongs to one issuer and tenant: task "42" of tenant A is not task "42" of tenant B.
Only a ``kid`` is the issuer's alone and stands under the empty tenant.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sidecar.core.model import Agent


class DenyKind(Enum):
    """What an entry names."""

    JTI = "jti"
    AGENT = "agent"
    TASK = "task"
    SESSION = "session"
    CHAIN = "chain"
    KID = "kid"


@dataclass(frozen=True, slots=True)
class DenyKey:
    """What an entry holds for. ``tenant`` is empty for a KID and for nothing else."""

    kind: DenyKind
    issuer: str
    tenant: str
    value: str


@dataclass(frozen=True, slots=True)
class DenyEntry:
    """One revocation."""

    key: DenyKey
    until: float
    """Seconds since the epoch; past it the entry is pruned (no token outlives it)."""
    not_before: float | None = None
    """Tokens issued at or after this pass again, so that an agent can be re-admitted; None holds
    for every token. A token without ``iat`` counts as older."""
    reason: str = ""
    """For the record."""

    def __str__(self) -> str:
        return f"{self.key.kind.value} {self.key.value}: {self.reason or 'no reason given'}"

    def holds_for(self, agent: Agent, now: float) -> bool:
        """Whether this entry refuses a token of ``agent``, given that its key matched."""
        if now >= self.until:
            return False
        if self.not_before is None:
            return True
        return agent.issued_at is None or agent.issued_at < self.not_before


def keys_of(agent: Agent) -> tuple[DenyKey, ...]:
    """Every key under which a revocation of this token, or of any ancestor, could stand.

    Whoever is named by another issuer stands under that one, in the token's tenant.
    """
    of = (agent.issuer, agent.tenant)
    own = [(agent.issuer, agent.agent), (agent.issuer, agent.subject)]
    holder = (agent.actor_issuer or agent.issuer, agent.actor or agent.subject)
    above = [(one.issuer or agent.issuer, one.agent) for one in agent.ancestors]
    keys = [DenyKey(DenyKind.JTI, *of, agent.jti)]
    keys += [
        DenyKey(DenyKind.AGENT, by, agent.tenant, name)
        for by, name in dict.fromkeys((*own, holder, *above))
    ]
    if agent.task:
        keys.append(DenyKey(DenyKind.TASK, *of, agent.task))
    if agent.session:
        keys.append(DenyKey(DenyKind.SESSION, *of, agent.session))
    if agent.kid:
        keys.append(DenyKey(DenyKind.KID, agent.issuer, "", agent.kid))
    # Revoking a chain kills the tokens of whoever names it, by any of its names, and whatever was
    # delegated below.
    keys += [
        DenyKey(DenyKind.CHAIN, by, agent.tenant, name)
        for by, name in dict.fromkeys((*above, *own, holder))
    ]
    return tuple(keys)
