"""Measures one server through Envoy: HTTP calls, each of which Envoy lets the server check.

Latency is what the HTTP client sees, Envoy's own part included. CPU is the server's alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from bench.answers import SENT, SENT_BY_FLOOR, SENT_BY_WORK, fault_of_blocked, fault_of_sent
from bench.envoy import envoy_command, envoy_program
from bench.measured import Load, Measured, measured
from bench.problem import BenchError
from bench.program import Program, free_port, running
from bench.ready import FaultNow, until_right
from bench.server import Server
from bench.work import PATH, Call, Work
from bench.wrk import drive, wrk_program

_CALL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Tools:
    """Programs that are not ours."""

    envoy: Path
    wrk: Path


def find_tools() -> Tools:
    """Find them, before anything is measured. Raises ``BenchError`` with what to install."""
    return Tools(envoy=envoy_program(), wrk=wrk_program())


async def measure_through_envoy(
    server: Server, work: Work, tools: Tools, *, seconds: int, warm_up: int
) -> Measured:
    """Start a server and an Envoy before it, measure the server, and end both.

    The load lasts for ``seconds``, after ``warm_up`` seconds of it (0 for none) that do not count.
    Raises ``BenchError`` when they do not come up or any answer is wrong, before, while or after.
    """
    directory, port = server.directory / "envoy", free_port()
    directory.mkdir(exist_ok=True)
    command = envoy_command(
        tools.envoy, directory, port=port, authz_port=server.port, marker=work.marker
    )
    async with (
        running(server.name, server.command, server.directory) as program,
        running("Envoy", command, directory) as envoy,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
    ):
        through = _Through(server, work, tools.wrk, port, http)
        await until_right(through.name, through.fault_now(), program, envoy)
        await through.require_refusals()
        if warm_up:
            await through.load(program, warm_up)
        before = program.usage()
        load = await through.load(program, seconds)
        after = program.usage()
        await through.require_refusals()
    return measured(load, before, after)


class _Through:
    """One server behind an Envoy that listens on ``port``."""

    def __init__(
        self, server: Server, work: Work, wrk: Path, port: int, http: aiohttp.ClientSession
    ) -> None:
        self.name = f"{server.name} through Envoy"
        self._server = server
        self._work = work
        self._wrk = wrk
        self._port = port
        self._http = http
        self._wanted = SENT_BY_WORK if server.judges else SENT_BY_FLOOR

    def fault_now(self) -> FaultNow:
        async def fault_now() -> str | None:
            try:
                status, sent = await self._ask(self._work.call)
            except BenchError as error:
                return str(error)
            return fault_of_sent(status, sent, self._wanted)

        return fault_now

    async def require_refusals(self) -> None:
        if not self._server.judges:
            return
        for what, call in self._work.refused.items():
            wrong = fault_of_blocked(*await self._ask(call))
            if wrong is not None:
                raise BenchError(f"{self.name}: {what}: {wrong}")

    async def load(self, program: Program, seconds: int) -> Load:
        try:
            return await drive(
                self._wrk,
                self._server.directory / "wrk",
                port=self._port,
                call=self._work.call.as_http(),
                wanted=self._wanted,
                seconds=seconds,
            )
        except BenchError as error:
            program.require_running()
            raise BenchError(f"{self.name}: {error}") from error

    async def _ask(self, call: Call) -> tuple[int, str | None]:
        """Status and what the route says it was sent."""
        limit = aiohttp.ClientTimeout(total=_CALL_S)
        asking = self._http.post(PATH, data=call.body, headers=call.headers(), timeout=limit)
        try:
            async with asking as answer:
                return answer.status, answer.headers.get(SENT)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise BenchError(f"{self.name}: {error}") from error
