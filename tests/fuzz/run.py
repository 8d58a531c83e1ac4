"""The fuzzer's loop: try cases, judge what came of them, count, and keep what must not be."""

from __future__ import annotations

import asyncio
import time
import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from joserfc.errors import SecurityWarning

from sidecar.core.model import Agent, Call, Refused, Request
from sidecar.core.reasons import Reason
from tests.fuzz import steps
from tests.fuzz.case import Case
from tests.fuzz.second_opinion import Rejected, second_opinion

LIMIT_S: Final = 0.005
"""The most CPU that steps 2 to 4 may take for one token."""
KEPT: Final = Path(__file__).resolve().parent.parent.parent / ".cache" / "fuzz-findings.jsonl"
"""Where findings go; once mended, they belong into ``case.CORPUS``."""

_WORST: Final = 10
_MEASURED_AGAIN: Final = 3
_MOST_FINDINGS: Final = 20
_ASK_REFUSED: Final = 4
"""Of the refused tokens, one in so many is shown to the whole gate and to the second verifier."""
_PASSED: Final = "passed"

Opinion: TypeAlias = Callable[[Request], frozenset[str]]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be."""

    kind: str
    """``crash``, ``slow``, ``accepted`` (and the second verifier rejects) or ``disagrees`` (the
    gate says something else than its steps)."""
    detail: str
    case: Case

    def __str__(self) -> str:
        return f"{self.kind}: {self.detail}: {self.case.how}"


@dataclass(slots=True)
class Tally:
    """What a run saw."""

    cases: int = 0
    gated: int = 0
    """How many of them went through the whole gate, too."""
    seconds: float = 0.0
    reached: Counter[str] = field(default_factory=Counter)
    """Reasons of steps 2 to 4, and ``passed``."""
    later: Counter[str] = field(default_factory=Counter)
    """What the gate refused good tokens for."""
    agreed: Counter[str] = field(default_factory=Counter)
    """``both accept`` and ``both reject``."""
    stricter: Counter[str] = field(default_factory=Counter)
    """Our reasons for what the second verifier accepts."""
    listed: Counter[str] = field(default_factory=Counter)
    times: array[float] = field(default_factory=lambda: array("d"))
    """CPU seconds of each token."""
    worst: list[tuple[float, str]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    def at(self, share: float) -> float:
        """The CPU seconds that this share of all tokens stays below."""
        ordered = sorted(self.times)
        return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


@dataclass(slots=True)
class Fuzzer:
    """What is tried; a test puts something broken in its place."""

    judge: steps.Judge = steps.judge
    answer: steps.Answer = field(default_factory=steps.gate)
    opinion: Opinion = second_opinion
    tally: Tally = field(default_factory=Tally)
    suspects: list[Case] = field(default_factory=list)
    """What took too long, and is measured again when all else is done: a machine is busy for a
    while, an expensive token always."""

    async def run(self, cases: Iterable[Case], *, go_on: Callable[[], bool]) -> Tally:
        """Try one case after the other while ``go_on`` says so and findings are few."""
        started = time.monotonic()
        with warnings.catch_warnings():
            # joserfc warns of the name EdDSA, which issuers write and RFC 9864 replaces.
            warnings.simplefilter("ignore", SecurityWarning)
            for case in cases:
                if not go_on() or self._found() >= _MOST_FINDINGS:
                    break
                await self._try(case)
            self._measure_suspects()
        self.tally.seconds += time.monotonic() - started
        return self.tally

    async def _try(self, case: Case) -> None:
        self.tally.cases += 1
        raw = case.check()
        asked = steps.asked(raw)
        if isinstance(asked, Refused):
            self._find("crash", f"the request itself is {asked.reason.word}", case)
            return
        try:
            said = self._timed(case, *asked)
        except Exception as bug:  # noqa: BLE001 - whatever it is, it must not be
            self._find("crash", repr(bug)[:200], case)
            return
        reason = said.reason if isinstance(said, Refused) else None
        self.tally.reached[reason.word if reason else _PASSED] += 1
        if reason is None or self.tally.cases % _ASK_REFUSED == 0:
            self._compare(case, asked[0], reason)
            await self._gate(case, raw, reason)

    def _timed(self, case: Case, request: Request, call: Call) -> Agent | Refused:
        took, said = self._measured(request, call)
        self.tally.times.append(took)
        if took > min(LIMIT_S, self._least_of_worst()):
            # Others' load and the collector cost one run, not four of them.
            again = (self._measured(request, call)[0] for _ in range(_MEASURED_AGAIN))
            took = min(took, *again)
            self.tally.worst.append((took, case.how))
            self.tally.worst.sort(reverse=True)
            del self.tally.worst[_WORST:]
            if took > LIMIT_S:
                self.suspects.append(case)
        return said

    def _measure_suspects(self) -> None:
        while self.suspects:
            case = self.suspects.pop(0)
            asked = steps.asked(case.check())
            if isinstance(asked, Refused):
                continue
            took = min(self._measured(*asked)[0] for _ in range(_MEASURED_AGAIN))
            if took > LIMIT_S:
                self._find("slow", f"{took * 1000:.1f} ms", case)

    def _found(self) -> int:
        return len(self.tally.findings) + len(self.suspects)

    def _measured(self, request: Request, call: Call) -> tuple[float, Agent | Refused]:
        began = time.thread_time()
        said = self.judge(request, call)
        return time.thread_time() - began, said

    def _least_of_worst(self) -> float:
        worst = self.tally.worst
        return worst[-1][0] if len(worst) == _WORST else 0.0

    def _compare(self, case: Case, request: Request, reason: Reason | None) -> None:
        try:
            aside = self.opinion(request)
        except Rejected as no:
            self.tally.agreed["both reject"] += reason is not None
            if reason is None:
                self._find("accepted", f"the second verifier says {no}", case)
            return
        if reason is not None:
            self.tally.stricter[reason.word] += 1
            return
        self.tally.agreed["both accept"] += 1
        self.tally.listed.update(aside)

    async def _gate(self, case: Case, raw: bytes, reason: Reason | None) -> None:
        self.tally.gated += 1
        try:
            answered = await self.answer(raw)
        except Exception as bug:  # noqa: BLE001 - the pipeline never raises
            self._find("crash", f"the gate: {bug!r}"[:200], case)
            return
        if not answered.complete or answered.reason is Reason.INTERNAL_ERROR:
            detail = "internal_error" if answered.complete else "no complete answer"
            self._find("crash", f"the gate: {detail}", case)
        elif reason is None and answered.reason in steps.LATER:
            self.tally.later[answered.reason.word] += 1
        elif answered.reason is not reason:
            other = answered.reason.word if answered.reason else _PASSED
            self._find("disagrees", f"the gate: {other}", case)

    def _find(self, kind: str, detail: str, case: Case) -> None:
        self.tally.findings.append(Finding(kind, detail, case))


def fuzz(cases: Iterable[Case], *, seconds: float, fuzzer: Fuzzer | None = None) -> Tally:
    """Try cases for so many seconds of wall time."""
    ends = time.monotonic() + seconds
    running = (fuzzer or Fuzzer()).run(cases, go_on=lambda: time.monotonic() < ends)
    return asyncio.run(running)


def keep(findings: Iterable[Finding], path: Path = KEPT) -> None:
    """Write the cases of findings where ``case.kept`` reads them; each once."""
    path.parent.mkdir(exist_ok=True)
    before = path.read_text().splitlines() if path.exists() else []
    lines = dict.fromkeys(finding.case.line() for finding in findings)
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines if line not in before)
