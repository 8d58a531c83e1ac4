"""The tool behind the gate: it believes everything, costs little, and notes what reached it.

It runs in the process of who sends the calls: nobody hurts the tool, and both logs share one clock.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

CALL_ID: Final = b"x-call-id"
"""The header by which a call is known again; nobody on the way touches it."""
UNASKED: Final = b"x-envoy-auth-failure-mode-allowed"
SKIPPED: Final = b"x-authz-skipped"
_CLAIMED: Final = b"x-agent-id"
_DECIDED: Final = b"x-authz-decision-id"
_ANSWER: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@dataclass(slots=True)
class Arrival:
    """How a call reached the tool."""

    skipped: tuple[str, ...]
    """The questions that nobody answered, by the words of the stance table."""
    unasked: bool
    """Envoy let it pass although the sidecar had said nothing."""
    named: bool
    """It says who calls, and names a decision."""
    times: int = 1


@dataclass(slots=True)
class Tool:
    """``async with Tool(port) as tool``; ``arrivals`` by the call's id."""

    port: int
    arrivals: dict[int, Arrival] = field(default_factory=dict)
    _server: asyncio.Server | None = None
    _open: set[asyncio.BaseTransport] = field(default_factory=set)

    async def start(self) -> None:
        """Listen. Raises ``OSError`` when somebody else does."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Conversation(self, self._open), "127.0.0.1", self.port
        )

    async def stop(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
            for transport in tuple(self._open):
                transport.close()
            await self._server.wait_closed()

    def note(self, headers: dict[bytes, list[bytes]]) -> None:
        """Remember one call by its headers."""
        call_id = int(headers.get(CALL_ID, [b"-1"])[0])
        if call_id in self.arrivals:
            self.arrivals[call_id].times += 1
            return
        skipped = b",".join(headers.get(SKIPPED, []))
        self.arrivals[call_id] = Arrival(
            tuple(word.strip().decode() for word in skipped.split(b",") if word.strip()),
            headers.get(UNASKED) == [b"true"],
            _CLAIMED in headers and _DECIDED in headers,
        )


class _Conversation(asyncio.Protocol):
    """One kept connection of Envoy's: one request after the other, bodies with their length."""

    def __init__(self, tool: Tool, connections: set[asyncio.BaseTransport]) -> None:
        self._tool = tool
        self._connections = connections
        self._unread = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._connections.add(transport)

    def connection_lost(self, _: Exception | None) -> None:
        if self._transport is not None:
            self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while (end := self._unread.find(b"\r\n\r\n")) >= 0:
            headers = _headers(self._unread[:end])
            body = int(headers.get(b"content-length", [b"0"])[0])
            assert b"transfer-encoding" not in headers
            if len(self._unread) < end + 4 + body:
                return
            self._unread = self._unread[end + 4 + body :]
            self._tool.note(headers)
            assert self._transport is not None
            self._transport.write(_ANSWER)


def _headers(head: bytes) -> dict[bytes, list[bytes]]:
    headers: dict[bytes, list[bytes]] = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return headers
