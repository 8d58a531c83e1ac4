"""The ledger that several sidecars share: single use by one atomic script in Redis.

What Redis could have forgotten it does not vouch for: every hash tag has an epoch that is bound to
the node that wrote it, and a token from before the epoch is ``NOT_REMEMBERED``. See
``redis_ledger.lua`` for the script and ``redis/README.md`` for what Redis has to be set up like.
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
from sidecar.adapters.redis_script import Answer, Found, Terms, Visit, tag_of, visit_all
from sidecar.core.model import Conflict, Dependency, Effects, Unavailable
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
}
_SILENT_WORDS: Final = {
    "clock": CLOCK_DIFFERS,
    "not_master": "redis is a replica",
}

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Commit:
    """A commit that waits for its answer."""

    tag: str
    visit: Visit
    row: Dependency
    deadline: float
    since: float
    answer: asyncio.Future[Conflict | None]

    def end(self, *, conflict: Conflict | None) -> None:
        if not self.answer.done():
            self.answer.set_result(conflict)

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
        self._queue: deque[_Commit] = deque()
        self._sent: Sequence[_Commit] = ()
        self._queued = asyncio.Event()
        self._answered_at = -math.inf
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._closed = False

    @property
    def reachable(self) -> bool:
        """Whether Redis answered when it was last looked at, and is set up as it must be."""
        return not self._watch.fault

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
        for commit in (*self._sent, *self._queue):
            commit.fail(Unavailable(commit.row, self._watch.fault))

    async def commit(self, effects: Effects, *, now: float, deadline: float) -> Conflict | None:
        """See ``ports.Ledger``. ``OVERLOADED`` when too many wait, or the caller left no time."""
        if not effects.claims:
            return None
        row = effects.claims[0].dependency
        if self._watch.fault:
            raise Unavailable(row, self._watch.fault)
        if len(self._queue) >= self._limit:
            return Conflict.OVERLOADED
        tag, since = tag_of(effects.claims[0].key), self._clock.monotonic()
        visit = self._terms.visit(tag, effects.claims, now)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Conflict | None] = loop.create_future()
        commit = _Commit(tag, visit, row, deadline, since, answer)
        self._queue.append(commit)
        self._queued.set()
        doubt = loop.call_later(_PATIENCE * (deadline - since), self._watch.doubt)
        try:
            async with asyncio.timeout(deadline - since):
                return await answer
        except TimeoutError:
            if self._blameless(commit):
                return Conflict.OVERLOADED
            raise Unavailable(row, "redis gave no answer in time") from None
        finally:
            doubt.cancel()

    def _blameless(self, commit: _Commit) -> bool:
        """Whether time ran out on our side, or on the caller's, and not for Redis' silence.

        Callers can keep this process busy, and an outage opens reads: so Redis is silent only when
        it has answered nobody since, the look included that this commit's waiting brought about,
        and when this process woke up in time to hear it.
        """
        answered = max(self._answered_at, self._watch.answered_at) >= commit.since
        late = self._clock.monotonic() - commit.deadline > _LATE_S
        return answered or late or commit.deadline - commit.since < _LEAST_WAIT_S

    async def _keep_sending(self) -> None:
        while not self._closed:  # see ``Watch.keep_looking``
            await self._queued.wait()
            self._queued.clear()
            while batch := self._next_batch():
                await self._send(batch)

    def _next_batch(self) -> list[_Commit]:
        """Those who still wait; a commit whose time is over is not sent."""
        batch: list[_Commit] = []
        now = self._clock.monotonic()
        while self._queue and len(batch) < _BATCH and not self._closed:
            commit = self._queue.popleft()
            if not commit.answer.done() and now < commit.deadline:
                batch.append(commit)
        return batch

    async def _send(self, batch: Sequence[_Commit]) -> None:
        self._sent = batch
        patience = max(commit.deadline for commit in batch) - self._clock.monotonic()
        try:
            async with asyncio.timeout(patience):
                answers = await visit_all(self._redis, [commit.visit for commit in batch])
        except (RedisError, OSError, TimeoutError) as error:
            self._watch.doubt()
            for commit in batch:
                commit.fail(Unavailable(commit.row, silence(error)))
            return
        except Exception as bug:  # noqa: BLE001 - a bug here must not end the sending
            _log.error("replay_store_send_failed", **place_of(bug))
            for commit in batch:
                commit.fail(RuntimeError("replay store"))
            return
        self._answered_at = self._clock.monotonic()
        for commit, answer in zip(batch, answers, strict=True):
            _settle(commit, answer)
        words = {answer.word for answer in answers if isinstance(answer, Found)}
        if not words.isdisjoint({*_SILENT_WORDS, "jumped"}):
            self._watch.doubt()
        if "not_master" in words:
            await forget_node(self._redis)


def _settle(commit: _Commit, answer: Answer) -> None:
    note_epoch(commit.tag, answer)
    if not isinstance(answer, Found):
        commit.fail(Unavailable(commit.row, silence(answer)))
    elif answer.word in _SILENT_WORDS:
        commit.fail(Unavailable(commit.row, _SILENT_WORDS[answer.word]))
    else:
        commit.end(conflict=_WORDS[answer.word])
