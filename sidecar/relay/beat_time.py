"""The times of heartbeats: they grow, even when the clock does not."""

from __future__ import annotations

from sidecar.core.feed import MAX_FUTURE
from sidecar.ports import Clock


class BeatTime:
    """Milliseconds since the epoch.

    A clock that is set back a little is outgrown. Further back it is followed: what was said in
    between was from readers' future, and they did not take it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        """A time that no heartbeat has had yet, as far as readers took them."""
        now, grown = int(self._clock.now() * 1000), self._last + 1
        self._last = grown if now < grown <= now + MAX_FUTURE * 1000 else now
        return self._last

    def after(self, at: int) -> None:
        """Grow beyond what an earlier process said, too."""
        self._last = max(self._last, at)
