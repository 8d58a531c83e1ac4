"""Starts the parts of the demo, waits until each is ready, and stops each by its own process id.

Issuer and tool are servers of this process; the sidecar and Envoy are the real programs. Every
wait has a limit and asks a question, so that nothing is slower than it has to be.
"""

from __future__ import annotations

import asyncio
import errno
import math
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp

from examples.demo.issuer import Issuer
from examples.demo.tool import Tool

ENVOY_PORT: Final = 10000
TOOL_PORT: Final = 10001
ISSUER_PORT: Final = 10002
SIDECAR_PORT: Final = 10004
_PORTS: Final = (ENVOY_PORT, TOOL_PORT, ISSUER_PORT, SIDECAR_PORT)

_HERE: Final = Path(__file__).resolve().parent
SIDECAR_CONFIG: Final = _HERE / "scopegate.yaml"
ENVOY_CONFIG: Final = _HERE.parent.parent / "envoy" / "envoy.yaml"

_HEALTHY_ANSWERS: Final = "cluster.authz.health_check.success"
_PATIENCE: Final = 20.0
_POLITE: Final = 5.0
_BETWEEN_QUESTIONS: Final = 0.02


class DemoError(Exception):
    """Something outside the demo keeps it from running; the text says what to do."""


class PortTakenError(DemoError):
    """Another program listens where a part of the demo has to."""

    def __init__(self, port: int) -> None:
        super().__init__(f"port {port} of 127.0.0.1 is taken, and the demo needs it")


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, seconds: float = _PATIENCE
) -> float:
    """Ask until the answer is yes; the seconds it took. Raises ``TimeoutError`` naming ``what``."""
    started = time.monotonic()
    while not await condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"waited {seconds:g} s for: {what}")
        await asyncio.sleep(_BETWEEN_QUESTIONS)
    return time.monotonic() - started


def program(name: str) -> str:
    """Find a command of this very environment. Raises ``DemoError`` when it is not installed."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise DemoError(f"{path} is missing: install the project with its 'demo' group")
    return str(path)


class Program:
    """One child process, writing to ``<name>.out`` and ``<name>.log`` in its directory."""

    def __init__(self, directory: Path, name: str, *arguments: str) -> None:
        self.name = name
        self.out = directory / f"{name}.out"
        self.log = directory / f"{name}.log"
        self._directory = directory
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it is not ready yet."""
        with self.out.open("ab") as out, self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                program(self.name), *self._arguments, cwd=self._directory, stdout=out, stderr=log
            )

    async def ready(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for ``condition``. Raises ``DemoError`` with the end of its log when it fails."""

        async def ready_or_dead() -> bool:
            return self._exited or await condition()

        try:
            await until(ready_or_dead, f"{self.name} to be ready")
        except TimeoutError as late:
            raise DemoError(f"{late}\n{self._last_words()}") from late
        if self._exited:
            raise DemoError(f"{self.name} ended at once:\n{self._last_words()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process, if it is there."""
        if self._process is not None and not self._exited:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """Give it no chance to say good-bye."""
        self.send(signal.SIGKILL)
        await self._gone()

    async def stop(self) -> None:
        """Ask it to end, then make it end. Does nothing when it is gone."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a stopped process hears nothing else
        try:
            await asyncio.wait_for(self._gone(), _POLITE)
        except TimeoutError:
            await self.kill()

    @property
    def _exited(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    async def _gone(self) -> None:
        if self._process is not None:
            await self._process.wait()

    def _last_words(self) -> str:
        lines = self.out.read_text().splitlines() + self.log.read_text().splitlines()
        return "\n".join(lines[-15:])


class Stage:
    """Issuer, tool, sidecar and Envoy, as an async context; ``directory`` is fresh and empty."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.issuer = Issuer(ISSUER_PORT)
        self.tool = Tool(TOOL_PORT)
        self.sidecar = Program(directory, "scopegate", "sidecar", "--config", str(SIDECAR_CONFIG))
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
            parts.push_async_callback(self.sidecar.stop)
            await self.sidecar.start()
            await self.sidecar.ready(self._sidecar_ready)
            started = time.time()
            parts.push_async_callback(self.envoy.stop)
            await self.envoy.start()
            await self.envoy.ready(self._envoy_ready)
            # ``iat`` has whole seconds, and a single-use token from before the sidecar is refused.
            await asyncio.sleep(math.floor(started) + 1 - time.time())
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
