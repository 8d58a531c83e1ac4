"""What a heartbeat vouches for, with a journal that moves between two looks at it."""

from __future__ import annotations

from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.core.feed import Batch, Beat, FeedId, Genesis
from sidecar.core.feed_wire import open_beat
from sidecar.relay.audit import Found
from sidecar.relay.beat_time import BeatTime
from sidecar.relay.journal import Journal, Stretch
from sidecar.relay.keys import Signer
from sidecar.relay.publisher import Publisher
from sidecar.relay.redis_feed import Glance, RedisFeed
from tests.values import NOW, StillClock

FEED = FeedId("0" * 32, 1)
SIGNER = Signer("k", Ed25519PrivateKey.generate())
KEYS = {"k": SIGNER.key.public_key()}


class MovingJournal:
    """Before and after each look at it, a second passes and a change is kept."""

    def __init__(self, clock: StillClock) -> None:
        self.feed = FEED
        self.upto = 1
        self.kept_at: dict[int, float] = {1: clock.wall}
        self._clock = clock
        self.moving = False

    async def stretch(self, after: int, upto: int | None = None) -> Stretch:
        self._move()
        end = self.upto if upto is None else upto
        until = min(end, after + 1)
        batch = Batch(FEED, after, until, () if after else (Genesis(1),)) if after < end else None
        seen = Stretch(batch, self.upto)
        self._move()
        return seen

    def _move(self) -> None:
        if self.moving:
            self._clock.wall += 1
            self.upto += 1
            self.kept_at[self.upto] = self._clock.wall
            self._clock.wall += 1

    async def forget(self, *, now: float) -> None:
        del now


class RecordingFeed:
    """Keeps the heartbeats, and with each the end of what was published then."""

    def __init__(self) -> None:
        self.beats: list[tuple[Beat, int]] = []
        self.upto = 0
        self.records = 0
        self.last = b""

    async def look(self) -> Found:
        return Found()

    async def rewrite(self, base: list[bytes], beat: bytes) -> None:
        self.upto = len(base)
        self._heard(beat)

    async def append(self, upto: int, record: bytes, beat: bytes) -> bytes:
        before = self.last
        self.upto, self.last, self.records = upto, record, self.records + 1
        self._heard(beat)
        return before

    async def glance(self, beat: bytes) -> Glance:
        self._heard(beat)
        return Glance(self.records, self.last, 1)

    def _heard(self, beat: bytes) -> None:
        if beat:
            self.beats.append((open_beat(beat, KEYS), self.upto))


@pytest.mark.parametrize("turns", [1, 2, 5])
async def test_beat_tells_of_everything_that_was_kept_by_its_time(turns: int) -> None:
    """A reader who holds what it promises holds all that was answered before it."""
    clock, feed = StillClock(), RecordingFeed()
    journal = MovingJournal(clock)
    publisher = Publisher(cast("RedisFeed", feed), cast("Journal", journal), SIGNER, KEYS, clock)
    await publisher._turn()
    journal.moving = True
    for _ in range(turns):
        clock.ticks += 1
        await publisher._turn()

    assert publisher.silent == ""
    assert len(feed.beats) > turns
    for beat, _ in feed.beats:
        known = {seq for seq, at in journal.kept_at.items() if at < beat.at / 1000}
        assert max(known, default=1) <= beat.upto
    assert any(beat.upto > published for beat, published in feed.beats)


async def test_beat_goes_on_while_there_is_ever_more_to_publish() -> None:
    """A backlog that never ends does not keep readers from hearing of the relay."""
    clock, feed = StillClock(), RecordingFeed()
    journal = MovingJournal(clock)
    publisher = Publisher(cast("RedisFeed", feed), cast("Journal", journal), SIGNER, KEYS, clock)
    await publisher._turn()
    journal.upto = 10_000
    clock.ticks += 1
    before = len(feed.beats)
    await publisher._turn()

    assert len(feed.beats) == before + 1
    assert feed.beats[-1][0].upto == 10_000
    assert feed.upto < 100
    assert publisher._woken.is_set()


def test_time_of_beats_follows_a_clock_that_was_far_ahead() -> None:
    """Growing from there, they would be from readers' future for as long."""
    clock = StillClock()
    beat_time = BeatTime(clock)
    times = []
    for ahead in (0, 0, -3, 3600, 0, -3600, -3600):
        clock.wall = NOW + ahead
        times.append((beat_time.next() - int(NOW * 1000)) / 1000)

    assert times == [0, 0.001, 0.002, 3600, 0, -3600, -3599.999]


def test_time_by_which_things_end_follows_no_clock_that_is_ahead() -> None:
    """Forgotten revocations do not come back; time that really passes counts."""
    clock = StillClock()
    beat_time = BeatTime(clock)
    clock.wall = NOW + 7200
    assert beat_time.surely() == NOW

    clock.wall, clock.ticks = NOW + 60, clock.ticks + 60
    assert beat_time.surely() == NOW + 60
    clock.wall -= 5
    assert beat_time.surely() == NOW + 55


async def test_journal_forgets_nothing_while_the_clock_is_ahead() -> None:
    """What a fold takes out of the journal is gone for every new reader."""
    clock, feed = StillClock(), RecordingFeed()
    journal = MovingJournal(clock)
    forgotten: list[float] = []

    async def forget(*, now: float) -> None:
        forgotten.append(now)

    journal.forget = forget  # type: ignore[attr-defined, method-assign, unused-ignore]
    publisher = Publisher(cast("RedisFeed", feed), cast("Journal", journal), SIGNER, KEYS, clock)
    clock.wall += 7200
    publisher._fold_due = 0
    await publisher._turn()

    assert forgotten == [NOW]
