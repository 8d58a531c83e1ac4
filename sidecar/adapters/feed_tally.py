"""How the feed's batches and heartbeats were judged: counted, and told where it is alarming."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import structlog

from sidecar.core.feed import Taken
from sidecar.ports import Clock

_log = structlog.get_logger(__name__)

_ALARM_EVERY_S: Final = 60.0
_ALARMING: Final = {Taken.FORGED, Taken.FOREIGN, Taken.REWOUND, Taken.FULL, Taken.EARLY}


class FeedTally:
    """Counters by ``Taken``; each alarm is logged at most once a minute."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts = dict.fromkeys(Taken, 0)
        self._alarmed = dict.fromkeys(Taken, -math.inf)

    def note(self, taken: Taken, what: str) -> None:
        """Count one. ``what`` is for the log, in our words."""
        self._counts[taken] += 1
        now = self._clock.monotonic()
        if taken in _ALARMING and now - self._alarmed[taken] >= _ALARM_EVERY_S:
            self._alarmed[taken] = now
            _log.error("deny_feed_refused", how=taken.value, what=what)

    def by_word(self) -> Mapping[str, int]:
        """What was counted, by the judgement's word."""
        return {taken.value: count for taken, count in self._counts.items()}
