"""What no real OPA does on demand: an HTTP server that answers questions and probes badly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Self

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeOpa:
    """``async with FakeOpa(socket) as opa``: ``opa.question`` and ``opa.health`` answer.

    ``questions`` holds the body of every question that arrived, in order.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.question: Answer = saying(b'{"result":{"action":"allow"}}')
        self.health: Answer = saying(b"{}")
        self.questions: list[bytes] = []
        self.left = asyncio.Event()
        """Set when a client has hung up on a question."""
        self._asked = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_get("/health", self._health)
        app.router.add_post("/v1/data/scopegate/ruling", self._question)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.socket)).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def asked(self, times: int) -> None:
        """Wait until so many questions have arrived, ever."""
        async with self._asked:
            await self._asked.wait_for(lambda: len(self.questions) >= times)

    async def _health(self, request: web.Request) -> web.StreamResponse:
        return await self.health(request)

    async def _question(self, request: web.Request) -> web.StreamResponse:
        self.questions.append(await request.read())
        async with self._asked:
            self._asked.notify_all()
        try:
            return await self.question(request)
        except asyncio.CancelledError:
            self.left.set()
            raise


def saying(body: bytes, status: int = 200, **headers: str) -> Answer:
    """Answer with this; ``a_b`` stands for the header ``a-b``."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return answer


def pouring(megabytes: int) -> Answer:
    """Answer with that much of nothing, in chunks."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(megabytes):
            await response.write(b" " * (1 << 20))
        await response.write_eof()
        return response

    return answer


async def silence(_: web.Request) -> web.StreamResponse:
    """Answer never."""
    await asyncio.Event().wait()
    raise AssertionError


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()
