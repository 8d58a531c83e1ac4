"""A whole line on ports of its own: issuer, tool, a real sidecar and a real Envoy.

Its settings are the demo's, but for what a test says; its catalogue is the test's.
"""

from __future__ import annotations

import asyncio
import json
import math
import ssl
import time
from collections.abc import Awaitable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import yaml
from yarl import URL

from examples.demo.client import Answer
from examples.demo.issuer import Issuer
from examples.demo.listening import Listening
from examples.demo.processes import SIDECAR_CONFIG
from examples.demo.program import Program
from examples.demo.tool import Tool
from sidecar.config.build import load_configuration
from tests.e2e.mtls import Identity
from tests.e2e.own_envoy import Door, OwnEnvoy, gate_document
from tests.real_parts import ROOT

HOST: Final = "127.0.0.1"
PLAIN: Final = Door("plain")
LEEWAY_S: Final = 1
"""Of issuers and proofs: for so long after a ledger began, what is new may be from before it."""


NO_OPEN_LANE: Final = {
    "when": "sidecar",
    "access": "read",
    "stance": "closed",
    "reason": "callers are compared",
}
"""As one of a route's ``outages``."""


@dataclass(frozen=True, slots=True)
class Heard(Answer):
    """An answer with what stands in its headers."""

    challenge: str = ""
    """``WWW-Authenticate``."""


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who calls: with a certificate or without, from an address of this machine."""

    identity: Identity | None = None
    address: str = HOST

    def context(self, trusted: Path) -> ssl.SSLContext:
        """What it speaks TLS with, to a server that ``trusted`` vouches for."""
        context = ssl.create_default_context(cafile=trusted if trusted.exists() else None)
        if self.identity is not None:
            context.load_cert_chain(self.identity.certificate, self.identity.key)
        return context


NOBODY: Final = Client()


class OwnLine:
    """Everything up and healthy, as an async context; ``directory`` is fresh and short."""

    def __init__(
        self, directory: Path, catalogue: Mapping[str, Any], *doors: Door, **sections: Any
    ) -> None:
        """``sections`` stand in the settings instead of the demo's."""
        self.directory = directory
        self.issuer = Issuer(0)
        self.tool = Tool(0)
        self.sidecar = Program(directory, "scopegate", "sidecar", "--config", "scopegate.yaml")
        self.trusted = directory / "authority.pem"
        self._catalogue = catalogue
        self._doors = doors or (PLAIN,)
        self._sections = sections
        self._clients: dict[Client, aiohttp.ClientSession] = {}
        self._parts = AsyncExitStack()
        self.envoy: OwnEnvoy

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as parts:
            for server in (self.issuer, self.tool):
                parts.push_async_callback(server.stop)
                await server.start()
            self._write_settings()
            configuration = load_configuration(self.directory / "scopegate.yaml", {})
            parts.push_async_callback(self.sidecar.stop)
            await self.sidecar.start()
            document = gate_document(
                configuration.catalogue, self._doors, tool=port_of(self.tool),
                issuer=port_of(self.issuer), authz=self.directory / "sidecar.sock",
            )  # fmt: skip
            self.envoy = OwnEnvoy(self.directory, document)
            parts.push_async_callback(self._close)
            parts.push_async_callback(self.envoy.stop)
            await self.envoy.start()
            await self.sidecar.ready(self._asked)
            # What is single-use and has whole seconds may else be from before the sidecar.
            await asyncio.sleep(math.floor(time.time() + LEEWAY_S) + 1 - time.time())
            self._parts = parts.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._parts.aclose()

    def url(self, target: str, door: Door = PLAIN) -> str:
        """Where ``target`` is behind a door, as a client names it."""
        return url_of(self.envoy, door, target)

    async def call(
        self,
        method: str,
        url: str,
        token: str | None = None,
        *,
        by: Client = NOBODY,
        scheme: str = "Bearer",
        headers: Iterable[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
    ) -> Heard:
        """Send one request; ``url`` goes out as it is. A body goes as JSON."""
        sent = [*headers]
        if token is not None:
            sent.append(("Authorization", f"{scheme} {token}"))
        if body is not None:
            sent.append(("Content-Type", "application/json"))
        data = None if body is None else json.dumps(body).encode()
        started = time.perf_counter()
        async with self._session(by).request(
            method, URL(url, encoded=True), headers=sent, data=data
        ) as answer:
            text = await answer.text()
            challenge = answer.headers.get("www-authenticate", "")
        return Heard(answer.status, text, (time.perf_counter() - started) * 1000, challenge)

    async def refusals(self, *calls: Awaitable[Heard]) -> list[str]:
        """The words of what is asked for in turn; none of it may have reached the tool."""
        before = self.tool.calls
        words = [(await one).word for one in calls]
        assert self.tool.calls == before
        return words

    async def metric(self, name: str) -> float:
        """One number of the sidecar's, by its full name with its labels; 0 when there is none."""
        async with self._session(NOBODY).get(
            f"http://{HOST}:{self._said('serving')['admin_port']}/metrics"
        ) as answer:
            lines = (await answer.text()).splitlines()
        found = [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]
        return float(found[0]) if found else 0.0

    def logged(self, event: str) -> list[dict[str, Any]]:
        """Every such line of the sidecar's log."""
        lines = (line for line in self.sidecar.log.read_text().splitlines() if line[:1] == "{")
        return [one for one in map(json.loads, lines) if one.get("event") == event]

    def _said(self, event: str) -> dict[str, Any]:
        (line,) = self.logged(event)
        return line

    def _session(self, client: Client) -> aiohttp.ClientSession:
        if client not in self._clients:
            connector = aiohttp.TCPConnector(
                ssl=client.context(self.trusted), local_addr=(client.address, 0)
            )
            self._clients[client] = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._clients[client]

    async def _close(self) -> None:
        for session in self._clients.values():
            await session.close()

    async def _asked(self) -> bool:
        """Whether Envoy's health check has found this sidecar."""
        return await self.envoy.stat("cluster.authz.membership_healthy") == 1 and bool(
            await self.envoy.stat("cluster.authz.health_check.success")
        )

    def _write_settings(self) -> None:
        settings: dict[str, Any] = yaml.safe_load(SIDECAR_CONFIG.read_text())
        settings["admin"]["http"] = f"{HOST}:0"
        settings["policy"]["paths"] = [str(ROOT / "policies")]
        (issuer,) = settings["issuers"]
        issuer["jwks"] = {"url": f"http://{HOST}:{port_of(self.issuer)}/jwks.json"}
        settings |= self._sections
        (self.directory / "scopegate.yaml").write_text(yaml.safe_dump(settings))
        (self.directory / "catalogue.yaml").write_text(yaml.safe_dump(dict(self._catalogue)))


def url_of(envoy: OwnEnvoy, door: Door, target: str) -> str:
    scheme = "http" if door.tls is None else "https"
    return f"{scheme}://{HOST}:{envoy.ports[door.name]}{target}"


def port_of(server: Listening) -> int:
    """The port that a server was given; it asked for any."""
    runner = server._runner
    assert runner is not None
    port: int = runner.addresses[0][1]
    return port


def route(name: str, **more: Any) -> dict[str, Any]:
    """A route of a catalogue: GET and PUT of ``/<name>/{item}``, for scopes on items."""
    operations = {"GET": {"scope": "read:items:{item}"}, "PUT": {"scope": "read:items:{item}"}}
    return {
        "name": name,
        "path": f"/{name}/{{item}}",
        "audience": "tools",
        "operations": operations,
        **more,
    }


def catalogue_of(*routes: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": 1, "routes": list(routes), **more}
