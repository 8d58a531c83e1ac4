"""How old a fed deny list is, and whether that is too old."""

from __future__ import annotations

import math

from sidecar.core.feed import Batch, Reading, Taken
from sidecar.ports import Clock


class FeedFreshness:
    """Watches a reading. ``stale_after`` is in seconds; None, without heartbeats, is never.

    Even then a list is stale while it lacks a change that it was shown a later one of.
    """

    def __init__(self, *, stale_after: float | None, clock: Clock) -> None:
        self._stale_after = stale_after
        self._clock = clock
        self._reading = Reading()
        self._completed = -math.inf  # when complete_at last changed, monotonic
        self._missed = 0

    def note(self, reading: Reading) -> None:
        """Learn how far the reading has come."""
        if reading.complete_at != self._reading.complete_at:
            self._completed = self._clock.monotonic()
        if reading.feed != self._reading.feed:
            self._missed = 0
        self._reading = reading

    def note_refused(self, batch: Batch, taken: Taken) -> None:
        """Learn of a verified batch that was not taken."""
        if taken in {Taken.GAP, Taken.FULL}:
            self._missed = max(self._missed, batch.upto)

    def age(self, now: float) -> float | None:
        """Seconds since the list is known to have been complete; None: it never was.

        The longer of what the wall clock and the monotonic clock say: the one goes back when it
        is set back, the other stands while the machine sleeps.
        """
        age = self._reading.age(now)
        return None if age is None else max(age, self._clock.monotonic() - self._completed)

    def fresh(self, now: float) -> bool:
        """Whether the list may be believed when it says nothing."""
        if self._stale_after is None:
            return self._reading.feed is not None and self._reading.upto >= self._missed
        age = self.age(now)
        return age is not None and age <= self._stale_after
