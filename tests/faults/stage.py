"""All parts for real, each a process of its own that can be killed, stopped and started again.

Envoy as ``envoy/`` has it, the sidecar, OPA with ``policies/``, Redis with the users of ``redis/``,
the relay, the issuer's keys. Only the tool runs here, beside who sends the calls.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import aiohttp

from examples.demo.issuer import ISSUER, TENANT, Issuer
from examples.demo.opa import build_bundle, opa_program, start_opa
from examples.demo.processes import (
    _PORTS,
    ENVOY_CONFIG,
    ISSUER_PORT,
    SIDECAR_PORT,
    TOOL_PORT,
    _require_free,
)
from examples.demo.program import Program, program, until
from tests.faults.files import write_files
from tests.faults.kinds import REVOKED_AGENT
from tests.faults.tool import Tool
from tests.real_parts import ROOT, opa_binary, redis_server


class Stage:
    """``async with Stage(folder) as stage``; ``parts`` by the names that the faults use.

    ``folder`` is fresh and its path short: sockets are in it. Raises for a part that is missing,
    naming it.
    """

    def __init__(self, folder: Path) -> None:
        scopegate, self._folder = program("scopegate"), folder
        self._opa_path = str(opa_binary())
        self.issuer = Issuer(ISSUER_PORT)
        self.tool = Tool(TOOL_PORT)
        redis = Program(
            folder, "redis", "--port", "0", "--unixsocket", "redis.sock", "--save", "",
            "--appendonly", "no", "--maxmemory-policy", "noeviction", "--aclfile", "users.acl",
            binary=str(redis_server()),
        )  # fmt: skip
        keys = Program(
            folder, "issuer", "-m", "tests.faults.issuer", "jwks.json", str(ISSUER_PORT),
            binary=sys.executable, environment={"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self._relay = ("deny", "relay", "--config", "relay.yaml")
        relay = Program(folder, "relay", *self._relay, binary=scopegate)
        sidecar = Program(
            folder, "sidecar", "sidecar", "--config", "scopegate.yaml", binary=scopegate
        )
        self.envoy = Program(
            folder, "envoy", "--config-path", str(ENVOY_CONFIG), "--disable-hot-restart",
            "--concurrency", "1", "--log-level", "warning", "--file-flush-interval-msec", "100",
        )  # fmt: skip
        self.parts: dict[str, Program] = {
            "Redis": redis, "the JWKS server": keys, "the relay": relay, "the sidecar": sidecar,
        }  # fmt: skip
        self._up = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for port in _PORTS:
            _require_free(port)
        async with AsyncExitStack() as up:
            write_files(self._folder, self.issuer)
            up.push_async_callback(self.tool.stop)
            await self.tool.start()
            self._http = await up.enter_async_context(aiohttp.ClientSession())
            await build_bundle(self._folder, self._opa_path)
            self.parts["OPA"] = opa_program(self._folder, self._opa_path)
            for name in ("Redis", "the JWKS server", "OPA"):
                up.push_async_callback(self.parts[name].stop)
                await self.start(name)
            await self._begin_feed()
            for name in ("the relay", "the sidecar"):
                up.push_async_callback(self.parts[name].stop)
                await self.start(name)
            await self._revoke()
            up.push_async_callback(self.envoy.stop)
            await self.envoy.start()
            await self.envoy.ready(self._envoy_ready)
            self._up = up.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._up.aclose()

    async def kill(self, name: str) -> None:
        """``kill -9``, and wait for its end."""
        await self.parts[name].kill()

    async def start(self, name: str) -> None:
        """Start a part, again after ``kill`` too, and wait until it serves."""
        part = self.parts[name]
        if name == "OPA":
            await start_opa(part)
            return
        await part.start()
        await part.ready(self._serving[name])

    def stop(self, name: str) -> None:
        """``SIGSTOP``: it keeps its sockets and says nothing."""
        self.parts[name].send(signal.SIGSTOP)

    def go_on(self, name: str) -> None:
        """``SIGCONT``."""
        self.parts[name].send(signal.SIGCONT)

    def pids(self) -> dict[str, int]:
        """The process ids of all parts, by name."""
        every = {**self.parts, "Envoy": self.envoy}
        return {
            name: part._process.pid for name, part in every.items() if part._process is not None
        }

    @property
    def _serving(self) -> dict[str, Callable[[], Awaitable[bool]]]:
        local = "http://127.0.0.1"
        return {
            "Redis": self._redis_serving,
            "the JWKS server": lambda: self._answers(f"{local}:{ISSUER_PORT}/jwks.json"),
            "the relay": self._relay_serving,
            "the sidecar": lambda: self._answers(f"{local}:{SIDECAR_PORT}/readyz"),
        }

    async def _answers(self, url: str) -> bool:
        try:
            async with self._http.get(url) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _redis_serving(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(self._folder / "redis.sock")
        except OSError:
            return False
        writer.write(b"PING\r\n")
        said = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return said.startswith(b"-NOAUTH")

    async def _relay_serving(self) -> bool:
        return await self._over("relay.sock", "/deny")

    async def _envoy_ready(self) -> bool:
        """It takes requests, its health check has found the sidecar, and its guard has keys."""
        if not await self._over("envoy-admin.sock", "/ready"):
            return False
        token = self.issuer.mint("read:customers:7")
        headers = {"Authorization": f"Bearer {token}"}
        url = "http://127.0.0.1:10000/customers/7"
        try:
            async with self._http.get(url, headers=headers) as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def _over(self, socket: str, path: str) -> bool:
        connector = aiohttp.UnixConnector(str(self._folder / socket))
        async with aiohttp.ClientSession(connector=connector) as http:
            try:
                async with http.get(f"http://local{path}") as answer:
                    return answer.status == 200
            except aiohttp.ClientError:
                return False

    async def _begin_feed(self) -> None:
        """The relay's first start, which makes its journal."""
        first = Program(
            self._folder, "relay-init", *self._relay, "--init", binary=program("scopegate")
        )
        try:
            await first.start()
            await first.ready(self._relay_serving)
        finally:
            await first.stop()

    async def _revoke(self) -> None:
        """By the operator's command; the sidecar hears of it through the feed."""
        command = await asyncio.create_subprocess_exec(
            program("scopegate"), "deny", "add", "--socket", "relay.sock", "--issuer", ISSUER,
            "--tenant", TENANT, "--agent", REVOKED_AGENT, "--for", "3600",
            cwd=self._folder, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await command.wait() == 0
        await until(self._revoked, "the sidecar to hear of the revocation")

    async def _revoked(self) -> bool:
        async with self._http.get(f"http://127.0.0.1:{SIDECAR_PORT}/metrics") as answer:
            return 'scopegate_deny_entries{store="redis"} 1.0' in await answer.text()
