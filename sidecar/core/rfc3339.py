"""RFC 3339 date-times as Go writes them (``time.RFC3339Nano``), read strictly and without a clock.

The core does not import ``datetime``, which could tell the time and takes far more spellings.
"""

from __future__ import annotations

import re
from typing import Final

_DATE_TIME: Final = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):([0-9]{2}))"
)
_DAYS_BEFORE_MONTH: Final = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)
_DAYS_BEFORE_1970: Final = 719_162  # since 0001-01-01
_FEBRUARY: Final = 2


def seconds_of(text: str) -> float | None:
    """Seconds since the epoch that ``text`` spells, or None when it is no date-time.

    Upper-case ``T`` and ``Z``, at most nine digits of a second, dates that the calendar has, and
    no leap second, since Go knows none (RFC 3339, section 5.6). A later moment never reads as an
    earlier number; two moments less than 0.3 microseconds apart may read as the same one.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    fraction, sign, *offset = match.groups()[6:]
    ahead_hour, ahead_minute = (int(part or 0) for part in offset)
    days = _days(year, month, day)
    if days is None or max(hour, ahead_hour) > 23 or max(minute, second, ahead_minute) > 59:  # noqa: PLR2004 - a day's hours, an hour's minutes
        return None
    ahead = (ahead_hour * 60 + ahead_minute) * (-60 if sign == "-" else 60)
    whole = ((days * 24 + hour) * 60 + minute) * 60 + second - ahead
    # One division rounds once, so that the order of two moments is the order of their numbers.
    return (whole * 10**9 + int((fraction or "").ljust(9, "0"))) / 10**9


def _days(year: int, month: int, day: int) -> int | None:
    """Days from 1970-01-01 to a date of the proleptic Gregorian calendar; None: no such date."""
    if year == 0 or not 1 <= month <= 12:  # noqa: PLR2004 - a year's months
        return None
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    before, after = _DAYS_BEFORE_MONTH[month - 1 : month + 1]
    if not 1 <= day <= after - before + (leap and month == _FEBRUARY):
        return None
    years = year - 1
    leap_days = years // 4 - years // 100 + years // 400 + (leap and month > _FEBRUARY)
    return years * 365 + leap_days + before + day - 1 - _DAYS_BEFORE_1970
