"""Date-times in one strict spelling, in agreement with the standard library's calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.rfc3339 import seconds_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("2026-11-22T22:51:27.811448398Z", 1_795_387_887.811448398),
        ("2027-01-15T13:29:59.5+05:30", 1_799_999_999.5),
        ("2027-01-15T00:00:00-08:00", 1_800_000_000.0),
        ("2024-02-29T00:00:00Z", 1_709_164_800.0),
        ("2000-02-29T00:00:00Z", 951_782_400.0),
        ("1969-12-31T23:59:59.75Z", -0.25),
    ],
)
def test_seconds_of_reads_what_go_writes(text: str, seconds: float) -> None:
    """With nanoseconds, offsets and leap days; also before 1970."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2027-01-15",
        "2027-01-15T08:00:00",  # nobody's time
        "2027-01-15 08:00:00Z",
        "2027-01-15t08:00:00Z",
        "2027-01-15T08:00:00z",
        "2027-01-15T08:00:00Z\n",
        " 2027-01-15T08:00:00Z",
        "2027-01-15T08:00Z",
        "2027-01-15T08:00:00.Z",
        "2027-01-15T08:00:00,5Z",
        "2027-01-15T08:00:00.1234567890Z",
        "2027-01-15T08:00:00+0530",
        "2027-01-15T08:00:00+24:00",
        "2027-01-15T08:00:00+05:60",
        "2027-01-15T24:00:00Z",
        "2027-01-15T08:60:00Z",
        "2016-12-31T23:59:60Z",  # a leap second, which Go refuses
        "2027-00-15T08:00:00Z",
        "2027-13-15T08:00:00Z",
        "2027-01-00T08:00:00Z",
        "2027-01-32T08:00:00Z",
        "2027-04-31T08:00:00Z",
        "2027-02-29T08:00:00Z",
        "1900-02-29T08:00:00Z",
        "0000-01-01T08:00:00Z",
        "12027-01-15T08:00:00Z",
        "\u0662027-01-15T08:00:00Z",  # an Arabic digit
        "2027-01-15T08:00:0\u0660Z",
    ],
)
def test_seconds_of_is_none_when_text_is_no_date_time(text: str) -> None:
    """One spelling, and only dates that the calendar has."""
    assert seconds_of(text) is None


@settings(deadline=None)
@given(
    st.datetimes(timezones=st.just(UTC)),
    st.integers(-(23 * 60 + 59), 23 * 60 + 59),
)
def test_seconds_of_agrees_with_datetime_when_dates_differ(moment: datetime, offset: int) -> None:
    """A second implementation knows the same calendar, at any offset."""
    zone = timezone(timedelta(minutes=offset))
    try:
        text = moment.astimezone(zone).isoformat()
    except OverflowError:  # out of the years that there are
        return
    seconds = seconds_of(text.replace("+00:00", "Z"))

    assert seconds is not None
    assert abs(seconds - moment.timestamp()) < 1e-4  # datetime's own rounding


@settings(deadline=None)
@given(st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1))
def test_seconds_of_keeps_the_order_when_only_nanoseconds_differ(one: int, other: int) -> None:
    """A double is coarser than a nanosecond, but never turns two moments round."""
    first, second = (f"2027-01-15T08:00:00.{n:09}Z" for n in sorted((one, other)))
    earlier, later = seconds_of(first), seconds_of(second)

    assert earlier is not None
    assert later is not None
    assert earlier <= later
