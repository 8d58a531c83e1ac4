"""Many HTTP/2 requests at once, cheap for who sends them: the frames are the same every time.

An attacker's client, not a good one. It reads no headers; Envoy counts what became of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from examples.demo.processes import ENVOY_PORT

_PATIENCE: Final = 20.0
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = 9  # octets of a frame's header, RFC 9113 section 4.1
_DATA, _HEADERS, _RST_STREAM, _SETTINGS = 0x0, 0x1, 0x3, 0x4
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4


async def flood(method: str, path: str, *, connections: int, streams: int) -> None:
    """Send ``connections`` times ``streams`` requests without a token and wait for their ends.

    Raises ``TimeoutError`` when they have not come in a while.
    """
    async with asyncio.timeout(_PATIENCE):
        await asyncio.gather(*(_connection(method, path, streams) for _ in range(connections)))


async def _connection(method: str, path: str, streams: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ENVOY_PORT)
    writer.write(_PREFACE + _frame(_SETTINGS, 0, 0) + b"".join(_requests(method, path, streams)))
    try:
        open_streams = streams
        while open_streams:
            open_streams -= await _ended(reader)
    finally:
        writer.close()
        await writer.wait_closed()


async def _ended(reader: asyncio.StreamReader) -> bool:
    """Whether the next frame is the last one of a request."""
    head = await reader.readexactly(_HEAD)
    await reader.readexactly(int.from_bytes(head[:3], "big"))
    kind, flags = head[3], head[4]
    return kind == _RST_STREAM or (kind in {_DATA, _HEADERS} and bool(flags & _END_STREAM))


def _requests(method: str, path: str, streams: int) -> Iterator[bytes]:
    # Literals without indexing, by the static table's names (RFC 7541, appendix A); 0x86 is http.
    block = b"\x86" + b"".join(
        bytes((name, len(value))) + value.encode()
        for name, value in ((0x02, method), (0x04, path), (0x01, "tools.example"))
    )
    for number in range(streams):
        yield _frame(_HEADERS, _END_HEADERS | _END_STREAM, 2 * number + 1, block)


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return (
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
    )
