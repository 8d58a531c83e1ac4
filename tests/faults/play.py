"""One run: calls go out without a pause while one part after the other is hurt and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from examples.demo.processes import ENVOY_PORT
from examples.demo.program import until
from sidecar.config.build import load_configuration
from sidecar.core.catalogue import Catalogue
from tests.faults.client import Client
from tests.faults.cpu import spent_by, spent_by_all, spent_by_us
from tests.faults.faults import Fault, Hurt
from tests.faults.kinds import KINDS, Token
from tests.faults.load import Load, Result, Tokens
from tests.faults.stage import Stage
from tests.faults.windows import Cell, Times, Window, broken_rules, cells_of, healed_at, windows_of

HEAL_LIMIT_S: Final = 10.0
_LOOK_EVERY_S: Final = 0.1
_CONNECTIONS: Final = 20
_SETTLE_S: Final = 0.3
_STOOD_STILL_S: Final = 0.5
"""Late by so much, calls come in a burst that Envoy's limit refuses."""
_OTHERS: Final = 0.4
"""Of two cores, one of which the parts need."""
_AGAIN: Final = 2
_HURRIED: Final = 0.01
"""The share of calls that a busy machine may refuse for lack of time."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """How long a run looks at what, in seconds."""

    calm: float
    """Before the first fault, and what is measured as undisturbed."""
    down: float
    """From the moment at which every row surely holds."""
    around: float
    """Before and after each fault."""


@dataclass(frozen=True, slots=True)
class Calm:
    """The undisturbed stretch."""

    calls: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    late_ms: float
    """The most by which a call went out late."""
    cpu: dict[str, float]
    """Share of one core, by part."""


@dataclass(frozen=True, slots=True)
class Played:
    """What a fault brought about."""

    fault: Fault
    times: Times
    windows: tuple[Window, ...]
    cells: dict[tuple[str, str], Cell]
    broken: list[str]
    """What may never happen, and did."""
    late_s: float
    """The most by which a call went out late."""
    others: float
    """The CPU that others took meanwhile, in cores."""

    @property
    def disturbed(self) -> bool:
        """Whether the machine was not ours."""
        return self.late_s > _STOOD_STILL_S or self.others > _OTHERS

    @property
    def healing_s(self) -> float:
        return self.times.healed - self.times.returned

    @property
    def wrong(self) -> list[str]:
        """Every cell that is not as it has to be, in words."""
        found = [
            f"{kind}, {window}: {dict(cell.counts)}, and not only {sorted(cell.may_end)}"
            for (kind, window), cell in self.cells.items()
            if not cell.right
        ]
        if self.hurried > _HURRIED * self.calls:
            found.append(f"{self.hurried} of {self.calls} calls were refused for lack of time")
        if self.disturbed and found:
            found.append(f"meanwhile others took {self.others:.1f} cores")
        return found + self.broken

    @property
    def calls(self) -> int:
        return sum(sum(cell.counts.values()) for cell in self.cells.values())

    @property
    def hurried(self) -> int:
        """Refusals for lack of time where nothing was unsettled: few, or something is wrong."""
        return sum(cell.hurried for cell in self.cells.values())


class Run:
    """Plays faults on a stage that is up, under load."""

    def __init__(self, stage: Stage, load: Load, catalogue: Catalogue, lengths: Lengths) -> None:
        self._stage = stage
        self._load = load
        self._catalogue = catalogue
        self._lengths = lengths

    async def calm(self) -> Calm:
        """Wait until all is well, then measure for a while."""
        await self._healed(time.monotonic())
        await self._use_a_token()
        before, began = self._cpu(), time.monotonic()
        await asyncio.sleep(self._lengths.calm)
        after, lasted = self._cpu(), time.monotonic() - began
        some = [one for one in self._load.results if one.sent >= began]
        waits = sorted((one.answered - one.due) * 1000 for one in some)
        return Calm(
            len(waits), waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1],
            max(one.sent - one.due for one in some) * 1000,
            {name: (spent - before[name]) / lasted for name, spent in after.items()},
        )  # fmt: skip

    async def play(self, fault: Fault) -> Played:
        """Hurt a part, let it be down, bring it back, and wait until all is well again.

        Where others took the CPU, refusals may be their doing: then it is done again, at most
        ``_AGAIN`` times. What may never happen is no matter of CPU.
        """
        for _ in range(_AGAIN):
            played = await self._play(fault)
            if not played.wrong or played.broken or not played.disturbed:
                return played
        return await self._play(fault)

    async def _play(self, fault: Fault) -> Played:
        others = self._others()
        started = time.monotonic()
        await asyncio.sleep(self._lengths.around)
        began = time.monotonic()
        await self._hurt(fault)
        await asyncio.sleep(began + fault.settled_s + self._lengths.down - time.monotonic())
        returned = time.monotonic()
        await self._bring_back(fault)
        healed = await self._healed(returned)
        await asyncio.sleep(healed + self._lengths.around - time.monotonic())
        times = Times(began, returned, healed, time.monotonic(), self._lengths.around)
        await asyncio.sleep(_SETTLE_S)  # what was sent just now is answered, too
        if fault.forgets:
            await self._use_a_token()
        self._load.check()
        cells = cells_of(self._load, fault, times, self._catalogue)
        seen = self._since(times)
        broken = broken_rules(self._load, seen, dead=fault.part == "the sidecar")
        late_s = max(one.sent - one.due for one in seen)
        others = (self._others() - others) / (time.monotonic() - started)
        return Played(fault, times, windows_of(fault, times), cells, broken, late_s, others)

    def _since(self, times: Times) -> Sequence[Result]:
        first = times.began - times.before
        return [one for one in self._load.results if first <= one.sent < times.ended]

    async def _hurt(self, fault: Fault) -> None:
        if fault.hurt is Hurt.KILL:
            await self._stage.kill(fault.part)
        else:
            self._stage.stop(fault.part)

    async def _bring_back(self, fault: Fault) -> None:
        if fault.hurt is Hurt.KILL:
            await self._stage.start(fault.part)
        else:
            self._stage.go_on(fault.part)

    async def _healed(self, returned: float) -> float:
        """When all was well again. Raises ``AssertionError`` when it does not become so."""
        while time.monotonic() - returned < HEAL_LIMIT_S:
            self._load.check()
            await asyncio.sleep(_LOOK_EVERY_S)
            healed = healed_at(self._load, self._catalogue, returned, time.monotonic())
            if healed is not None:
                return healed
        last = {f"{one.kind.name}: {self._load.outcome(one)}" for one in self._load.results[-200:]}
        raise AssertionError(f"not healed after {HEAL_LIMIT_S:g} s: {sorted(last)}")

    async def _use_a_token(self) -> None:
        """Use one single-use token, and let it be the one that is replayed from now on."""
        (replayed,) = (kind for kind in KINDS if kind.token is Token.USED)
        load, token = self._load, self._load.tokens.new(replayed)
        call_id = load.send(replayed, token=token)

        async def used() -> bool:
            nonlocal call_id
            if call_id not in load.pending and call_id not in load.tool.arrivals:
                call_id = load.send(replayed, token=token)
            return call_id in load.tool.arrivals

        await until(used, "a single-use token to be used")
        load.tokens.keep(replayed, token)

    def _others(self) -> float:
        """Seconds of CPU of everybody else, so far."""
        return spent_by_all() - spent_by_us(self._stage.pids().values())

    def _cpu(self) -> dict[str, float]:
        """Seconds of CPU so far, by part; the tool and who sends are one."""
        spent = {name: spent_by(pid) for name, pid in self._stage.pids().items()}
        return spent | {"calls and tool": time.process_time()}


@asynccontextmanager
async def running(folder: Path, lengths: Lengths) -> AsyncIterator[Run]:
    """Everything up, and calls going out."""
    async with Stage(folder) as stage:
        catalogue = load_configuration(folder / "scopegate.yaml", {}).catalogue
        tokens = Tokens(stage.issuer, KINDS)
        async with Client(ENVOY_PORT, _CONNECTIONS) as client:
            load = Load(client, stage.tool, tokens)
            load.start()
            try:
                yield Run(stage, load, catalogue, lengths)
            finally:
                await load.stop()
