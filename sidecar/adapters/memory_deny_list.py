"""The deny list of one process, fed through the admin socket.

It has no source that could fall silent, so it is never stale: what was added is all there is.
"""

from __future__ import annotations

from itertools import chain

from sidecar.core.deny import DenyEntry, DenyKey, keys_of
from sidecar.core.model import Agent


class MemoryDenyList:
    """``ports.DenyList`` and ``ports.DenyListAdmin`` in a dictionary; a look-up is O(1)."""

    def __init__(self, *, capacity: int) -> None:
        self._capacity = capacity
        # Several entries may stand under one key: "issued before noon" does not replace "all".
        self._entries: dict[DenyKey, tuple[DenyEntry, ...]] = {}
        self._count = 0

    def find(self, agent: Agent, *, now: float) -> DenyEntry | None:
        """See ``ports.DenyList``."""
        if not self._entries:
            return None
        for key in keys_of(agent):
            for entry in self._entries.get(key, ()):
                if entry.holds_for(agent, now):
                    return entry
        return None

    def add(self, entry: DenyEntry, *, now: float) -> None:
        """See ``ports.DenyListAdmin``."""
        if entry in self._entries.get(entry.key, ()):
            return
        if self._count >= self._capacity:
            self._forget_ended(now)
        if self._count >= self._capacity:
            raise ValueError(f"the deny list is full ({self._capacity} entries)")
        self._entries[entry.key] = (*self._entries.get(entry.key, ()), entry)
        self._count += 1

    def remove(self, key: DenyKey) -> bool:
        """See ``ports.DenyListAdmin``."""
        held = self._entries.pop(key, ())
        self._count -= len(held)
        return bool(held)

    def entries(self, *, now: float) -> tuple[DenyEntry, ...]:
        """See ``ports.DenyListAdmin``."""
        self._forget_ended(now)
        return tuple(chain.from_iterable(self._entries.values()))

    def __len__(self) -> int:
        return self._count

    def _forget_ended(self, now: float) -> None:
        live = {key: tuple(e for e in held if now < e.until) for key, held in self._entries.items()}
        self._entries = {key: held for key, held in live.items() if held}
        self._count = sum(map(len, self._entries.values()))
