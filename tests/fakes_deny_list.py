"""A deny list that is older than its limit: the last known list still holds, and says no more."""

from __future__ import annotations

from sidecar.core.deny import DenyEntry, keys_of
from sidecar.core.model import Agent, Dependency, Unavailable


class StaleDenyList:
    """``ports.DenyList`` over the entries that it last heard of; passes the port's contract."""

    silence = Dependency.DENY_LIST

    def __init__(self, *entries: DenyEntry) -> None:
        self._entries = entries

    def find(self, agent: Agent, *, now: float) -> DenyEntry:
        """Raises ``Unavailable(self.silence)`` whenever no entry refuses."""
        keys = keys_of(agent)
        for entry in self._entries:
            if entry.key in keys and entry.holds_for(agent, now):
                return entry
        raise Unavailable(self.silence, "stale")


class UnloadedDenyList(StaleDenyList):
    """A fed deny list that has never heard of anything."""

    silence = Dependency.DENY_LIST_NEVER_LOADED
