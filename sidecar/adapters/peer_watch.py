"""Who comes with a token: one that is used from two places is told, whether or not it passes.

A token is its agent's, never shared between workers, so that the second place is a mistake or a
theft. Telling needs no store and holds nobody up; refusing does, and is ``Binding.FIRST_PEER``.
"""

from __future__ import annotations

from typing import Final

import structlog
from cachetools import LRUCache

from sidecar.core.model import Agent
from sidecar.core.record import safe
from sidecar.observe import Observation

_log: Final = structlog.get_logger(__name__)


class PeerWatch:
    """An observer that remembers the ``maxsize`` tokens used last, each with its first peer."""

    def __init__(self, maxsize: int) -> None:
        self._first: LRUCache[tuple[str, str, str], str] = LRUCache(maxsize)
        self._told: LRUCache[tuple[str, str, str], None] = LRUCache(maxsize)
        self.seen = 0
        """Tokens that came from more than one peer; it only grows."""

    def __call__(self, observation: Observation) -> None:
        """Look at one check; only a verified token says whose it is."""
        agent = observation.verdict.agent
        if agent is None or not agent.peer:
            return
        peer = agent.peer
        token = (agent.issuer, agent.tenant, agent.jti)
        first = self._first.setdefault(token, peer)
        if first != peer and token not in self._told:
            self._told[token] = None
            self.seen += 1
            self._tell(agent, first, peer)

    def _tell(self, agent: Agent, first: str, now: str) -> None:
        _log.warning(
            "token_from_two_peers",
            issuer=agent.issuer,
            tenant=agent.tenant,
            agent=agent.agent,
            jti=safe(agent.jti),
            first_peer=safe(first),
            peer=safe(now),
        )
