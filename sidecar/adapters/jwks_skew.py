"""Whether an issuer's clock and ours agree, as far as its HTTP answers tell.

A token's dates are the issuer's, and ours is the clock that they are compared with. Every good
answer with a ``Date`` is a measurement. Only what is surely skew counts, beyond the time on the
way and the grain of a second. One answer alone proves nothing, for it may come from a cache that
is broken; two in a row do, the second of which was asked for past all caches.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from multidict import CIMultiDictProxy

_GRAIN_S: Final = 1.0
_MAX_AGE_DIGITS: Final = 9
_IMF_FIXDATE: Final = "%a, %d %b %Y %H:%M:%S GMT"  # RFC 9110, section 5.6.7: all that is sent


def clock_skew(
    headers: CIMultiDictProxy[str], *, received_at: float, round_trip_s: float
) -> float | None:
    """How far our clock is surely ahead of the sender's, in seconds; below zero: behind it.

    0 where the answer fits both clocks being equal, None where it names no time that can be read.
    ``received_at`` is our time at the answer's head, in seconds since the epoch, and
    ``round_trip_s`` how long before that we had begun to ask. The sender's time is ``Date``, plus
    ``Age`` in an answer out of a cache (RFC 9110, section 6.6.1; RFC 9111, section 5.1).
    """
    dates, ages = headers.getall("Date", []), headers.getall("Age", [])
    if len(dates) != 1 or len(ages) > 1:
        return None
    try:
        date = datetime.strptime(dates[0], _IMF_FIXDATE).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return None
    if not all(age.isdecimal() and len(age) <= _MAX_AGE_DIGITS for age in ages):
        return None
    earliest = date + sum(map(int, ages))
    latest = earliest + _GRAIN_S * (1 + len(ages))
    at_least, at_most = received_at - round_trip_s - latest, received_at - earliest
    return max(at_least, 0.0) + min(at_most, 0.0)


class ClockWatch:
    """What the measurements of one issuer's clock come to.

    ``limit_s`` None: they are kept and come to nothing.
    """

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self.skew_s: float | None = None
        """The last measurement; ``clock_skew`` has its sign."""
        self.skewed = False
        """The clocks differ: two measurements in a row said so, and none since said otherwise."""
        self.in_doubt = False
        """One measurement said so that another must confirm; soon."""

    def note(self, skew_s: float | None) -> bool:
        """Take a measurement in; None changes nothing. Return whether ``skewed`` has changed."""
        if skew_s is None:
            return False
        before, was_skewed = self.skew_s, self.skewed
        self.skew_s = skew_s
        beyond = self._limit_s is not None and abs(skew_s) > self._limit_s
        # A sender whose times lie now before and now after ours has no clock to compare with.
        confirmed = self.in_doubt and before is not None and before * skew_s > 0
        self.skewed = beyond and (was_skewed or confirmed)
        self.in_doubt = beyond and not self.skewed
        return self.skewed != was_skewed
