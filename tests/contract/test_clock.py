"""The contract of ``ports.Clock``, over every implementation."""

from __future__ import annotations

import itertools

import pytest

from sidecar.clock import SystemClock
from sidecar.ports import Clock
from tests.fakes_keys import FakeTime
from tests.values import StillClock


@pytest.fixture(params=[SystemClock, FakeTime, StillClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    made: Clock = request.param()
    return made


def test_monotonic_never_goes_back(clock: Clock) -> None:
    """Ages and deadlines only grow."""
    ticks = [clock.monotonic() for _ in range(1000)]

    assert all(later >= earlier for earlier, later in itertools.pairwise(ticks))


def test_now_is_seconds_since_the_epoch(clock: Clock) -> None:
    """What tokens say is compared with seconds, not milliseconds."""
    first_of_2024, first_of_2100 = 1_704_067_200, 4_102_444_800

    assert first_of_2024 < clock.now() < first_of_2100
