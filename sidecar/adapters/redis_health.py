"""Whether Redis answers, and whether it is set up so that nothing is forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sidecar.adapters.redis_link import by_sentinel, forget_node, silence
from sidecar.adapters.redis_script import Answer, Found, Terms, facts_of, visit_all
from sidecar.logs import place_of
from sidecar.ports import Clock

_PING_S: Final = 0.25
"""A look that takes longer has failed; see ``Watch.look``."""
_EVERY_S: Final = 0.5
_EVERY_S_WHILE_SILENT: Final = 0.25
_REST_S: Final = 0.05
"""Between two looks, however many ask for one."""
_BEGAN: Final = {
    "none": "redis is new to this tenant, or lost everything",
    "node": "redis restarted, another node took over, or keys were evicted",
    "clock": "redis' clock jumped",
}

CLOCK_DIFFERS: Final = "this sidecar's clock is not the other sidecars'"
"""They agree with Redis' clock as it was when the epoch began; this one does not."""
_TAKES_NO_WRITES: Final = ("NOREPLICAS", "MISCONF")
"""Error codes of a Redis that answers what was used and takes nothing new; ``OOM`` is another."""

_log: Final = structlog.get_logger(__name__)


class Watch:
    """Looks at Redis twice a second; ``fault`` says why it may not be asked, or is empty.

    Each look visits every tag: an epoch that is gone begins anew within half a second, not with
    the first token that needs it, and an epoch that somebody agrees with is seen to be.
    """

    def __init__(self, redis: Redis, tags: Sequence[str], terms: Terms, clock: Clock) -> None:
        self.fault = "redis was not reached yet"
        self.answered_at = -math.inf
        """When Redis last answered a look, in seconds of ``Clock.monotonic``."""
        self.skew_s: float | None = None
        """How far ahead of ours Redis' clock was at the last look, in seconds; to the time that a
        look takes."""
        self._redis = redis
        self._tags = tags
        self._terms = terms
        self._clock = clock
        self._doubted = asyncio.Event()
        self._replicated_run = ""
        self._odd_clock = False
        self._ended = False
        self._steady: float | None = None
        """Wall clock minus monotonic clock when every epoch last agreed with it."""

    def end(self, why: str) -> None:
        """Look no more; ``why`` is the fault from now on."""
        self._ended = True
        self.fault = why

    def doubt(self) -> None:
        """Somebody got no answer: look now, not later."""
        self._doubted.set()

    async def keep_looking(self) -> None:
        """Look, until cancelled or at the end."""
        # A flag beside the cancellation: Python 3.11's ``wait_for``, within redis-py, can lose one.
        while not self._ended:
            pause = _EVERY_S_WHILE_SILENT if self.fault else _EVERY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._doubted.wait()
            self._doubted.clear()
            await self.look()
            await asyncio.sleep(_REST_S)

    async def look(self) -> None:
        """Find out how Redis is; it never raises."""
        try:
            fault = await self._find_fault_in_time()
        except (RedisError, OSError, TimeoutError) as error:
            fault = silence(error)
        except Exception as bug:  # noqa: BLE001 - a bug here must not end the looking
            _log.error("replay_store_look_failed", **place_of(bug))
            fault = "redis could not be understood"
        if fault != self.fault and not self._ended:
            self.fault = fault
            if fault:
                _log.warning("replay_store_unavailable", why=fault)
            else:
                _log.info("replay_store_available")

    async def _find_fault_in_time(self) -> str:
        """One silence may have been ours, of a loop that was busy: only two in a row count."""
        try:
            async with asyncio.timeout(_PING_S):
                return await self._find_fault()
        except (RedisTimeoutError, TimeoutError):
            async with asyncio.timeout(_PING_S):
                return await self._find_fault()

    async def _find_fault(self) -> str:
        facts = await facts_of(self._redis)
        self.answered_at = self._clock.monotonic()
        self.skew_s = _skew_of(facts, self._clock.now())
        if fault := self._misfit(facts):
            if facts.get("role") != "master":
                await forget_node(self._redis)
            return fault
        answers = await self._visit(self._tags, insist=False)
        if jumped := [tag for tag, answer in answers.items() if _word(answer) == "jumped"]:
            answers |= await self._visit(jumped, insist=True)
        if not jumped and all(_word(answer) == "ok" for answer in answers.values()):
            self._steady = self._clock.now() - self._clock.monotonic()
        self._note_clock(odd=any(_word(answer) == "clock" for answer in answers.values()))
        return _only_fault(answers.values())

    async def _visit(self, tags: Sequence[str], *, insist: bool) -> dict[str, Answer]:
        now, terms = self._clock.now(), self._terms
        if insist and self._steady is not None:
            # Perhaps our clock was set back: then what was used is dated in our future.
            back = max(0.0, self._steady - (now - self._clock.monotonic()))
            terms = replace(terms, ahead=terms.ahead + back)
        visits = [terms.visit(tag, (), now, insist=insist) for tag in tags]
        answers = dict(zip(tags, await visit_all(self._redis, visits), strict=True))
        for tag, answer in answers.items():
            note_epoch(tag, answer)
        return answers

    def _misfit(self, facts: Mapping[str, Any]) -> str:
        """What is set up so that a used token could be forgotten, and what to set."""
        if facts.get("role") != "master":
            return "redis is a replica"
        if facts.get("maxmemory_policy") != "noeviction":
            return "redis evicts keys: set maxmemory-policy noeviction"
        run = str(facts.get("run_id"))
        if by_sentinel(self._redis) or facts.get("connected_slaves"):
            # Remembered: a master that has just lost its replicas may be the one cut off.
            self._replicated_run = run
        if self._replicated_run == run and "min_slaves_good_slaves" not in facts:
            return "a master that is cut off would go on: set min-replicas-to-write 1 or more"
        return ""

    def _note_clock(self, *, odd: bool) -> None:
        if odd and not self._odd_clock:
            _log.warning("replay_store_clock_differs", why=CLOCK_DIFFERS)
        self._odd_clock = odd


def _skew_of(facts: Mapping[str, Any], now: float) -> float | None:
    theirs = facts.get("server_time_usec")
    return theirs / 1e6 - now if isinstance(theirs, int) else None


def note_epoch(tag: str, answer: Answer) -> None:
    """Log that older single-use tokens are refused from now on, and why."""
    if isinstance(answer, Found) and answer.began:
        _log.warning("single_use_epoch_began", tag=tag, why=_BEGAN[answer.began])


def _word(answer: Answer) -> str:
    return answer.word if isinstance(answer, Found) else ""


def _only_fault(answers: Iterable[Answer]) -> str:
    """An error that says that nobody can be served at all."""
    for answer in answers:
        if isinstance(answer, ResponseError) and not _takes_no_writes(answer):
            return silence(answer)
    return ""


def _takes_no_writes(error: ResponseError) -> bool:
    """Whether Redis answered, and only cannot write now: it still says what was used."""
    return isinstance(error, OutOfMemoryError) or str(error).startswith(_TAKES_NO_WRITES)
