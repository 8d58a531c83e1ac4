"""Deny entries by what they name: a look-up costs the same whatever the list's length.

What is held is tuples of plain values, which Python's garbage collector leaves alone: walking
through a hundred thousand objects takes it 100 ms, and every check would wait. Ended entries are
forgotten a few at a time, oldest end first, so that no call pays for many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final, TypeAlias

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind, keys_of
from sidecar.core.model import Agent

Entries: TypeAlias = tuple[DenyEntry, ...]
Name: TypeAlias = tuple[str, str, str, str]
"""A ``DenyKey``: kind, issuer, tenant, value."""
Row: TypeAlias = tuple[float, float | None, str]
"""The rest of a ``DenyEntry``: until, not before, reason."""
Rows: TypeAlias = tuple[Row, ...]

_FORGOTTEN_PER_PUT: Final = 8
_STALE_ENDS: Final = 1000


def name_of(key: DenyKey) -> Name:
    """The key as plain values."""
    return key.kind.value, key.issuer, key.tenant, key.value


def row_of(entry: DenyEntry) -> Row:
    """What an entry says beside its key, as plain values."""
    return entry.until, entry.not_before, entry.reason


class DenyIndex:
    """Entries in a dictionary. Several may stand under one key.

    "Issued before noon" does not replace "all": any that holds refuses.
    """

    def __init__(self) -> None:
        self._rows: dict[Name, Rows] = {}
        self._ends: list[tuple[float, int, Name]] = []
        self._order = count()  # two names with one end need no order of their own
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, agent: Agent, *, now: float) -> DenyEntry | None:
        """The entry that refuses this agent's token at ``now`` (seconds since the epoch)."""
        if not self._rows:
            return None
        for key in keys_of(agent):
            for row in self._rows.get(name_of(key), ()):
                entry = DenyEntry(key, *row)
                if entry.holds_for(agent, now):
                    return entry
        return None

    def under(self, name: Name) -> Rows:
        """What stands under a name, ended or not."""
        return self._rows.get(name, ())

    def put(self, name: Name, rows: Rows, *, now: float) -> None:
        """Let these, and nothing else, stand under a name."""
        before = self._rows.get(name, ())
        self._count += len(rows) - len(before)
        if rows:
            self._rows[name] = rows
        elif before:
            del self._rows[name]
        for row in rows:
            if row not in before:
                heappush(self._ends, (row[0], next(self._order), name))
        self.forget(_FORGOTTEN_PER_PUT, now=now)
        if len(self._ends) > 2 * self._count + _STALE_ENDS:
            self._rebuild_ends()

    def put_all(self, changed: Mapping[Name, Rows], *, now: float) -> None:
        """``put`` for every name of a mapping."""
        for name, rows in changed.items():
            self.put(name, rows, now=now)

    def forget(self, most: int, *, now: float) -> None:
        """Forget ended entries, ``most`` at most."""
        for _ in range(most):
            if not self._ends or now < self._ends[0][0]:
                return
            _, _, name = heappop(self._ends)
            before = self._rows.get(name, ())
            live = tuple(row for row in before if now < row[0])
            if live:
                self._rows[name] = live
            else:
                self._rows.pop(name, None)
            self._count += len(live) - len(before)

    def entries(self, *, now: float) -> Iterator[DenyEntry]:
        """Every entry that has not ended, those of one key together."""
        for (kind, *rest), rows in self._rows.items():
            key = DenyKey(DenyKind(kind), *rest)
            yield from (DenyEntry(key, *row) for row in rows if now < row[0])

    def _rebuild_ends(self) -> None:
        """Drop the ends of entries that were lifted long before them."""
        held = ((row[0], name) for name, rows in self._rows.items() for row in rows)
        self._ends = [(until, next(self._order), name) for until, name in held]
        heapify(self._ends)
