"""Starts the parts of the demo, waits until each is ready, and stops them.

Issuer and tool are servers of this process; the sidecar, Envoy and OPA are the real programs.
"""

from __future__ import annotations

import asyncio
import errno
import math
import signal
import socket
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from examples.demo.issuer import Issuer
from examples.demo.opa import build_bundle, opa_program, settings_for_opa, start_opa
from examples.demo.program import DemoError, Program
from examples.demo.tool import Tool

ENVOY_PORT: Final = 10000
TOOL_PORT: Final = 10001
ISSUER_PORT: Final = 10002
SIDECAR_PORT: Final = 10004
_PORTS: Final = (ENVOY_PORT, TOOL_PORT, ISSUER_PORT, SIDECAR_PORT)

LEEWAY: Final = 1
"""Seconds, as in ``scopegate.yaml``."""

_HERE: Final = Path(__file__).resolve().parent
SIDECAR_CONFIG: Final = _HERE / "scopegate.yaml"
ENVOY_CONFIG: Final = _HERE.parent.parent / "envoy" / "envoy.yaml"

_HEALTHY_ANSWERS: Final = "cluster.authz.health_check.success"


class PortTakenError(DemoError):
    """Another program listens where a part of the demo has to."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} of 127.0.0.1 is taken, and the demo needs it")


class Stage:
    """Issuer, tool, sidecar and Envoy, as an async context; ``directory`` is fresh and empty.

    ``opa`` is the path of an OPA that is to decide; without one, the sidecar decides by itself.
    """

    def __init__(self, directory: Path, *, opa: str = "") -> None:
        self.directory = directory
        self._opa_binary = opa
        self.issuer = Issuer(ISSUER_PORT)
        self.tool = Tool(TOOL_PORT)
        self.opa = opa_program(directory, opa)
        self.sidecar = Program(
            directory, "scopegate", "sidecar", "--config", str(SIDECAR_CONFIG),
            environment=settings_for_opa(directory) if opa else None,
        )  # fmt: skip
        self.envoy = Program(
            directory, "envoy", "--config-path", str(ENVOY_CONFIG), "--disable-hot-restart",
            "--concurrency", "1", "--log-level", "warning", "--file-flush-interval-msec", "100",
        )  # fmt: skip
        self._checked_before = 0
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for port in _PORTS:
            _require_free(port)
        async with AsyncExitStack() as parts:
            for server in (self.issuer, self.tool):
                parts.push_async_callback(server.stop)
                await server.start()
            self.http = await parts.enter_async_context(aiohttp.ClientSession())
            admin = aiohttp.UnixConnector(str(self.directory / "envoy-admin.sock"))
            self._envoy_admin = await parts.enter_async_context(
                aiohttp.ClientSession(connector=admin)
            )
            if self._opa_binary:
                await build_bundle(self.directory, self._opa_binary)
                parts.push_async_callback(self.opa.stop)
                await start_opa(self.opa)
            parts.push_async_callback(self.sidecar.stop)
            await self.sidecar.start()
            await self.sidecar.ready(self._sidecar_ready)
            started = time.time()
            parts.push_async_callback(self.envoy.stop)
            await self.envoy.start()
            await self.envoy.ready(self._envoy_ready)
            # ``iat`` has whole seconds, and a single-use token is refused that may be from before
            # the sidecar, were its issuer's clock ahead by the leeway.
            await asyncio.sleep(math.floor(started + LEEWAY) + 1 - time.time())
            self._parts = parts.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._parts.aclose()

    async def revive(self) -> None:
        """Start the sidecar again after a ``kill`` and wait until Envoy asks it again."""
        self._checked_before = await self.envoy_stat(_HEALTHY_ANSWERS)
        await self.sidecar.start()
        await self.sidecar.ready(self._envoy_ready)

    async def revive_opa(self) -> None:
        """Start OPA again after a ``kill``, or let a stopped one go on."""
        if self.opa.running:
            self.opa.send(signal.SIGCONT)
        else:
            await start_opa(self.opa)

    async def envoy_stat(self, name: str) -> int:
        """One counter or gauge of Envoy's, by its full name."""
        query = {"filter": f"^{name}$", "format": "json"}
        async with self._envoy_admin.get("http://envoy/stats", params=query) as answer:
            found = (await answer.json(content_type=None))["stats"]
        return int(found[0]["value"]) if found else 0

    async def sidecar_metric(self, name: str) -> int:
        """One number of the sidecar's, by its full name with its labels; 0 when there is none."""
        async with self.http.get(f"http://127.0.0.1:{SIDECAR_PORT}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        found = [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]
        return int(float(found[0])) if found else 0

    async def _sidecar_ready(self) -> bool:
        try:
            async with self.http.get(f"http://127.0.0.1:{SIDECAR_PORT}/readyz") as answer:
                return answer.status == 200  # noqa: PLR2004 - HTTP's own number
        except aiohttp.ClientError:
            return False

    async def _envoy_ready(self) -> bool:
        """Whether Envoy takes requests and its health check has found this very sidecar."""
        try:
            async with self._envoy_admin.get("http://envoy/ready") as answer:
                if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
                    return False
            if await self.envoy_stat(_HEALTHY_ANSWERS) <= self._checked_before:
                return False  # what else it knows may be of a sidecar that is dead by now
            return await self.envoy_stat("cluster.authz.membership_healthy") == 1
        except aiohttp.ClientError:
            return False


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortTakenError(port) from error
            raise
