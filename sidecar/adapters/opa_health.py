"""Whether OPA is there, judged by ``GET /health`` alone, on evidence that no caller can touch.

A caller may send what evaluates slowly, and many of those keep even ``/health`` waiting. So one
silent probe is only a doubt: no more questions go out, those under way end (OPA stops evaluating
when we hang up), and OPA is absent only if it is still silent then, with nothing left to do. A
refused connection needs no doubt: the kernel says that nobody listens.

    PRESENT --silent--> DOUBTED --silent, nothing under way--> ABSENT --answers--> PRESENT
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import Final

import structlog

from sidecar.adapters.opa_client import (
    CannotConnectError,
    DisconnectedError,
    NobodyListensError,
)
from sidecar.logs import place_of

_STEP_S: Final = 0.02
_STEPS: Final = 5
"""At least, however short the limit."""

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ProbeTimes:
    """When to probe, and how long silence has to last; in seconds."""

    idle_s: float = 1.0
    """Between two probes of an OPA that is there."""
    absent_s: float = 0.2
    """Between two probes of one that is not."""
    doubt_s: float = 0.1
    """Silence for so long is a doubt."""
    proof_s: float = 0.3
    """Silence for so long, with no question under way, is absence. Well above one period of a
    CPU limit (0.1 s), for which a container's OPA may stand still after heavy work."""
    proof_per_question_s: float = 0.05
    """More of it for each question that was under way at once since the last answer: a busy OPA
    needs a while to notice that it was hung up on (measured: docs/adr/0010)."""
    proof_alone_s: float = 0.12
    """Silence for so long is absence to a question beside which there was no other."""


class Presence(Enum):
    """What the probes say of OPA."""

    PRESENT = "present"
    DOUBTED = "doubted"
    ABSENT = "absent"


class _Heard(Enum):
    """What came of one probe."""

    ANSWER = "answer"
    SILENCE = "silence"
    REFUSAL = "refusal"
    NOTHING = "nothing"  # it never left this process


class OpaHealth:
    """Probes in the background, and at once when a question doubts; absent until ``start``.

    ``probe`` is one ``GET /health`` on a connection of its own; ``on_return`` runs whenever OPA
    is there after it was not, before any question goes out, and must end by itself.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        *,
        on_return: Callable[[], Awaitable[None]],
        times: ProbeTimes,
    ) -> None:
        self._probe = probe
        self._on_return = on_return
        self._times = times
        self._presence = Presence.ABSENT
        self._settled = asyncio.Event()
        self._settled.set()
        self._wanted = asyncio.Event()
        self._under_way = self._most_under_way = 0
        self._silence_s = 0.0
        self._doubting = set[asyncio.Timeout]()
        self._verdict: asyncio.Future[Presence] | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def presence(self) -> Presence:
        """What the last probes said."""
        return self._presence

    async def start(self) -> None:
        """Probe once, and from then on in the background."""
        await self._judge()
        self._task = asyncio.create_task(self._keep_judging())

    async def close(self) -> None:
        """End the background task."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    @property
    def silent_to_one(self) -> bool:
        """Whether one question alone is proof enough by now.

        A single evaluation does not keep ``/health`` waiting for longer than a CPU limit's pause.
        """
        alone = self._most_under_way <= 1
        return alone and self._silence_s >= self._times.proof_alone_s

    async def settled(self) -> Presence:
        """PRESENT or ABSENT: waits while OPA is doubted."""
        await self._settled.wait()
        return self._presence

    def doubt(self) -> None:
        """Ask for a probe now."""
        self._wanted.set()

    async def verdict(self) -> Presence:
        """Ask for a probe now, and wait for what comes of it."""
        self.doubt()
        verdict = self._verdict = self._verdict or asyncio.get_running_loop().create_future()
        return await asyncio.shield(verdict)

    @contextmanager
    def question(self, limit: asyncio.Timeout, *, doubt_after_s: float) -> Generator[None]:
        """Count one question as under way; doubt when it takes longer than ``doubt_after_s``.

        Once the doubt is answered either way, ``limit`` runs out: waiting on would be in vain.
        """
        timer = asyncio.get_running_loop().call_later(doubt_after_s, self._doubt_for, limit)
        self._under_way += 1
        self._most_under_way = max(self._most_under_way, self._under_way)
        try:
            yield
        finally:
            timer.cancel()
            self._doubting.discard(limit)
            self._under_way -= 1

    def _doubt_for(self, limit: asyncio.Timeout) -> None:
        self._doubting.add(limit)
        self.doubt()

    async def _keep_judging(self) -> None:
        times = self._times
        while True:
            pause = times.absent_s if self._presence is Presence.ABSENT else times.idle_s
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
                    # An absent OPA is not asked more often because many would like to know.
                    if self._presence is Presence.ABSENT:
                        await asyncio.sleep(pause)
            self._wanted.clear()
            try:
                await self._judge()
            except Exception as bug:  # noqa: BLE001 - without this task nobody would notice a return
                _log.error("opa_probe_failed", **place_of(bug))

    async def _judge(self) -> None:
        heard = await self._listen(self._times.doubt_s)
        if heard is _Heard.SILENCE and self._presence is Presence.PRESENT:
            self._presence = Presence.DOUBTED
            self._settled.clear()
            while heard is _Heard.SILENCE and self._under_way:
                heard = await self._listen(self._times.doubt_s)
            if heard is _Heard.SILENCE:
                more = self._times.proof_per_question_s * self._most_under_way
                heard = await self._listen(self._times.proof_s + more)
        if heard is not _Heard.SILENCE:
            self._silence_s, self._most_under_way = 0.0, self._under_way
        match heard:
            case _Heard.ANSWER:
                await self._settle(Presence.PRESENT)
            case _Heard.SILENCE | _Heard.REFUSAL:
                await self._settle(Presence.ABSENT)
            case _Heard.NOTHING:
                doubted = self._presence is Presence.DOUBTED
                await self._settle(Presence.PRESENT if doubted else self._presence)

    async def _settle(self, presence: Presence) -> None:
        before = self._presence
        if before is Presence.ABSENT and presence is Presence.PRESENT:
            await self._on_return()
            _log.info("opa_present")
        elif before is not Presence.ABSENT and presence is Presence.ABSENT:
            _log.warning("opa_absent")
        self._presence = presence
        self._settled.set()
        now = asyncio.get_running_loop().time()
        while self._doubting:
            self._doubting.pop().reschedule(now)
        if self._verdict is not None:
            self._verdict.set_result(presence)
            self._verdict = None

    async def _listen(self, limit_s: float) -> _Heard:
        """Probe for so long, in steps: time in which this process itself was slow is no silence.

        A step is at least one turn of the event loop, and a probe needs a few.
        """
        probing = asyncio.create_task(self._knock())
        try:
            for _ in range(max(_STEPS, round(limit_s / _STEP_S))):
                done, _ = await asyncio.wait({probing}, timeout=_STEP_S)
                if done:
                    return probing.result()
                self._silence_s += _STEP_S
        finally:
            probing.cancel()
        return _Heard.SILENCE

    async def _knock(self) -> _Heard:
        while True:
            try:
                await self._probe()
            except DisconnectedError:
                await asyncio.sleep(_STEP_S)
            except NobodyListensError:
                return _Heard.REFUSAL
            except CannotConnectError:
                return _Heard.NOTHING
            else:
                return _Heard.ANSWER
