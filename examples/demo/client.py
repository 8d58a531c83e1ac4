"""An agent's HTTP client: one call through Envoy, and what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession
from yarl import URL

from examples.demo.processes import ENVOY_PORT


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent got."""

    status: int
    body: str
    milliseconds: float

    @property
    def word(self) -> str:
        """The status, and for a refusal its reason: scopegate's word, or the guard's sentence."""
        if self.status < 400:  # noqa: PLR2004 - from here on it is a refusal
            return str(self.status)
        said = self._json().get("reason") or self.body.strip()
        return f"{self.status} {said}".strip()

    @property
    def echo(self) -> dict[str, Any]:
        """The request as the tool saw it; empty when no tool answered."""
        document = self._json()
        echo: dict[str, Any] = document.get("echo") or document.get("result", {}).get("echo", {})
        return echo

    @property
    def headers(self) -> dict[str, list[str]]:
        """The headers that the tool saw: lower-case name to every value."""
        headers: dict[str, list[str]] = self.echo.get("headers", {})
        return headers

    def _json(self) -> dict[str, Any]:
        try:
            document = json.loads(self.body)
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}


async def call(
    http: ClientSession,
    method: str,
    target: str,
    token: str | None = None,
    *,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | dict[str, Any] | None = None,
) -> Answer:
    """Send one request; ``target`` goes out byte for byte. A dict goes as JSON."""
    sent = [*headers]
    if token is not None:
        sent.append(("Authorization", f"Bearer {token}"))
    if isinstance(body, dict):
        sent.append(("Content-Type", "application/json"))
        body = json.dumps(body).encode()
    url = URL(f"http://127.0.0.1:{ENVOY_PORT}{target}", encoded=True)
    started = time.perf_counter()
    async with http.request(method, url, headers=sent, data=body) as answer:
        text = await answer.text()
    return Answer(answer.status, text, (time.perf_counter() - started) * 1000)


def tool_call(name: str, **arguments: object) -> dict[str, Any]:
    """The body of an MCP ``tools/call``."""
    params = {"name": name, "arguments": arguments}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
