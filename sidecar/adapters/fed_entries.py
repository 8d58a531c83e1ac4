"""What a feed has told so far: the entries that hold, and how far the reading has come.

A batch is taken whole or not at all, and nothing awaits in between.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from sidecar.adapters.deny_index import DenyIndex, Name, Rows, name_of, row_of
from sidecar.core.feed import Batch, Beat, Change, Denied, Genesis, Reading, Taken

_FORGOTTEN_FOR_ROOM: Final = 5000


class FedEntries:
    """Entries by the feed's word. Those of a feed that was replaced hold until they end.

    A batch that would bring more than ``capacity`` is not taken; nothing is dropped for it. What
    only lifts and ends is taken even by a list that is over its limit.

    What is forgotten does not come back, and a clock may be ahead for a moment, ours or the
    source's: so an entry has ended when both say so, the source's by its last heartbeat. Only a
    list without room, or without heartbeats (``beatless``), goes by our clock alone.
    """

    def __init__(self, *, capacity: int, beatless: bool = False) -> None:
        self._capacity = capacity
        self._beatless = beatless
        self.index = DenyIndex()
        self.reading = Reading()

    def take(self, batch: Batch, *, now: float) -> Taken:
        """Judge a verified batch, and make its changes if it continues here."""
        taken, reading = self.reading.take(batch)
        if taken is not Taken.APPLIED:
            return taken
        news = tuple(self.reading.news(batch))
        surely = self._surely(now)
        staged, size = self._staged(news, surely)
        if size > self._capacity:
            surely = now
            self.index.forget(_FORGOTTEN_FOR_ROOM, now=surely)
            staged, size = self._staged(news, surely)
        if size > max(self._capacity, len(self.index)):
            return Taken.FULL
        self.index.put_all(staged, now=surely)
        self.reading = reading
        return taken

    def hear(self, beat: Beat, *, now: float) -> Taken:
        """Judge a verified heartbeat."""
        taken, self.reading = self.reading.hear(beat, now=now)
        return taken

    def _surely(self, now: float) -> float:
        """The time that it is by every clock that we know of."""
        if self._beatless:
            return now
        heard = self.reading.heard
        return -math.inf if heard is None else min(now, heard.at / 1000)

    def _staged(self, changes: Iterable[Change], now: float) -> tuple[dict[Name, Rows], int]:
        """What would stand under every name that the changes touch, and how many in all then."""
        staged: dict[Name, Rows] = {}
        replaced = 0
        for change in changes:
            if isinstance(change, Genesis):
                continue
            row = row_of(change.entry) if isinstance(change, Denied) else None
            if row is not None and row[0] <= now:
                continue
            name = name_of(change.entry.key if isinstance(change, Denied) else change.key)
            held = staged.get(name)
            if held is None:
                held = self.index.under(name)
                replaced += len(held)
            if row is None:
                staged[name] = ()
            else:
                staged[name] = held if row in held else (*held, row)
        return staged, len(self.index) - replaced + sum(map(len, staged.values()))
