"""Round trips to Redis: visits of one turn of the loop share one, and each hears its own answer.

Whose silence it is decides here, because an outage may be open: Redis is silent only when it has
answered nobody. What callers bring about (a queue that is full, a process that is busy, a Redis
without memory) is ``overloaded``, which refuses.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from sidecar.adapters.redis_health import CLOCK_DIFFERS, Watch, note_epoch
from sidecar.adapters.redis_link import forget_node, silence
from sidecar.adapters.redis_script import Answer, Found, Visit, visit_all
from sidecar.adapters.room import FullAlarm
from sidecar.core.model import Dependency, Unavailable
from sidecar.logs import place_of
from sidecar.ports import Clock
from sidecar.tasks import ended

OVERLOADED: Final = "overloaded"
"""The word for what is ours or the callers', not Redis' silence."""
LEAST_WAIT_S: Final = 0.02
"""A commit that could wait less than this proves nothing about Redis."""
_BATCH: Final = 128
"""Most visits in one round trip."""
_PATIENCE: Final = 0.4
"""The share of a commit's time after which Redis is looked at."""
_LATE_S: Final = 0.05
"""A timer that rings so much later was kept waiting by this process."""
_SILENT_WORDS: Final = {
    "clock": CLOCK_DIFFERS,
    "not_master": "redis is a replica",
}

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Visitor:
    """A visit that waits for its answer: a word of the script's."""

    tag: str
    visit: Visit
    row: Dependency
    deadline: float
    since: float
    answer: asyncio.Future[str]

    def end(self, word: str) -> None:
        if not self.answer.done():
            self.answer.set_result(word)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class RoundTrips:
    """Sends visits and hands out answers. ``redis`` and ``watch`` stay their maker's to close."""

    def __init__(self, redis: Redis, watch: Watch, clock: Clock, *, waiting: int) -> None:
        """More than ``waiting`` visits at once are overload."""
        self._redis = redis
        self._watch = watch
        self._clock = clock
        self._limit = waiting
        self._queue: deque[_Visitor] = deque()
        self._sent: Sequence[_Visitor] = ()
        self._queued = asyncio.Event()
        self._answered_at = -math.inf
        self._alarm = FullAlarm()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._closed = False

    def start(self) -> None:
        """Begin to send."""
        self._tasks = (asyncio.create_task(self._keep_sending()),)

    async def close(self) -> None:
        """Send no more; whoever still waits hears ``Unavailable`` with the watch's fault."""
        self._closed = True
        await ended(self._tasks)
        for visitor in (*self._sent, *self._queue):
            visitor.fail(Unavailable(visitor.row, self._watch.fault))

    async def ask(self, tag: str, visit: Visit, row: Dependency, deadline: float) -> str:
        """Put a visit into the next round trip, and wait for what the script says to it.

        ``overloaded`` when too many wait, time ran out on our side, or Redis has no memory left.
        Raises ``Unavailable(row)`` when Redis is silent, or cannot say.
        """
        if self._watch.fault:
            raise Unavailable(row, self._watch.fault)
        if len(self._queue) >= self._limit:
            return OVERLOADED
        since, loop = self._clock.monotonic(), asyncio.get_running_loop()
        visitor = _Visitor(tag, visit, row, deadline, since, loop.create_future())
        self._queue.append(visitor)
        self._queued.set()
        doubt = loop.call_later(_PATIENCE * (deadline - since), self._watch.doubt)
        try:
            async with asyncio.timeout(deadline - since):
                return await visitor.answer
        except TimeoutError:
            if self._blameless(visitor):
                return OVERLOADED
            raise Unavailable(row, "redis gave no answer in time") from None
        finally:
            doubt.cancel()

    def _blameless(self, visitor: _Visitor) -> bool:
        """Whether time ran out on our side, or on the caller's, and not for Redis' silence.

        Callers can keep this process busy, and an outage opens reads: so Redis is silent only when
        it has answered nobody since, the look included that this commit's waiting brought about,
        and when this process woke up in time to hear it.
        """
        answered = max(self._answered_at, self._watch.answered_at) >= visitor.since
        late = self._clock.monotonic() - visitor.deadline > _LATE_S
        return answered or late or visitor.deadline - visitor.since < LEAST_WAIT_S

    async def _keep_sending(self) -> None:
        while not self._closed:  # see ``Watch.keep_looking``
            await self._queued.wait()
            self._queued.clear()
            while batch := self._next_batch():
                await self._send(batch)

    def _next_batch(self) -> list[_Visitor]:
        """Those who still wait; a commit whose time is over is not sent."""
        batch: list[_Visitor] = []
        now = self._clock.monotonic()
        while self._queue and len(batch) < _BATCH and not self._closed:
            visitor = self._queue.popleft()
            if not visitor.answer.done() and now < visitor.deadline:
                batch.append(visitor)
        return batch

    async def _send(self, batch: Sequence[_Visitor]) -> None:
        self._sent = batch
        patience = max(visitor.deadline for visitor in batch) - self._clock.monotonic()
        try:
            async with asyncio.timeout(patience):
                answers = await visit_all(self._redis, [visitor.visit for visitor in batch])
        except (RedisError, OSError, TimeoutError) as error:
            self._watch.doubt()
            for visitor in batch:
                visitor.fail(Unavailable(visitor.row, silence(error)))
            return
        except Exception as bug:  # noqa: BLE001 - a bug here must not end the sending
            _log.error("replay_store_send_failed", **place_of(bug))
            for visitor in batch:
                visitor.fail(RuntimeError("replay store"))
            return
        self._answered_at = self._clock.monotonic()
        for visitor, answer in zip(batch, answers, strict=True):
            _settle(visitor, answer)
        await self._heed(answers)

    async def _heed(self, answers: Sequence[Answer]) -> None:
        """What the answers say of Redis itself."""
        if any(isinstance(answer, OutOfMemoryError) for answer in answers):
            self._alarm.ring("redis", self._answered_at)
        words = {answer.word for answer in answers if isinstance(answer, Found)}
        if not words.isdisjoint({*_SILENT_WORDS, "jumped"}):
            self._watch.doubt()
        if "not_master" in words:
            await forget_node(self._redis)


def _settle(visitor: _Visitor, answer: Answer) -> None:
    note_epoch(visitor.tag, answer)
    if isinstance(answer, OutOfMemoryError):
        visitor.end(OVERLOADED)  # callers fill it; nothing was written
    elif not isinstance(answer, Found):
        visitor.fail(Unavailable(visitor.row, silence(answer)))
    elif answer.word in _SILENT_WORDS:
        visitor.fail(Unavailable(visitor.row, _SILENT_WORDS[answer.word]))
    else:
        visitor.end(answer.word)
