"""The same check without gRPC: one call of ``Pipeline.check`` after the other, in this process.

The pipeline is the sidecar's own, from its composition root; its front listens and is not asked.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.answers import fault_of_allow
from bench.measured import percentile
from bench.problem import BenchError
from bench.work import Work
from sidecar.assembly import serving
from sidecar.config.build import load_configuration
from sidecar.core.locate import locate
from sidecar.core.model import Call, Refused, Request
from sidecar.envoy_api.codec import decode
from sidecar.outages import Outages
from sidecar.pipeline import Pipeline, Walk

_WARM_UP: Final = 100
_LIMIT_S: Final = 5.0
_UNSEEN_AT_MOST: Final = 2_500
"""Of each kind: fewer than the sidecar remembers, so that no forgetting is measured."""


@dataclass(frozen=True, slots=True)
class InsideRow:
    """One kind of check inside a process."""

    name: str
    checks: int
    cpu_us: float
    """CPU time per check, which says more than the clock on a machine that others use."""
    p50_us: float
    p99_us: float


async def measure_inside(config: Path, work: Work, *, checks: int) -> tuple[InsideRow, ...]:
    """A token seen before, and a token that is new with every check.

    Raises ``BenchError`` when any answer is wrong.
    """
    new = min(checks, _UNSEEN_AT_MOST)
    unseen = work.unseen(_WARM_UP + 2 * new)
    async with serving(load_configuration(config, {})) as sidecar:
        pipeline = sidecar.pipeline
        await _answers(pipeline, [work.check] * _WARM_UP)
        seen_row = await _measure(pipeline, "token seen before", [work.check] * checks)
        await _answers(pipeline, unseen[:_WARM_UP])
        new_row = await _measure(pipeline, "token new each time", unseen[_WARM_UP:-new])
        return (
            seen_row,
            new_row,
            await _measure_steps(pipeline, "steps 2 to 4, seen before", [work.check] * checks),
            await _measure_steps(pipeline, "steps 2 to 4, new", unseen[-new:]),
        )


async def _measure(pipeline: Pipeline, name: str, checks: Sequence[bytes]) -> InsideRow:
    cpu_before = time.process_time()
    latencies, answers = await _answers(pipeline, checks)
    cpu_s = time.process_time() - cpu_before
    for number, answer in enumerate(answers, 1):
        wrong = fault_of_allow(answer)
        if wrong is not None:
            raise BenchError(f"in process, {name}: answer {number} of {len(answers)}: {wrong}")
    return InsideRow(
        name=name,
        checks=len(checks),
        cpu_us=cpu_s / len(checks) * 1e6,
        p50_us=percentile(latencies, 50) * 1e6,
        p99_us=percentile(latencies, 99) * 1e6,
    )


async def _measure_steps(pipeline: Pipeline, name: str, checks: Sequence[bytes]) -> InsideRow:
    """Only the verification: from a located call to a verified agent."""
    calls = [_located(pipeline, check) for check in checks]
    latencies: list[float] = []
    cpu_before = time.process_time()
    for walk, request, call in calls:
        started = time.perf_counter()
        agent = await walk.authenticate(request, call, Outages(call, walk.now))
        latencies.append(time.perf_counter() - started)
        if isinstance(agent, Refused):
            raise BenchError(f"in process, {name}: {agent.reason.word}")
    cpu_s = time.process_time() - cpu_before
    return InsideRow(
        name=name,
        checks=len(checks),
        cpu_us=cpu_s / len(checks) * 1e6,
        p50_us=percentile(latencies, 50) * 1e6,
        p99_us=percentile(latencies, 99) * 1e6,
    )


def _located(pipeline: Pipeline, check: bytes) -> tuple[Walk, Request, Call]:
    gate, clock = pipeline.live.current, pipeline.clock
    request = decode(check)
    if isinstance(request, Refused):
        raise BenchError(f"in process: {request.reason.word}")
    call = locate(request, gate.catalogue, gate.markers)
    if isinstance(call, Refused):
        raise BenchError(f"in process: {call.reason.word}")
    return Walk(pipeline, gate, "bench", clock.now(), clock.monotonic() + _LIMIT_S), request, call


async def _answers(pipeline: Pipeline, checks: Sequence[bytes]) -> tuple[list[float], list[bytes]]:
    """Seconds and answers, in the order of ``checks``."""
    latencies: list[float] = []
    answers: list[bytes] = []
    for check in checks:
        deadline = pipeline.clock.monotonic() + _LIMIT_S
        started = time.perf_counter()
        answer = await pipeline.check(check, peer="bench", deadline=deadline)
        latencies.append(time.perf_counter() - started)
        answers.append(answer)
    return latencies, answers
