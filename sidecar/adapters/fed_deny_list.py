"""The deny list that a signed feed keeps: held here, asked here, as fresh as its last heartbeat.

Whoever carries the feed is not trusted. What is not signed changes nothing, what does not continue
where this list stands is not taken, and what is withheld makes the list stale, which closes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import structlog

from sidecar.adapters.deny_snapshot import DenySnapshot
from sidecar.adapters.fed_entries import FedEntries
from sidecar.adapters.feed_freshness import FeedFreshness
from sidecar.adapters.feed_tally import FeedTally
from sidecar.core.deny import DenyEntry
from sidecar.core.feed import Batch, Beat, FeedId, Reading, Taken
from sidecar.core.feed_wire import FeedKeys, ForgedError, open_any, open_batch, open_beat
from sidecar.core.model import Agent, Dependency, Unavailable
from sidecar.ports import Clock

_log = structlog.get_logger(__name__)


class FedDenyList:
    """``ports.DenyList`` over a feed's batches and heartbeats, and ``entries`` to list it.

    ``keys`` are the source's. ``stale_after`` is in seconds without news; None, for a source
    without heartbeats, is never. A full list drops nothing: it takes no more, and becomes stale.
    """

    def __init__(
        self,
        *,
        keys: FeedKeys,
        capacity: int,
        stale_after: float | None,
        clock: Clock,
        snapshot: DenySnapshot | None = None,
    ) -> None:
        self._keys = keys
        self._beatless = stale_after is None
        self._clock = clock
        self._snapshot = snapshot
        self._fed = FedEntries(capacity=capacity, beatless=self._beatless)
        self._freshness = FeedFreshness(stale_after=stale_after, clock=clock)
        self._heard: tuple[bytes, Beat] | None = None
        # The last beat by which the list was complete.
        self._proof: tuple[bytes, Beat] | None = None
        self._loaded = False
        self.tally = FeedTally(clock)
        """How many batches and heartbeats were judged how."""
        self.lag: float | None = None
        """Seconds from the last heartbeat's ``at`` to its arrival, by both clocks."""

    async def start(self) -> None:
        """Load the snapshot. Whatever is wrong with it is logged, and ends it there."""
        if self._snapshot is None:
            return
        lines = self._snapshot.load()
        for line in lines:
            refusal = self._load(line, self._snapshot)
            if refusal == Taken.FULL.value:
                self._snapshot.give_up()  # it knows more than there is room for: leave it
                self.tally.note(Taken.FULL, "the snapshot")
            elif refusal:
                self._snapshot.refuse_rest(lines, refusal)
            if refusal:
                break
            await asyncio.sleep(0)
        self._loaded = self._loaded or (self._beatless and self._freshness.fresh(self._clock.now()))
        _log.info("deny_list_loaded", entries=len(self), upto=self.upto, ready=self._loaded)

    async def close(self) -> None:
        """Give what was read to the disk."""
        if self._snapshot is not None:
            await self._snapshot.close()

    def find(self, agent: Agent, *, now: float) -> DenyEntry | None:
        """See ``ports.DenyList``.

        Raises ``Unavailable(DENY_LIST_NEVER_LOADED)`` where no entry refuses and the list was not
        ``ready`` yet: a beginning that somebody chose for us is not a last known list.
        """
        entry = self._fed.index.find(agent, now=now)
        if entry is not None:
            return entry
        if not self._loaded:
            raise Unavailable(Dependency.DENY_LIST_NEVER_LOADED, "the deny list was never loaded")
        if not self._freshness.fresh(now):
            age = self.age(now)
            without = "not complete yet" if age is None else f"{age:.1f} s without news"
            raise Unavailable(Dependency.DENY_LIST, without)
        return None

    def take(self, text: bytes) -> Taken:
        """Judge a signed batch, and apply it if it continues here."""
        batch = self.open(text)
        return Taken.FORGED if batch is None else self.apply(batch, text)

    def open(self, text: bytes) -> Batch | None:
        """What a signed batch says; None, counted, when nobody whom we know has signed it."""
        try:
            return open_batch(text, self._keys)
        except ForgedError as forged:
            self.tally.note(Taken.FORGED, str(forged))
            return None

    def apply(self, batch: Batch, text: bytes) -> Taken:
        """Judge a batch that ``open`` gave for ``text``, and apply it if it continues here."""
        taken = self._judge(batch, text)
        if taken is Taken.APPLIED and self._snapshot is not None:
            self._snapshot.append(text, batch)
        self._note_readiness()
        self.tally.note(
            taken, f"a batch from {batch.after} to {batch.upto}, where {self.upto} is held"
        )
        return taken

    def hear(self, text: bytes) -> Taken:
        """Judge a signed heartbeat, and learn from it how far the feed goes."""
        try:
            beat = open_beat(text, self._keys)
        except ForgedError as forged:
            self.tally.note(Taken.FORGED, str(forged))
            return Taken.FORGED
        taken = self._judge(beat, text)
        if taken is Taken.APPLIED:
            self.lag = self._clock.now() - beat.at / 1000
        self._note_readiness()
        self.tally.note(taken, f"a heartbeat up to {beat.upto}, where {self.upto} is held")
        if self._snapshot is not None:
            self._snapshot.write_soon()
        return taken

    async def base(self, texts: AsyncIterator[bytes]) -> AsyncGenerator[tuple[bytes, Batch]]:
        """Open a feed's base for as long as it is one: signed, without a gap from the beginning."""
        reading = Reading()
        async for text in texts:
            batch = self.open(text)
            taken, reading = (Taken.FORGED, reading) if batch is None else reading.take(batch)
            if batch is None or taken is not Taken.APPLIED:
                return
            await asyncio.sleep(0)  # checks go first
            yield text, batch
            await asyncio.sleep(0)

    async def compact(self, texts: AsyncIterator[bytes]) -> bool:
        """Shorten the snapshot by the feed's base, where that is ours; whether it was done."""
        base = [one async for one in self.base(texts)]
        here = all(batch.feed == self.feed and batch.upto <= self.upto for _, batch in base)
        # Shortening must not mark as complete what never was.
        proven = self._loaded and (self._proof is not None or self._beatless)
        if self._snapshot is None or not base or not here or not proven:
            return False
        proof = [] if self._proof is None else [self._proof]
        return await self._snapshot.rewrite(base, proof, now=self._clock.now())

    def entries(self, *, now: float) -> tuple[DenyEntry, ...]:
        """Every entry that has not ended, those of one key together."""
        return tuple(self._fed.index.entries(now=now))

    def __len__(self) -> int:
        return len(self._fed.index)

    @property
    def ready(self) -> bool:
        """Whether the list was complete once: in this process, or in the one that left the file.

        Without heartbeats a list that has begun counts as complete.
        """
        return self._loaded

    @property
    def feed(self) -> FeedId | None:
        """Whose batches are held."""
        return self._fed.reading.feed

    @property
    def upto(self) -> int:
        """The number of the last change that is held."""
        return self._fed.reading.upto

    @property
    def behind(self) -> bool:
        """Whether the source told of changes that are not here."""
        return self._fed.reading.behind

    @property
    def wants_base(self) -> bool:
        """Whether the snapshot should be shortened by ``compact``."""
        return self._snapshot is not None and self._snapshot.wants_base

    def age(self, now: float) -> float | None:
        """See ``FeedFreshness.age``."""
        return self._freshness.age(now)

    def _note_readiness(self) -> None:
        """Notice the first time that the list is complete, and write down what proves it."""
        if self._loaded or self.behind or not self._freshness.fresh(self._clock.now()):
            return
        self._loaded = True
        _log.info("deny_list_complete", entries=len(self), upto=self.upto)
        if self._snapshot is not None and self._proof is not None:
            self._snapshot.append(*self._proof)

    def _load(self, line: bytes, snapshot: DenySnapshot) -> str:
        """Take a line of the snapshot; why not, in words, or nothing."""
        try:
            said = open_any(line, self._keys)
        except ForgedError as forged:
            return str(forged)
        taken = self._judge(said, line)
        if isinstance(said, Batch) and taken not in {Taken.APPLIED, Taken.KNOWN}:
            return str(taken.value)
        snapshot.loaded(said)
        self._loaded = self._loaded or self._proof is not None
        return ""

    def _judge(self, said: Batch | Beat, text: bytes) -> Taken:
        now = self._clock.now()
        if isinstance(said, Batch):
            taken = self._fed.take(said, now=now)
            self._freshness.note_refused(said, taken)
        else:
            taken = self._fed.hear(said, now=now)
            if taken is Taken.APPLIED:
                self._heard = text, said
        reading = self._fed.reading
        self._freshness.note(reading)
        if reading.complete_at is None:
            self._proof = None  # a new feed, of which we have no proof yet
        elif self._heard is not None and self._heard[1].at == reading.complete_at:
            self._proof = self._heard
        return taken
