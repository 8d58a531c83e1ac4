"""What time it is: heartbeats' grow when the clock does not, and what ends waits for it surely."""

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
        self._least = clock.now() - clock.monotonic()

    def next(self) -> int:
        """A time that no heartbeat has had yet, as far as readers took them."""
        self.surely()
        now, grown = int(self._clock.now() * 1000), self._last + 1
        self._last = grown if now < grown <= now + MAX_FUTURE * 1000 else now
        return self._last

    def after(self, at: int) -> None:
        """Grow beyond what an earlier process said, too."""
        self._last = max(self._last, at)

    def surely(self) -> float:
        """Seconds since the epoch, by the least that the wall clock has ever shown here.

        A clock that is ahead for a moment ends nothing: what is forgotten does not come back.
        """
        ticks = self._clock.monotonic()
        self._least = min(self._least, self._clock.now() - ticks)
        return self._least + ticks
