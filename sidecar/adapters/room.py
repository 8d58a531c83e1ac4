"""Room for things that end, counted by owner: claims and pins in memory, pins asked of Redis."""

from __future__ import annotations

import math
from collections import Counter
from heapq import heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

import structlog

_TELL_EVERY_S: Final = 60.0

_log: Final = structlog.get_logger(__name__)


class Ending(Protocol):
    """What is kept until it ends."""

    @property
    def key(self) -> str:
        """Its name; there is one of a name."""
        ...

    @property
    def owner(self) -> str:
        """Whom it counts for."""
        ...

    @property
    def until(self) -> float:
        """Seconds since the epoch; from that moment on it is gone."""
        ...


Thing = TypeVar("Thing", bound=Ending)


class Room(Generic[Thing]):
    """Nothing is forgotten before its end, unless ``forget_first`` is called.

    One entry of the queue of ends for each thing, however often it is made to last longer.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._live: dict[str, Thing] = {}
        self._by_end: list[tuple[float, str]] = []
        self._held: Counter[str] = Counter()

    def __len__(self) -> int:
        """Count what is there."""
        return len(self._live)

    def find(self, key: str) -> Thing | None:
        """Whatever has this key."""
        return self._live.get(key)

    def held_by(self, owner: str) -> int:
        """How many things are this owner's."""
        return self._held[owner]

    def has_place_for(self, more: int) -> bool:
        """Whether so many more are not above the capacity; ``keep`` does not ask."""
        return len(self._live) + more <= self.capacity

    def keep(self, thing: Thing) -> None:
        """Add it, or put it in place of what has its key: of the same owner, ending no later."""
        if thing.key not in self._live:
            self._held[thing.owner] += 1
            heappush(self._by_end, (thing.until, thing.key))
        self._live[thing.key] = thing

    def forget_ended(self, now: float) -> None:
        """Drop what has ended at ``now``, in seconds since the epoch."""
        while self._by_end and self._by_end[0][0] <= now:
            _, key = heappop(self._by_end)
            until = self._live[key].until
            if until <= now:
                self._drop(key)
            else:  # it was made to last longer
                heappush(self._by_end, (until, key))

    def forget_first(self) -> None:
        """Drop what would have ended first, had nothing been made to last longer."""
        _, key = heappop(self._by_end)
        self._drop(key)

    def _drop(self, key: str) -> None:
        owner = self._live.pop(key).owner
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]


class FullAlarm:
    """Says in the log, at most once a minute, that a store is full: a refusal does not say why."""

    def __init__(self) -> None:
        self._told_at = -math.inf

    def ring(self, room: str, at: float) -> None:
        """``room``: what there is no room for; ``at``: seconds of any one clock."""
        if abs(at - self._told_at) >= _TELL_EVERY_S:  # a clock may be set back
            self._told_at = at
            _log.warning("replay_store_full", room=room)
