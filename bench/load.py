"""Drives one server and measures it: a closed loop of calls in flight over one connection.

Latency is what the client sees. CPU is the server process's own, so that it holds whatever the
client costs; checks per second do not, once this client is the slower of the two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc

from bench.answers import fault_of_refusal
from bench.problem import BenchError
from bench.program import Program, running
from bench.server import Server
from bench.work import Work

IN_FLIGHT: Final = 16

_METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
_CALL_S: Final = 5.0
_START_S: Final = 30.0
_ASK_AGAIN_S: Final = 0.05
_CHANNEL: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.use_local_subchannel_pool", 1),
)

Ask: TypeAlias = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class ServerRow:
    """One server under load."""

    name: str
    checks: int
    """As many were measured, and every answer was the right one."""
    checks_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """CPU time of the server's process per check."""
    resident_mib: float
    """Resident memory afterwards."""


async def measure_server(server: Server, work: Work, *, checks: int, warm_up: int) -> ServerRow:
    """Start a server, see that it does the work, measure it and end it.

    Raises ``BenchError`` when it does not come up or any of its answers is wrong.
    """
    target = f"127.0.0.1:{server.port}"
    async with (
        running(server.name, server.command, server.directory) as program,
        grpc.aio.insecure_channel(target, options=_CHANNEL) as channel,
    ):
        ask = _asking(server, channel)
        await _until_right(server, program, ask, work.check)
        if server.judges:
            await _require_refusals(server, ask, work)
        await _drive(ask, work.check, warm_up)
        before = program.usage()
        load = await _drive(ask, work.check, checks)
        after = program.usage()
    _require_right(server, load.answers)
    return ServerRow(
        name=server.name,
        checks=checks,
        checks_per_s=checks / load.seconds,
        p50_ms=percentile(load.latencies, 50) * 1e3,
        p99_ms=percentile(load.latencies, 99) * 1e3,
        cpu_us=(after.cpu_s - before.cpu_s) / checks * 1e6,
        resident_mib=after.resident_bytes / 2**20,
    )


def percentile(values: list[float], share: int) -> float:
    """The value that ``share`` percent of ``values`` do not exceed (nearest rank)."""
    return sorted(values)[-(-len(values) * share // 100) - 1]


@dataclass(frozen=True, slots=True)
class _Load:
    seconds: float
    latencies: list[float]
    answers: list[bytes]


async def _drive(ask: Ask, check: bytes, checks: int) -> _Load:
    latencies: list[float] = []
    answers: list[bytes] = []

    async def keep_asking(turns: Iterator[int]) -> None:
        for _ in turns:
            started = time.perf_counter()
            answer = await ask(check)
            latencies.append(time.perf_counter() - started)
            answers.append(answer)

    turns = iter(range(checks))
    started = time.perf_counter()
    ends = await asyncio.gather(
        *(keep_asking(turns) for _ in range(IN_FLIGHT)), return_exceptions=True
    )
    seconds = time.perf_counter() - started
    for end in ends:
        if end is not None:
            raise end
    return _Load(seconds, latencies, answers)


def _asking(server: Server, channel: grpc.aio.Channel) -> Ask:
    call = channel.unary_unary(_METHOD)

    async def ask(check: bytes) -> bytes:
        try:
            answer: bytes = await call(check, timeout=_CALL_S)
        except grpc.aio.AioRpcError as error:
            raise BenchError(f"{server.name}: {error.code().name}: {error.details()}") from error
        return answer

    return ask


async def _until_right(server: Server, program: Program, ask: Ask, check: bytes) -> None:
    """Ask until the answer is the right one; nobody knows better when a server is ready."""
    until = time.monotonic() + _START_S
    while (wrong := await _fault_now(server, ask, check)) is not None:
        program.require_running()
        if time.monotonic() > until:
            raise BenchError(
                f"{server.name} did not come up in {_START_S:g} s; it last said: {wrong}\n"
                f"{program.last_words()}"
            )
        await asyncio.sleep(_ASK_AGAIN_S)


async def _fault_now(server: Server, ask: Ask, check: bytes) -> str | None:
    try:
        return server.fault(await ask(check))
    except BenchError as error:
        return str(error)


async def _require_refusals(server: Server, ask: Ask, work: Work) -> None:
    for what, check in work.refused.items():
        wrong = fault_of_refusal(await ask(check))
        if wrong is not None:
            raise BenchError(f"{server.name}: {what}: {wrong}")


def _require_right(server: Server, answers: list[bytes]) -> None:
    for number, answer in enumerate(answers, 1):
        wrong = server.fault(answer)
        if wrong is not None:
            raise BenchError(f"{server.name}: answer {number} of {len(answers)}: {wrong}")
