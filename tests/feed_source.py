"""A source of the deny feed for tests: a journal in memory, and its way into Redis."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.feed import Batch, Beat, Change, Denied, FeedId, Genesis, Lifted
from sidecar.core.feed_wire import MAX_CHANGES, FeedKeys, sign_batch, sign_beat
from sidecar.tasks import ended
from tests.values import ISSUER, NOW

KID = "feed-1"
KEY = Ed25519PrivateKey.generate()
KEYS: FeedKeys = {KID: KEY.public_key()}
FEED = FeedId("a" * 32, 1_700_000_000_000)
NEWER = FeedId("b" * 32, 1_700_000_000_001)
OLDER = FeedId("c" * 32, 1_699_999_999_999)


def agent_key(name: str) -> DenyKey:
    return DenyKey(DenyKind.AGENT, ISSUER, "acme", name)


def denial(name: str = "agent-1", *, until: float = NOW + 600, reason: str = "") -> DenyEntry:
    return DenyEntry(agent_key(name), until, None, reason)


@dataclass
class FeedSource:
    """The journal: what was said, in order. Signs any stretch of it, and any heartbeat."""

    feed: FeedId = FEED
    key: Ed25519PrivateKey = KEY
    kid: str = KID
    changes: list[Change] = field(default_factory=lambda: [Genesis(1)])

    @property
    def end(self) -> int:
        return self.changes[-1].seq

    def deny(self, *entries: DenyEntry) -> None:
        for entry in entries:
            self.changes.append(Denied(self.end + 1, entry))

    def lift(self, key: DenyKey) -> None:
        self.changes.append(Lifted(self.end + 1, key))

    def held(self, now: float) -> set[DenyEntry]:
        """What the journal says that holds."""
        held: set[DenyEntry] = set()
        for change in self.changes:
            if isinstance(change, Denied):
                held.add(change.entry)
            elif isinstance(change, Lifted):
                held = {entry for entry in held if entry.key != change.key}
        return {entry for entry in held if now < entry.until}

    def stretch(self, after: int, upto: int) -> Batch:
        """Every change of a stretch."""
        changes = tuple(change for change in self.changes if after < change.seq <= upto)
        return Batch(self.feed, after, upto, changes)

    def compacted(self, after: int, upto: int, *, now: float) -> Batch:
        """Only what still means something; see ``Batch``."""
        kept: list[Change] = []
        for change in self.changes:
            if not after < change.seq <= upto:
                continue
            if isinstance(change, Denied):
                lifted = any(
                    isinstance(later, Lifted) and later.key == change.entry.key
                    for later in self.changes[change.seq : upto]
                )
                if lifted or change.entry.until <= now:
                    continue
            if isinstance(change, Lifted) and self._lasted(change) <= now:
                continue
            kept.append(change)
        return Batch(self.feed, after, upto, tuple(kept))

    def _lasted(self, lift: Lifted) -> float:
        before = self.changes[: lift.seq - 1]
        under = [one.entry for one in before if isinstance(one, Denied)]
        # What lifted nothing that this feed knows may lift what a feed before it denied.
        return max((one.until for one in under if one.key == lift.key), default=math.inf)

    def signed(self, after: int = 0, upto: int | None = None) -> bytes:
        return self.sign(self.stretch(after, self.end if upto is None else upto))

    def sign(self, batch: Batch) -> bytes:
        return sign_batch(batch, self.kid, self.key)

    def beat(self, at: float, *, upto: int | None = None) -> bytes:
        """``at`` in seconds."""
        told = Beat(self.feed, self.end if upto is None else upto, round(at * 1000))
        return sign_beat(told, self.kid, self.key)

    def base(self, now: float, *, upto: int | None = None) -> Iterator[bytes]:
        """Compacted batches from the beginning on."""
        end = self.end if upto is None else upto
        for after in range(0, end, MAX_CHANGES):
            yield self.sign(self.compacted(after, min(end, after + MAX_CHANGES), now=now))


class Publisher:
    """Brings a source's feed into Redis, as the relay does, without its healing."""

    def __init__(self, source: FeedSource, redis: Redis, name: str) -> None:
        self.source = source
        self._redis = redis
        self._name = name
        self._published = 0

    async def publish(self) -> None:
        """What is new, as one batch, and a heartbeat."""
        source = self.source
        if source.end > self._published:
            await self.add(source.signed(self._published), source.end)
            self._published = source.end
        await self.beat()

    async def add(self, text: bytes, number: int) -> None:
        await self._redis.xadd(self._name, {"b": text}, id=f"{number}-0")

    async def beat(self, *, at: float | None = None, upto: int | None = None) -> None:
        text = self.source.beat(time.time() if at is None else at, upto=upto)
        await self.set_beat(text)

    async def set_beat(self, text: bytes) -> None:
        await self._redis.set(f"{self._name}:beat", text, px=10_000)

    async def set_base(self, *texts: bytes) -> None:
        await self._redis.delete(f"{self._name}:base")
        for text in texts:
            await self._redis.rpush(f"{self._name}:base", text)

    async def compact(self) -> None:
        """Everything into the base, nothing left in the stream."""
        await self.set_base(*self.source.base(time.time()))
        await self._redis.xtrim(self._name, maxlen=0, approximate=False)

    async def rewrite(self) -> None:
        """What the relay does when it finds Redis without, or with other, content."""
        await self._redis.delete(self._name)
        await self.compact()
        self._published = self.source.end
        await self.add(self.source.signed(self.source.end - 1), self.source.end)
        await self.beat()

    @contextlib.asynccontextmanager
    async def beating(self, every: float = 0.1) -> AsyncIterator[None]:
        """Send heartbeats for as long as the context lasts, whether or not Redis is there."""

        async def beat_on() -> None:
            while True:
                with contextlib.suppress(Exception):
                    await self.beat(upto=max(1, self._published))
                await asyncio.sleep(every)

        task = asyncio.create_task(beat_on())
        try:
            yield
        finally:
            await ended({task})
