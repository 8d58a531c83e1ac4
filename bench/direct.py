"""Measures one server directly: a closed loop of gRPC calls in flight over one connection.

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
from bench.measured import IN_FLIGHT, Load, Measured, measured, percentile
from bench.problem import BenchError
from bench.program import running
from bench.ready import FaultNow, until_right
from bench.server import Server
from bench.work import Work

_METHOD: Final = "/envoy.service.auth.v3.Authorization/Check"
_CALL_S: Final = 5.0
_CHANNEL: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.use_local_subchannel_pool", 1),
)

Ask: TypeAlias = Callable[[bytes], Awaitable[bytes]]


async def measure_directly(server: Server, work: Work, *, checks: int, warm_up: int) -> Measured:
    """Start a server, see that it does the work, measure it, see that it still does, and end it.

    Raises ``BenchError`` when it does not come up or any of its answers is wrong.
    """
    target = f"127.0.0.1:{server.port}"
    async with (
        running(server.name, server.command, server.directory) as program,
        grpc.aio.insecure_channel(target, options=_CHANNEL) as channel,
    ):
        ask = _asking(server, channel)
        await until_right(server.name, _fault_now(server, ask, work.check), program)
        await _require_refusals(server, ask, work)
        await _drive(ask, work.check, warm_up)
        before = program.usage()
        driven = await _drive(ask, work.check, checks)
        after = program.usage()
        await _require_refusals(server, ask, work)
    _require_right(server, driven.answers)
    p50_ms, p99_ms = (percentile(driven.latencies, share) * 1e3 for share in (50, 99))
    return measured(Load(checks, driven.seconds, p50_ms, p99_ms), before, after)


@dataclass(frozen=True, slots=True)
class _Driven:
    seconds: float
    latencies: list[float]
    answers: list[bytes]


async def _drive(ask: Ask, check: bytes, checks: int) -> _Driven:
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
    return _Driven(seconds, latencies, answers)


def _asking(server: Server, channel: grpc.aio.Channel) -> Ask:
    call = channel.unary_unary(_METHOD)

    async def ask(check: bytes) -> bytes:
        try:
            answer: bytes = await call(check, timeout=_CALL_S)
        except grpc.aio.AioRpcError as error:
            raise BenchError(f"{server.name}: {error.code().name}: {error.details()}") from error
        return answer

    return ask


def _fault_now(server: Server, ask: Ask, check: bytes) -> FaultNow:
    async def fault_now() -> str | None:
        try:
            return server.fault(await ask(check))
        except BenchError as error:
            return str(error)

    return fault_now


async def _require_refusals(server: Server, ask: Ask, work: Work) -> None:
    if not server.judges:
        return
    for what, call in work.refused.items():
        wrong = fault_of_refusal(await ask(work.check_of(call)))
        if wrong is not None:
            raise BenchError(f"{server.name}: {what}: {wrong}")


def _require_right(server: Server, answers: list[bytes]) -> None:
    for number, answer in enumerate(answers, 1):
        wrong = server.fault(answer)
        if wrong is not None:
            raise BenchError(f"{server.name}: answer {number} of {len(answers)}: {wrong}")
