"""What the journal holds goes to Redis, soon, whole and in order; what Redis lost goes there again.

One task. It remembers what Redis should hold (``Standing``), adds what is new, and beats every half
second; a beat also looks whether that is still there. Any doubt, an error included, makes it read
and judge everything again (``audit``), and write everything again if it is wrong. Nothing that is
kept in memory matters: the journal is the truth.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from typing import Final

import structlog
from redis.exceptions import ResponseError

from sidecar.core.feed import FIRST, Beat
from sidecar.core.feed_wire import FeedKeys
from sidecar.ports import Clock
from sidecar.relay.audit import Fault, Ours, Standing, SupersededError, judge, last_beat
from sidecar.relay.base import Base, extended
from sidecar.relay.beat_time import BeatTime
from sidecar.relay.journal import Journal
from sidecar.relay.keys import Signer
from sidecar.relay.published import PublishedHere, why
from sidecar.relay.redis_feed import Glance, RedisFeed
from sidecar.tasks import ended

_log = structlog.get_logger(__name__)

BEAT_EVERY_S: Final = 0.5
AUDIT_EVERY_S: Final = 60.0
FOLD_EVERY_S: Final = 600.0  # what has ended leaves journal and base at least so often
FOLD_AT: Final = 1000  # records in the stream; then the base takes over
AT_A_TIME: Final = 20  # batches in a row; then it is time for a heartbeat
_LAST_WORDS_S: Final = 2.0


class Publisher:
    """Publishes one journal under one name."""

    def __init__(
        self, feed: RedisFeed, journal: Journal, signer: Signer, keys: FeedKeys, clock: Clock
    ) -> None:
        self._feed = feed
        self._journal = journal
        self._signer = signer
        self._keys = keys
        self._clock = clock
        self._time = BeatTime(clock)
        self._published_here = PublishedHere(journal)
        self._standing: Standing | None = None
        self._base = Base()
        self._renewing: asyncio.Task[Base] | None = None
        self._task: asyncio.Task[None] | None = None
        self._woken = asyncio.Event()
        self._moved = asyncio.Event()
        self._beat_due = now = clock.monotonic()
        self._audit_due, self._fold_due = now + AUDIT_EVERY_S, now + FOLD_EVERY_S
        self.upto = 0
        """Every change up to here has been published at some time."""
        self.beats = 0
        self.healed: Counter[str] = Counter({fault.value: 0 for fault in Fault})
        self.silent = ""
        """Why Redis cannot be written now; empty when it can."""
        self.superseded = ""
        """Why this journal may not be published any more; empty when it may."""

    async def start(self) -> None:
        """Publish from now on. Raises ``SupersededError`` when that is known to be wrong."""
        await self._turn()
        if self.superseded:
            raise SupersededError(self.superseded)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Publish what is left, if Redis takes it at once, and stop."""
        if self._task is None:
            return
        if not self.silent:
            self.wake()
            await self.reached(self._journal.upto, within=_LAST_WORDS_S)
        await ended(task for task in (self._task, self._renewing) if task is not None)

    def wake(self) -> None:
        """Say that the journal has something new."""
        self._woken.set()

    async def reached(self, seq: int, *, within: float) -> bool:
        """Whether Redis has all up to ``seq`` within so many seconds; no wait for a silent one."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while self.upto < seq and not self.silent and not self.superseded:
                    await self._moved.wait()
        return self.upto >= seq

    async def _run(self) -> None:
        while True:
            wait = self._beat_due - self._clock.monotonic()
            if self.silent or self.superseded:
                await asyncio.sleep(max(wait, BEAT_EVERY_S))
            else:
                # Not wait_for: in Python 3.11 it may swallow the cancellation that ends us.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(wait, 0)):
                        await self._woken.wait()
            self._woken.clear()
            await self._turn()

    async def _turn(self) -> None:
        """Do what is to be done, whatever happens; a change of state is logged once."""
        try:
            await self._step_or_look()
            silent, superseded = "", ""
        except SupersededError as wrong:
            silent, superseded = "", str(wrong)
        except Exception as error:  # noqa: BLE001 - revocations must go on
            silent, superseded = why(error), self.superseded
        self._standing = None if silent or superseded else self._standing
        if (silent, superseded) != (self.silent, self.superseded):
            _tell(silent, superseded)
        self.silent, self.superseded = silent, superseded
        self._move(self.upto)

    async def _step_or_look(self) -> None:
        try:
            await self._step()
        except ResponseError:
            # An id that is there already, a key of another type: perhaps we believed wrongly.
            if self._standing is None:
                raise
            self._standing = None
            await self._step()

    async def _step(self) -> None:
        now = self._clock.monotonic()
        standing = self._standing or await self._examined()
        if now >= self._audit_due:
            self._audit_due = now + AUDIT_EVERY_S
            if not await self._feed.base_is(self._base.batches):
                standing = await self._examined()
        standing = await self._published(standing)
        if now >= self._beat_due:
            standing = await self._beaten(standing)
        if self._renewing is not None or standing.records >= FOLD_AT or now >= self._fold_due:
            standing = await self._folded(standing)
        self._standing = standing

    async def _examined(self) -> Standing:
        found = await self._feed.look()
        beat = last_beat(found, self._keys)
        self._time.after(beat.at if beat else 0)
        ours = Ours(self._journal.feed, self._journal.upto, self._signer.kid, self._keys)
        verdict = await asyncio.to_thread(judge, found, ours)
        if isinstance(verdict, Fault):
            return await self._rewritten(verdict)
        await self._published_here.refuse_another(found, ours, verdict.upto)
        self._base = Base(found.base, verdict.base_upto)
        self._move(verdict.upto)
        return verdict

    async def _rewritten(self, fault: Fault) -> Standing:
        at = self._time.next()
        upto = self._journal.upto
        self._base = await extended(self._base, upto, self._journal, self._signer)
        await self._feed.rewrite(self._base.batches, self._beat(upto, at))
        self._published_here.note(upto)
        if upto > FIRST or fault is not Fault.LOST:  # else the feed has just begun
            self.healed[fault.value] += 1
            _log.warning("feed_written_again", reason=fault.value, upto=upto)
        self._move(upto)
        return Standing(upto, 0, b"", upto)

    async def _published(self, standing: Standing) -> Standing:
        """Add what is new; the last record brings a heartbeat along.

        Its time is taken before the journal's end is read: what is kept later, it need not know.
        """
        for _ in range(AT_A_TIME):
            at = self._time.next()
            stretch = await self._journal.stretch(standing.upto)
            if stretch.batch is None:
                return standing
            upto = stretch.batch.upto
            record = self._signer.batch(stretch.batch)
            beat = self._beat(stretch.upto, at) if upto == stretch.upto else b""
            before = await self._feed.append(upto, record, beat)
            followed = before == standing.last
            standing = replace(standing, upto=upto, records=standing.records + 1, last=record)
            self._published_here.note(upto)
            self._standing = standing = standing if followed else await self._examined()
            self._move(standing.upto)
        self.wake()
        return standing

    async def _beaten(self, standing: Standing) -> Standing:
        at = self._time.next()
        stretch = await self._journal.stretch(standing.upto)
        seen = await self._feed.glance(self._beat(stretch.upto, at))
        self._beat_due = self._clock.monotonic() + BEAT_EVERY_S
        if seen == Glance(standing.records, standing.last, len(self._base.batches)):
            return standing
        return await self._examined()

    async def _folded(self, standing: Standing) -> Standing:
        """Make the base anew beside what goes on, and when it is there, let it take over."""
        if self._renewing is None:
            self._fold_due = self._clock.monotonic() + FOLD_EVERY_S
            await self._journal.forget(now=self._time.surely())
            renewed = extended(Base(), standing.upto, self._journal, self._signer)
            self._renewing = asyncio.create_task(renewed)
            self._renewing.add_done_callback(lambda _: self.wake())
        if not self._renewing.done():
            return standing
        renewing, self._renewing = self._renewing, None
        base = renewing.result()
        if not self._base.upto <= base.upto <= standing.upto:  # written again in the meantime
            return standing
        records = await self._feed.fold(base.batches, base.upto)
        self._base = base
        return replace(standing, records=records, base_upto=base.upto)

    def _beat(self, upto: int, at: int) -> bytes:
        self.beats += 1
        return self._signer.beat(Beat(self._journal.feed, upto, at))

    def _move(self, upto: int) -> None:
        """Let everybody look who waits for something to be published."""
        self.upto = max(self.upto, upto)
        self._moved.set()
        self._moved = asyncio.Event()


def _tell(silent: str, superseded: str) -> None:
    if superseded:
        _log.error("feed_superseded", why=superseded)
    elif silent:
        _log.warning("feed_not_published", why=silent)
    else:
        _log.info("feed_published_again")
