"""The deny feed out of Redis: read from where the list stands, and again whenever something is odd.

``<name>`` is a stream of signed batches (field ``b``, one a record), ``<name>:base`` a list of
signed batches from the feed's beginning, ``<name>:beat`` the newest signed heartbeat. All of it
may be withheld, replaced or lost at any time: then the list becomes stale, and reading goes on.

Where to read next in the stream is kept apart from how far the list has come: a record that is
skipped is not read twice, and one that is missed is found by reading again from where the list
stands, at most twice a second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sidecar.adapters.fed_deny_list import FedDenyList
from sidecar.adapters.redis_link import by_sentinel, forget_node, silence
from sidecar.core.feed import Taken
from sidecar.logs import place_of
from sidecar.ports import Clock
from sidecar.tasks import ended

_log = structlog.get_logger(__name__)

BLOCK_S: Final = 0.2
"""How long one read waits for a record; the client's own time limit must be longer."""
_SLICE: Final = 32
_BASE_SLICE: Final = 4
_PAUSE_S: Final = 0.02
_RESYNC_EVERY_S: Final = 0.5
_NO_PROGRESS_S: Final = 1.0
_COMPACT_EVERY_S: Final = 60.0
_SILENT_S: Final = 2.0
_FIRST_RETRY_S: Final = 0.05
_LAST_RETRY_S: Final = 0.5
_BEGINNING: Final = b"0-0"


class RedisDenyFeed:
    """Keeps a ``FedDenyList`` fed, by one task, until ``close``.

    ``redis`` comes from ``redis_link.connect`` with a time limit above ``BLOCK_S`` and belongs to
    the caller. ``random`` gives floats in [0, 1).
    """

    def __init__(
        self,
        redis: Redis,
        name: str,
        deny_list: FedDenyList,
        clock: Clock,
        *,
        random: Callable[[], float],
    ) -> None:
        self._redis = redis
        self._stream, self._base, self._beat = name, f"{name}:base", f"{name}:beat"
        self._list = deny_list
        self._clock = clock
        self._random = random
        self._at = _BEGINNING
        self._last_beat: bytes | None = None
        self._beat_arrived = 0.0
        self._newer = False  # whether a feed was heard of that replaces ours
        self._resync_after = self._compact_after = self._progress_at = 0.0
        self._failures = 0
        self._state = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.reachable = False
        """Whether Redis answered the last time it was asked."""
        self.resyncs = 0
        """How often the feed was read again from where the list stands."""

    def start(self) -> None:
        """Begin to read. Call after ``FedDenyList.start``."""
        self._at = self._cursor
        self._beat_arrived = self._clock.monotonic()
        self._begin(self._run())

    async def close(self) -> None:
        """End every task."""
        await ended(self._tasks)

    async def _run(self) -> None:
        while True:
            try:
                await self._round()
            except (RedisError, OSError) as silent:
                self.reachable = False
                await self._wait(silence(silent))
            except Exception as bug:  # noqa: BLE001 - whatever arrives, reading goes on
                await self._wait("error", **place_of(bug))
            else:
                self._failures, self.reachable = 0, True
                self._tell("reading")

    async def _wait(self, state: str, **details: str) -> None:
        self._tell(state, **details)
        longest = min(_LAST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(self._failures, 8))
        self._failures += 1
        await asyncio.sleep(longest * (1 + self._random()) / 2)

    def _tell(self, state: str, **details: str) -> None:
        """Log what is new, not every attempt."""
        if state == self._state:
            return
        self._state = state
        log = _log.info if state == "reading" else _log.warning
        log("deny_feed", state=state, **details)

    async def _round(self) -> None:
        promised = self._list.behind
        taken = await self._read(block=not (promised and self._may_resync()))
        await self._hear()
        now = self._clock.monotonic()
        if not (promised and self._list.behind) or Taken.APPLIED in taken:
            self._progress_at = now
        begun = self._list.feed is not None and not self._newer
        # Nothing is left to read, or what is left does not continue here: read again.
        if not begun or Taken.GAP in taken or (promised and self._list.behind and not taken):
            await self._resync(rewind=True)
        elif now - self._progress_at > _NO_PROGRESS_S:
            # What is left may be a flood of rubbish. Reading that from its beginning never ends.
            await self._resync(rewind=False)
        if self._list.wants_base and now >= self._compact_after:
            self._compact_after = now + _COMPACT_EVERY_S
            self._begin(self._compact())

    async def _read(self, *, block: bool) -> set[Taken]:
        """Read one slice of the stream; what became of its records."""
        wait = round(BLOCK_S * 1000) if block else None
        found: Any = await self._redis.xread({self._stream: self._at}, count=_SLICE, block=wait)
        taken: set[Taken] = set()
        for identifier, fields in found[0][1] if found else ():
            self._at = identifier
            text = fields.get(b"b", b"")
            batch = self._list.open(text)
            await asyncio.sleep(0)  # checks go first
            taken.add(Taken.FORGED if batch is None else self._list.apply(batch, text))
            await asyncio.sleep(0)
        if taken - {Taken.APPLIED}:
            await asyncio.sleep(_PAUSE_S)  # who floods the stream does not own this process
        return taken

    async def _hear(self) -> None:
        beat: Any = await self._redis.get(self._beat)
        if beat is not None and (beat != self._last_beat or self._newer):
            self._last_beat, self._beat_arrived = beat, self._clock.monotonic()
            self._newer = self._list.hear(beat) is Taken.GAP
        elif by_sentinel(self._redis) and self._silent_for() > _SILENT_S:
            # A master that was cut off answers, and says nothing new: ask who is master now.
            self._beat_arrived = self._clock.monotonic()
            await forget_node(self._redis)

    async def _resync(self, *, rewind: bool) -> None:
        """Read again from where the list stands: the stream, then the base and what follows it."""
        if not self._may_resync():
            return
        self._resync_after = self._clock.monotonic() + _RESYNC_EVERY_S
        self.resyncs += 1
        feed, taken = self._list.feed, set[Taken]()
        if rewind:
            self._at = _BEGINNING if self._newer else self._cursor
            taken = await self._catch_up()
        begun = self._list.feed is not None and not (self._newer and self._list.feed == feed)
        if begun and not self._list.behind and Taken.GAP not in taken:
            return
        before = self._list.feed, self._list.upto
        await self._read_base()
        if (self._list.feed, self._list.upto) != before:
            self._at = self._cursor
            await self._catch_up()

    async def _catch_up(self) -> set[Taken]:
        while True:
            taken = await self._read(block=False)
            if Taken.APPLIED not in taken:
                return taken

    async def _read_base(self) -> None:
        async with contextlib.aclosing(self._base_texts()) as texts:
            async for text, batch in self._list.base(texts):
                if self._list.apply(batch, text) is Taken.FULL:
                    return

    async def _base_texts(self) -> AsyncGenerator[bytes]:
        start = 0
        while True:
            texts: Any = await self._redis.lrange(self._base, start, start + _BASE_SLICE - 1)
            if not texts:
                return
            for text in texts:
                yield text
            start += _BASE_SLICE

    async def _compact(self) -> None:
        try:
            async with contextlib.aclosing(self._base_texts()) as texts:
                await self._list.compact(texts)
        except Exception as failed:  # noqa: BLE001 - the file stays long, and nothing else
            _log.warning("deny_snapshot_not_shortened", **place_of(failed))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _may_resync(self) -> bool:
        return self._clock.monotonic() >= self._resync_after

    def _silent_for(self) -> float:
        return self._clock.monotonic() - self._beat_arrived

    @property
    def _cursor(self) -> bytes:
        return b"%d-0" % self._list.upto
