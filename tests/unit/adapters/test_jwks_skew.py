"""What an answer's ``Date`` says of two clocks, and what it takes to believe it."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from sidecar.adapters.jwks_skew import ClockWatch, clock_skew

NOW = 1_800_000_000.0


def measured(
    *headers: tuple[str, str], received_at: float = NOW, round_trip_s: float = 0.0
) -> float | None:
    proxy = CIMultiDictProxy(CIMultiDict(headers))
    return clock_skew(proxy, received_at=received_at, round_trip_s=round_trip_s)


def date(at: float) -> tuple[str, str]:
    return ("Date", formatdate(at, usegmt=True))


@pytest.mark.parametrize(
    ("headers", "received_at", "round_trip_s", "skew_s"),
    [
        ([date(NOW)], NOW, 0, 0),
        ([date(NOW)], NOW + 1, 0, 0),  # the second that Date stands for
        ([date(NOW)], NOW + 1.5, 0, 0.5),
        ([date(NOW)], NOW - 0.5, 0, -0.5),
        ([date(NOW)], NOW + 6, 5, 0),  # five seconds on the way explain it
        ([date(NOW)], NOW + 8, 5, 2),
        ([date(NOW)], NOW - 8, 5, -8),  # no way explains an answer from the future
        ([date(NOW - 600), ("Age", "600")], NOW, 0, 0),
        ([date(NOW - 600), ("Age", "590")], NOW, 0, 8),
        ([date(NOW - 600), ("Age", "610")], NOW, 0, -10),
        ([date(NOW - 600)], NOW, 0, 599),  # a cache that does not say that it is one
    ],
)
def test_skew_is_what_neither_way_nor_grain_explain(
    headers: list[tuple[str, str]], received_at: float, round_trip_s: float, skew_s: float
) -> None:
    """Positive: our clock is ahead. What could be the way, or a part of a second, is none."""
    assert measured(*headers, received_at=received_at, round_trip_s=round_trip_s) == skew_s


@given(
    st.floats(-1e6, 1e6), st.floats(0, 10), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9999)
)
def test_skew_is_never_overstated(
    skew_s: float, there_s: float, share: float, part_of_second: float, age_s: int
) -> None:
    """Whatever the way, the grain and the cache, the estimate lies between 0 and the truth."""
    sent_at = NOW + part_of_second
    received_at = sent_at + skew_s + there_s * share
    headers = [date(float(int(sent_at)) - age_s), ("Age", str(age_s))]
    found = measured(*headers, received_at=received_at, round_trip_s=there_s)

    assert found is not None
    assert min(skew_s, 0) - 1e-3 <= found <= max(skew_s, 0) + 1e-3
    assert abs(found - skew_s) <= there_s + 3


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Date", "")],
        [("Date", "yesterday")],
        [("Date", "Fri, 31 Feb 2027 08:00:00 GMT")],
        [("Date", "Fri, 15 Jan 0000 08:00:00 GMT")],
        [("Date", "Fri, 15 Jan 2027 08:00:60 GMT")],
        [("Date", "Fri, 15 Jan 2027 08:00:00 +0100")],
        [date(NOW), date(NOW)],
        [date(NOW), ("Age", "soon")],
        [date(NOW), ("Age", "-1")],
        [date(NOW), ("Age", "9" * 400)],
        [date(NOW), ("Age", "1"), ("Age", "2")],
    ],
)
def test_nothing_is_measured_when_the_answer_names_no_time(headers: list[tuple[str, str]]) -> None:
    """What cannot be read accuses nobody, and breaks nothing."""
    assert measured(*headers) is None


def test_first_year_there_is_no_error() -> None:
    """The oldest date there is can be read."""
    found = measured(("Date", "Mon, 01 Jan 0001 00:00:00 GMT"))

    assert found is not None
    assert found > 0


@pytest.mark.parametrize(
    ("measurements", "skewed"),
    [
        ([], False),
        ([9], False),  # one odd answer
        ([9, 9], True),
        ([-9, -9], True),
        ([5, 5, 5], False),  # the limit itself
        ([9, None, 9], True),  # None says nothing
        ([9, None, None], False),
        ([9, 0, 9, 0, 9], False),  # a cache that flaps
        ([9, -9, 9, -9], False),  # nobody's clock
        ([9, -9, -9], True),
        ([9, 9, 0], False),
        ([9, 9, None], True),
        ([9, 9, 9, 9], True),
        ([9, 9, 0, 9], False),
    ],
)
def test_clocks_differ_when_two_measurements_in_a_row_say_so(
    measurements: list[float | None],
    skewed: bool,  # noqa: FBT001 - a case's outcome
) -> None:
    """One is not believed; one good answer clears."""
    watch = ClockWatch(5.0)
    for skew_s in measurements:
        watch.note(skew_s)

    assert watch.skewed is skewed
    assert watch.skew_s == next((one for one in reversed(measurements) if one is not None), None)


def test_change_is_told_once() -> None:
    """The log has one line for each change, not one for each answer."""
    watch = ClockWatch(5.0)

    assert [watch.note(skew_s) for skew_s in (0, 9, 9, 9, None, 0, 0, 9, 0)] == [
        *(False, False, True),
        *(False, False, True),
        *(False, False, False),
    ]


def test_doubt_lasts_until_the_second_answer() -> None:
    """While in doubt, another fetch is wanted; once it is decided, no longer."""
    watch = ClockWatch(5.0)
    doubts = []
    for skew_s in (0, 9, None, 9, 9, 0):
        watch.note(skew_s)
        doubts.append(watch.in_doubt)

    assert doubts == [False, True, True, False, False, False]


def test_nothing_comes_of_skew_when_the_limit_is_off() -> None:
    """It is measured all the same."""
    watch = ClockWatch(None)

    assert not any(watch.note(skew_s) or watch.in_doubt for skew_s in (9, 9, 9))
    assert watch.skew_s == 9
