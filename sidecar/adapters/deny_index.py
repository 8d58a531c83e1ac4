"""Deny entries by what they name: a look-up costs the same whatever the list's length.

Ended entries are forgotten a few at a time, oldest end first, so that no call pays for many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import chain, count
from typing import Final

from sidecar.core.deny import DenyEntry, DenyKey, keys_of
from sidecar.core.model import Agent

Entries = tuple[DenyEntry, ...]

_FORGOTTEN_PER_PUT: Final = 8
_STALE_ENDS: Final = 1000


class DenyIndex:
    """Entries in a dictionary. Several may stand under one key.

    "Issued before noon" does not replace "all": any that holds refuses.
    """

    def __init__(self) -> None:
        self._entries: dict[DenyKey, Entries] = {}
        self._ends: list[tuple[float, int, DenyKey]] = []
        self._order = count()  # two keys with one end need no order of their own
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, agent: Agent, *, now: float) -> DenyEntry | None:
        """The entry that refuses this agent's token at ``now`` (seconds since the epoch)."""
        if not self._entries:
            return None
        for key in keys_of(agent):
            for entry in self._entries.get(key, ()):
                if entry.holds_for(agent, now):
                    return entry
        return None

    def under(self, key: DenyKey) -> Entries:
        """What stands under a key, ended or not."""
        return self._entries.get(key, ())

    def put(self, key: DenyKey, entries: Entries, *, now: float) -> None:
        """Let these, and nothing else, stand under a key."""
        before = self._entries.get(key, ())
        self._count += len(entries) - len(before)
        if entries:
            self._entries[key] = entries
        elif before:
            del self._entries[key]
        for entry in entries:
            if entry not in before:
                heappush(self._ends, (entry.until, next(self._order), key))
        self.forget(_FORGOTTEN_PER_PUT, now=now)
        if len(self._ends) > 2 * self._count + _STALE_ENDS:
            self._rebuild_ends()

    def put_all(self, changed: Mapping[DenyKey, Entries], *, now: float) -> None:
        """``put`` for every key of a mapping."""
        for key, entries in changed.items():
            self.put(key, entries, now=now)

    def forget(self, most: int, *, now: float) -> None:
        """Forget ended entries, ``most`` at most."""
        for _ in range(most):
            if not self._ends or now < self._ends[0][0]:
                return
            _, _, key = heappop(self._ends)
            before = self._entries.get(key, ())
            live = tuple(entry for entry in before if now < entry.until)
            if live:
                self._entries[key] = live
            else:
                self._entries.pop(key, None)
            self._count += len(live) - len(before)

    def entries(self, *, now: float) -> Iterator[DenyEntry]:
        """Every entry that has not ended, those of one key together."""
        held = chain.from_iterable(self._entries.values())
        return (entry for entry in held if now < entry.until)

    def _rebuild_ends(self) -> None:
        """Drop the ends of entries that were lifted long before them."""
        held = chain.from_iterable(self._entries.values())
        self._ends = [(entry.until, next(self._order), entry.key) for entry in held]
        heapify(self._ends)
