"""A real issuer for tests: an HTTP server on loopback that publishes a JWK Set, well or badly."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Self

from aiohttp import web
from multidict import CIMultiDictProxy

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class JwksServer:
    """``async with JwksServer(document) as issuer``: it serves ``issuer.document`` at its ``url``.

    ``requests`` holds the headers of every request in order, ``paths`` what each was for;
    ``not_modified`` counts the 304s. With ``tls`` it speaks nothing else.
    """

    def __init__(self, document: bytes = b"", *, tls: ssl.SSLContext | None = None) -> None:
        self.document = document
        self.etags = True
        self.headers: dict[str, str] = {}
        self.answer: Answer | None = None
        """What to answer instead of the document."""
        self.pages: dict[str, Answer] = {}
        """What to answer at these paths before all else."""
        self.now: Callable[[], float] | None = None
        """The time of its ``Date``, in seconds since the epoch; None: the real one."""
        self.requests: list[CIMultiDictProxy[str]] = []
        self.paths: list[str] = []
        self.not_modified = 0
        self.port = 0
        self._tls = tls
        self._open = asyncio.Event()
        self._open.set()
        self._asked = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return self.at("/jwks.json")

    def at(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http{'s' if self._tls else ''}://{host}:{self.port}{path}"

    def hold(self) -> None:
        """Let requests arrive and answer none, until ``release``."""
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    async def held(self) -> None:
        """Wait here for ``release``, in an answer."""
        await self._open.wait()

    async def asked(self, times: int) -> None:
        """Wait until so many requests have arrived, ever."""
        async with self._asked:
            await self._asked.wait_for(lambda: len(self.requests) >= times)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._serve)
        # A handler whose client has left is of no more use; at the end nobody waits for one.
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()
        await self.stop()

    async def stop(self) -> None:
        """Refuse connections from now on."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.headers)
        self.paths.append(request.path)
        async with self._asked:
            self._asked.notify_all()
        if answer := self.pages.get(request.path, self.answer):
            return await answer(request)
        document = self.document
        await self.held()
        etag = f'"{hashlib.sha256(document).hexdigest()}"'
        headers = self.headers | ({"ETag": etag} if self.etags else {})
        if self.now is not None:
            headers = {"Date": formatdate(self.now(), usegmt=True)} | headers
        if self.etags and request.headers.get("If-None-Match") == etag:
            self.not_modified += 1
            return web.Response(status=304, headers=headers)
        return web.Response(body=document, headers=headers, content_type="application/json")


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Answer with this status and body; ``a_b`` stands for the header ``a-b``."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=code, body=body, headers=named)

    return answer


async def hang_up(request: web.Request) -> web.StreamResponse:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.close()
    return web.Response()


def stall(server: JwksServer, first: bytes) -> Answer:
    """Send the beginning of a body, and the rest when the server is released."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(first)
        server.hold()
        await server.held()
        return response

    return answer


def pour(megabytes: int, *, sized: bool) -> Answer:
    """Send that much of nothing, with its length or in chunks, to a client that reads it all."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if sized:
            response.content_length = megabytes << 20
        await response.prepare(request)
        for _ in range(megabytes):
            await response.write(b" " * (1 << 20))
        await response.write_eof()
        return response

    return answer


def raw(answer: bytes, *, every_s: float = 0, reset: bool = False) -> Answer:
    """Send these very bytes and hang up: one in ``every_s`` or all at once; ``reset``: by RST."""

    async def send(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert transport is not None
        for byte in answer if every_s else b"":
            transport.write(bytes([byte]))
            await asyncio.sleep(every_s)
        if not every_s:
            transport.write(answer)
        if reset:
            linger = struct.pack("ii", 1, 0)
            connection: socket.socket = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        transport.close()
        return web.Response()

    return send


def in_turn(*answers: Answer) -> Answer:
    """Give these answers one after the other, and then again from the first."""
    left: list[Answer] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        left[:] = left or answers
        return await left.pop(0)(request)

    return answer
