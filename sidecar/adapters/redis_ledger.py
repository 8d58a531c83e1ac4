"""The ledger that several sidecars share: single use by one atomic script in Redis.

What Redis could have forgotten it does not vouch for: every hash tag has an epoch that is bound to
the node that wrote it, and a token from before the epoch is ``NOT_REMEMBERED``. A pin has no epoch:
one that Redis forgot is taken again by whoever comes next. See ``redis_ledger.lua`` and
``redis_pins.lua`` for the scripts and ``redis/README.md`` for what Redis has to be set up like.
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
from redis.exceptions import RedisError

from sidecar.adapters.redis_health import CLOCK_DIFFERS, Watch, note_epoch
from sidecar.adapters.redis_link import forget_node, silence
from sidecar.adapters.redis_script import Answer, Found, Terms, Visit, hold, tag_of, visit_all
from sidecar.core.model import Claim, Conflict, Dependency, Effects, Unavailable
from sidecar.core.pins import strictest
from sidecar.logs import place_of
from sidecar.ports import Clock
from sidecar.tasks import ended

_BATCH: Final = 128
"""Most commits in one round trip."""
_LEAST_WAIT_S: Final = 0.02
"""A commit that could wait less than this proves nothing about Redis."""
_PATIENCE: Final = 0.4
"""The share of a commit's time after which Redis is looked at."""
_LATE_S: Final = 0.05
"""A timer that rings so much later was kept waiting by this process."""
_WORDS: Final = {
    "ok": None,
    "claimed_before": Conflict.CLAIMED_BEFORE,
    "not_remembered": Conflict.NOT_REMEMBERED,
    "quota": Conflict.QUOTA,
    "jumped": Conflict.NOT_REMEMBERED,  # what has expired too early, nobody knows
    "overloaded": Conflict.OVERLOADED,  # ours, not Redis'
}
_HELD: Final = "held"
"""By another, says the pins' script."""
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


class RedisLedger:
    """``ports.Ledger`` in Redis. Commits of one turn of the loop share one round trip.

    One connection carries them all, so no pool can run empty; another looks at Redis' health, and
    while it finds none, commits raise at once. ``redis`` stays its maker's to close.
    """

    def __init__(
        self,
        *,
        redis: Redis,
        per_owner: int,
        tags: Sequence[str],
        clock: Clock,
        ahead: float = 0.0,
        waiting: int = 512,
    ) -> None:
        """Hold at most ``per_owner`` live claims of one agent.

        ``tags`` are the ``{tag}``s (``core.single_use.hash_tag``) of every issuer's tenants here.
        ``ahead``: seconds that a token's ``iat`` may lie ahead of a sidecar's clock when it is
        used, that is the largest leeway of any issuer; so long after a new epoch began, tokens are
        refused that could have been used before it. More than ``waiting`` commits are overload.
        """
        terms = Terms(per_owner, ahead)
        self._redis = redis
        self._terms = terms
        self._clock = clock
        self._limit = waiting
        self._watch = Watch(redis, [tag_of(tag) for tag in tags], terms, clock)
        self._queue: deque[_Visitor] = deque()
        self._sent: Sequence[_Visitor] = ()
        self._queued = asyncio.Event()
        self._answered_at = -math.inf
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._closed = False

    @property
    def reachable(self) -> bool:
        """Whether Redis answered when it was last looked at, and is set up as it must be."""
        return not self._watch.fault

    @property
    def skew_s(self) -> float | None:
        """How far ahead of ours Redis' clock was at the last look, in seconds; None before it."""
        return self._watch.skew_s

    async def start(self) -> None:
        """Begin the epochs, and keep looking. A Redis that is down is an outage, not an error."""
        await self._watch.look()
        looking = asyncio.create_task(self._watch.keep_looking())
        self._tasks = (looking, asyncio.create_task(self._keep_sending()))

    async def close(self) -> None:
        """End both tasks; whoever still waits hears ``Unavailable``."""
        self._closed = True
        self._watch.end("the sidecar is stopping")
        await ended(self._tasks)
        for visitor in (*self._sent, *self._queue):
            visitor.fail(Unavailable(visitor.row, self._watch.fault))

    async def commit(self, effects: Effects, *, now: float, deadline: float) -> Conflict | None:
        """See ``ports.Ledger``. ``OVERLOADED`` when too many wait, or the caller left no time."""
        if not effects:
            return None
        row, outage = strictest(effects), None
        for pin in effects.pins:  # one after the other: who may not hold one takes no further
            try:
                word = await self._ask(tag_of(pin.key), hold(pin, now), row, deadline)
            except Unavailable as silent:
                if deadline - self._clock.monotonic() < _LEAST_WAIT_S:
                    raise
                outage = silent
                continue
            if conflict := pin.conflict if word == _HELD else _WORDS[word]:
                return conflict
        # A Redis that cannot hold a pin may still know of a claim, also where silence is open.
        conflict = await self._claim(effects.claims, row, now, deadline)
        if conflict is None and outage is not None:
            raise outage
        return conflict

    async def _claim(
        self, claims: Sequence[Claim], row: Dependency, now: float, deadline: float
    ) -> Conflict | None:
        if not claims:
            return None
        tag = tag_of(claims[0].key)
        visit = self._terms.visit(tag, claims, now)
        return _WORDS[await self._ask(tag, visit, row, deadline)]

    async def _ask(self, tag: str, visit: Visit, row: Dependency, deadline: float) -> str:
        """Put a visit into the next round trip, and wait for what the script says to it."""
        if self._watch.fault:
            raise Unavailable(row, self._watch.fault)
        if len(self._queue) >= self._limit:
            return "overloaded"
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
                return "overloaded"
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
        return answered or late or visitor.deadline - visitor.since < _LEAST_WAIT_S

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
        words = {answer.word for answer in answers if isinstance(answer, Found)}
        if not words.isdisjoint({*_SILENT_WORDS, "jumped"}):
            self._watch.doubt()
        if "not_master" in words:
            await forget_node(self._redis)


def _settle(visitor: _Visitor, answer: Answer) -> None:
    note_epoch(visitor.tag, answer)
    if not isinstance(answer, Found):
        visitor.fail(Unavailable(visitor.row, silence(answer)))
    elif answer.word in _SILENT_WORDS:
        visitor.fail(Unavailable(visitor.row, _SILENT_WORDS[answer.word]))
    else:
        visitor.end(answer.word)
