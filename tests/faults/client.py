"""An HTTP/2 client that costs little: whole requests out, status and body back (RFC 9113).

Many calls share a few connections, as agents' calls do behind a proxy: hundreds may wait at once,
and Envoy takes a limited number of connections. It reads of a response what it needs, its status
and its body, and asks for headers without a dynamic table so that they can be read one by one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Self, TypeAlias

NO_ANSWER: Final = 0
"""The status of a request that got none."""
STREAMS: Final = 32
"""What Envoy takes at once on one connection."""

Answered: TypeAlias = Callable[[int, bytes], None]
"""Called once with status and body."""

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_ACK = _END_STREAM = 0x1
_END_HEADERS: Final = 0x4
_NO_TABLE: Final = bytes((0, 1, 0, 0, 0, 0))  # SETTINGS_HEADER_TABLE_SIZE 0
_WIDE_WINDOW: Final = (2**31 - 1 - 65_535).to_bytes(4, "big")
_STATUS_INDEXED: Final = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}  # RFC 7541
_DIGITS: Final = (
    "00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111",
)  # fmt: skip


def request(
    method: str, path: str, headers: Iterable[tuple[str, str]], body: bytes = b""
) -> tuple[bytes, bytes]:
    """The header block and the body of a request to ``tools.example``."""
    pseudo = ((":method", method), (":scheme", "http"), (":path", path))
    every = (*pseudo, (":authority", "tools.example"), *headers)
    block = b"".join(
        b"\x00" + _string(name.encode()) + _string(value.encode()) for name, value in every
    )
    return block, body


class Client:
    """Keeps ``connections`` to one loopback port. ``async with Client(port, 12) as client``."""

    def __init__(self, port: int, connections: int) -> None:
        self._port = port
        self._connections = [_Connection() for _ in range(connections)]
        self._next = 0

    async def __aenter__(self) -> Self:
        for connection in self._connections:
            await self._open(connection)
        return self

    async def __aexit__(self, *_: object) -> None:
        """What was not answered yet is told so."""
        for connection in self._connections:
            connection.close()
        await asyncio.sleep(0)

    def send(self, made: tuple[bytes, bytes], answered: Answered) -> None:
        """Send now, on the connection with the fewest calls under way."""
        usable = [one for one in self._connections if one.room > 0]
        if usable:
            max(usable, key=lambda one: one.room).send(*made, answered)
        else:
            answered(NO_ANSWER, b"no room")

    async def _open(self, connection: _Connection) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: connection, "127.0.0.1", self._port)


@dataclass(slots=True)
class _Stream:
    answered: Answered
    status: int = NO_ANSWER
    body: bytearray = field(default_factory=bytearray)


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.gone = False
        self._unread = bytearray()
        self._streams: dict[int, _Stream] = {}
        self._next_id = 1
        self._transport: asyncio.WriteTransport | None = None

    @property
    def room(self) -> int:
        return 0 if self.gone or self._transport is None else STREAMS - len(self._streams)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        wide = _frame(_WINDOW_UPDATE, 0, 0, _WIDE_WINDOW)
        transport.write(_PREFACE + _frame(_SETTINGS, 0, 0, _NO_TABLE) + wide)

    def connection_lost(self, _: Exception | None) -> None:
        self.gone = True
        for number in tuple(self._streams):
            self._end(number)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def send(self, block: bytes, body: bytes, answered: Answered) -> None:
        assert self._transport is not None
        number, self._next_id = self._next_id, self._next_id + 2
        self._streams[number] = _Stream(answered)
        ending = 0 if body else _END_STREAM
        frames = _frame(_HEADERS, _END_HEADERS | ending, number, block)
        self._transport.write(frames + _frame(_DATA, _END_STREAM, number, body) if body else frames)

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while len(self._unread) >= 9:
            end = 9 + int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < end:
                return
            head, payload = bytes(self._unread[3:9]), bytes(self._unread[9:end])
            del self._unread[:end]
            self._take(head[0], head[1], int.from_bytes(head[2:], "big"), payload)

    def _take(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        assert self._transport is not None
        if kind in {_SETTINGS, _PING} and not flags & _ACK:
            echo = payload if kind == _PING else b""
            self._transport.write(_frame(kind, _ACK, 0, echo))
        elif kind == _GOAWAY:
            self.gone = True
        elif kind == _RST_STREAM:
            self._end(number)
        elif kind in {_HEADERS, _DATA} and number in self._streams:
            stream = self._streams[number]
            if kind == _DATA:
                stream.body += payload
            elif not stream.status:  # what comes later are trailers
                stream.status = _status(payload)
            if flags & _END_STREAM:
                self._end(number)

    def _end(self, number: int) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.answered(stream.status, bytes(stream.body))


def reason_of(body: bytes) -> str:
    """The reason in an ``application/problem+json``; empty in anything else."""
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    return str(document.get("reason", "")) if isinstance(document, dict) else ""


def _frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big")
    return head + payload


def _string(value: bytes) -> bytes:
    """RFC 7541, section 5.2, without Huffman."""
    if len(value) < 127:
        return bytes((len(value),)) + value
    rest, length = len(value) - 127, b"\x7f"
    while rest >= 128:
        length += bytes((rest % 128 + 128,))
        rest //= 128
    return length + bytes((rest,)) + value


def _huffman(digits: str) -> bytes:
    bits = "".join(_DIGITS[int(digit)] for digit in digits)
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


_STATUS_CODED: Final = {_huffman(str(code)): code for code in range(100, 600)}


def _status(block: bytes) -> int:
    """``:status``, which comes first."""
    while block[0] & 0xE0 == 0x20:  # a table size update
        block = block[1:]
    if block[0] & 0x80:
        return _STATUS_INDEXED[block[0] & 0x7F]
    assert block[0] & 0x0F == 8, "the first field is no :status"
    length = block[1] & 0x7F
    value = block[2 : 2 + length]
    return _STATUS_CODED[value] if block[1] & 0x80 else int(value)
