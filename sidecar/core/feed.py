"""(5) The feed of revocations: signed batches without a gap, and heartbeats that tell of its end.

A feed is a numbered sequence of changes to the deny list, the first of which is its genesis. A
batch covers a stretch of it, ``after`` < seq <= ``upto``, completely: who signs it says that
nothing else in that stretch holds. So a reader that takes only what continues where it stands has
lost nothing and was told nothing by anybody else, whoever carries the bytes. A heartbeat says how
far the feed goes: whoever holds that much, and heard so lately, knows all there is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise
from typing import Final, TypeAlias

from sidecar.core.deny import DenyEntry, DenyKey

FIRST: Final = 1
"""The number of a feed's genesis."""

MAX_FUTURE: Final = 5.0
"""Seconds by which the source's clock may be ahead of ours."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """The first change of every feed: an empty list is one that was seen to begin empty."""

    seq: int


@dataclass(frozen=True, slots=True)
class Denied:
    """From ``seq`` on, this entry holds beside whatever stands under its key."""

    seq: int
    entry: DenyEntry


@dataclass(frozen=True, slots=True)
class Lifted:
    """From ``seq`` on, nothing holds that stood under this key before."""

    seq: int
    key: DenyKey


Change: TypeAlias = Genesis | Denied | Lifted


@dataclass(frozen=True, slots=True)
class FeedId:
    """Which feed; of two with the same signer, the one that began later replaces the other."""

    name: str
    """32 hexadecimal digits, chosen at the genesis."""
    began: int
    """Milliseconds since the epoch."""

    def replaces(self, other: FeedId) -> bool:
        """Whether this feed was begun after ``other``; a replayed older one was not."""
        return self.name != other.name and self.began > other.began


@dataclass(frozen=True, slots=True)
class Batch:
    """A signed stretch of the feed: every change in it that still means something, in order.

    What has ended may be left out, and so may what was lifted within the stretch; a lift stays as
    long as what it lifted would have lasted, for readers who stand in the middle. One that lifted
    nothing which this feed knows stays: it may lift what a feed before it denied. Raises
    ``ValueError`` when the numbers contradict each other.
    """

    feed: FeedId
    after: int
    upto: int
    changes: tuple[Change, ...]

    def __post_init__(self) -> None:
        seqs = [change.seq for change in self.changes]
        rising = all(one < two for one, two in pairwise(seqs))
        inside = not seqs or (self.after < seqs[0] and seqs[-1] <= self.upto)
        if not 0 <= self.after < self.upto or not rising or not inside:
            raise ValueError("the batch's numbers contradict each other")
        if any((change.seq == FIRST) != isinstance(change, Genesis) for change in self.changes):
            raise ValueError("the genesis is a feed's first change, and only that")
        if self.after < FIRST and seqs[:1] != [FIRST]:
            raise ValueError("the first batch of a feed begins with its genesis")


@dataclass(frozen=True, slots=True)
class Beat:
    """The source was alive at ``at`` and its feed went as far as ``upto``."""

    feed: FeedId
    upto: int
    at: int
    """Milliseconds since the epoch by the source's clock; grows with every beat."""


class Taken(Enum):
    """What became of a batch or a beat."""

    APPLIED = "applied"
    KNOWN = "known"  # a duplicate or a replay: nothing new in it
    GAP = "gap"  # it continues where we do not stand yet
    FOREIGN = "foreign"  # of a feed that ours has replaced, or of one not seen to begin
    EARLY = "early"  # a beat from the future
    REWOUND = "rewound"  # a later beat of a shorter feed: its source has forgotten something
    FULL = "full"  # there was no room for it, so none of it was taken
    FORGED = "forged"  # nobody whom we know has signed it


@dataclass(frozen=True, slots=True)
class Reading:
    """How far a reader has come; immutable, so that a batch is taken whole or not at all."""

    feed: FeedId | None = None
    upto: int = 0
    """Every change up to this number is held. 0: none, not even the genesis."""
    complete_at: int | None = None
    """The latest time (ms, source's clock) at which everything that there was is held."""
    promised: Beat | None = None
    """The first beat that told of changes which have not arrived.

    The first, not the last: a reader whom every new beat finds a little behind is late, not lost.
    """
    heard: Beat | None = None
    """The last beat."""
    rewound: bool = False
    """The source has forgotten changes and numbers others like them: never complete again."""

    def take(self, batch: Batch) -> tuple[Taken, Reading]:
        """Judge a verified batch; with ``APPLIED``, ``news`` are the changes to make."""
        if self.feed is None or batch.feed.replaces(self.feed):
            if batch.after >= FIRST:
                return Taken.GAP, self
            return Taken.APPLIED, Reading(batch.feed, batch.upto)
        if batch.feed != self.feed:
            return Taken.FOREIGN, self
        if batch.upto <= self.upto:
            return Taken.KNOWN, self
        if batch.after > self.upto:
            return Taken.GAP, self
        return Taken.APPLIED, _settled(replace(self, upto=batch.upto))

    def news(self, batch: Batch) -> Iterator[Change]:
        """The changes of a batch that ``take`` applies and that this reader does not hold."""
        known = self.upto if batch.feed == self.feed else 0
        return (change for change in batch.changes if change.seq > known)

    def hear(self, beat: Beat, *, now: float) -> tuple[Taken, Reading]:
        """Judge a verified beat. ``now`` is in seconds since the epoch, by the reader's clock.

        ``GAP`` is a beat of a feed that replaces ours and whose beginning is not here yet.
        """
        if beat.at > (now + MAX_FUTURE) * 1000:
            return Taken.EARLY, self
        if beat.feed != self.feed:
            newer = self.feed is None or beat.feed.replaces(self.feed)
            return (Taken.GAP if newer else Taken.FOREIGN), self
        if self.heard is not None and beat.at <= self.heard.at:
            return Taken.KNOWN, self
        if self.heard is not None and beat.upto < self.heard.upto:
            return Taken.REWOUND, replace(self, rewound=True)
        promised = self.promised or beat
        return Taken.APPLIED, _settled(replace(self, promised=promised, heard=beat))

    @property
    def behind(self) -> bool:
        """Whether the source told of changes that are not here."""
        return self.promised is not None

    def age(self, now: float) -> float | None:
        """Seconds since everything that there was is known to be held; None: never.

        Infinite when that moment is still to come: then our clock was set back, and the list's
        age is unknown.
        """
        if self.complete_at is None:
            return None
        age = now - self.complete_at / 1000
        return math.inf if age < -MAX_FUTURE else max(0.0, age)


def _settled(reading: Reading) -> Reading:
    """Draw what follows from a beat or batch: which promises are kept now."""
    first, last = reading.promised, reading.heard
    if first is None or last is None or first.upto > reading.upto or reading.rewound:
        return reading
    if last.upto > reading.upto:
        return replace(reading, complete_at=first.at, promised=last)
    return replace(reading, complete_at=last.at, promised=None)
