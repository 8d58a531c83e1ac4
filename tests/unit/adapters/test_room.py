"""Room for things that end, and the alarm when there is none."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.room import FullAlarm, Room


@dataclass(frozen=True, slots=True)
class Thing:
    key: str
    owner: str = "o"
    until: float = 10.0


def room_of(*things: Thing, capacity: int = 9) -> Room[Thing]:
    room: Room[Thing] = Room(capacity)
    for thing in things:
        room.keep(thing)
    return room


def test_room_counts_what_it_keeps() -> None:
    """In all, and by owner."""
    room = room_of(Thing("a"), Thing("b"), Thing("c", "other"), capacity=5)

    assert (len(room), room.held_by("o"), room.held_by("other"), room.held_by("?")) == (3, 2, 1, 0)
    assert room.find("a") == Thing("a")
    assert room.find("d") is None
    assert room.has_place_for(2)
    assert not room.has_place_for(3)


def test_room_forgets_what_has_ended_and_nothing_else() -> None:
    """At its end a thing is gone, and counts no more."""
    room = room_of(Thing("a", until=10), Thing("b", until=20))
    room.forget_ended(9.999)
    assert len(room) == 2
    room.forget_ended(10)

    assert room.find("a") is None
    assert (len(room), room.held_by("o")) == (1, 1)
    room.forget_ended(20)
    assert (len(room), room.held_by("o")) == (0, 0)


def test_room_leaves_nothing_behind_when_everything_has_ended() -> None:
    """However often one thing is made to last longer, and however many owners there were."""
    room = room_of()
    for use in range(100):
        for key in ("a", "b", "c"):
            room.keep(Thing(key, owner=key, until=60.0 + use))
        room.forget_ended(50.0 + use)
        assert len(room._by_end) == 3
    room.forget_ended(159)

    assert (len(room), room._by_end, dict(room._held)) == (0, [], {})


def test_room_forgets_first_what_came_to_its_end_first() -> None:
    """One of them, and its count with it."""
    room = room_of(Thing("late", until=30), Thing("soon", until=10), Thing("next", until=20))
    room.forget_first()

    assert [room.find(key) is None for key in ("soon", "next", "late")] == [True, False, False]
    assert room.held_by("o") == 2
    room.keep(Thing("soon", until=40))
    room.forget_ended(30)
    assert (len(room), len(room._by_end)) == (1, 1)


@pytest.mark.parametrize("later", [59.9, -59.9])
def test_alarm_tells_once_a_minute(later: float) -> None:
    """A flood of refusals is no flood of lines; a clock that was set back silences nothing."""
    alarm = FullAlarm()
    with capture_logs() as logs:
        alarm.ring("pins", 1000.0)
        alarm.ring("pins", 1000.0 + later)
        assert len(logs) == 1
        alarm.ring("proofs", 1000.0 + (60 if later > 0 else -60))

    assert [(line["event"], line["room"]) for line in logs] == [
        ("replay_store_full", "pins"),
        ("replay_store_full", "proofs"),
    ]
