"""Floods, cheap for who sends them: bytes that are made beforehand, from an attacker's client.

``flood`` is many HTTP/2 requests at once, from this process. ``Crowd`` is many HTTP/1.1 connections
from a process of its own, so that what the tool and good clients see is not the crowd's own delay;
it counts what each kind of request got.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from examples.demo.processes import ENVOY_PORT

CLOSED: Final = "closed"
"""What a request got that Envoy's limit of connections, or of a header's size, cut off."""
SILENT: Final = "silent"
"""What a request got that waited longer than any timeout of Envoy's."""

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_PATIENCE: Final = 20.0
_SILENCE: Final = 8.0  # the tool's route has 5 s
_AGAIN: Final = 0.05  # before a connection is made again
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = 9  # octets of a frame's header, RFC 9113 section 4.1
_DATA, _HEADERS, _RST_STREAM, _SETTINGS = 0x0, 0x1, 0x3, 0x4
_END_STREAM: Final = 0x1
_END_HEADERS: Final = 0x4


# --- HTTP/2, all at once -------------------------------------------------------------------------


async def flood(method: str, path: str, *, connections: int, streams: int) -> None:
    """Send ``connections`` times ``streams`` requests without a token and wait for their ends.

    It reads no headers: Envoy counts what became of them. Raises ``TimeoutError`` when they have
    not come in a while.
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


# --- HTTP/1.1, a crowd ---------------------------------------------------------------------------


class Crowd:
    """A process with one connection for each of its requests, as an async context.

    Each connection sends its own request ``gets`` times, one after the other, is closed, made again
    and so on until ``seconds`` are over. Most have to be made again and again anyway: Envoy takes
    fewer at once.
    """

    def __init__(
        self, requests: Mapping[str, Sequence[bytes]], *, gets: int, seconds: float
    ) -> None:
        """``requests`` are whole HTTP/1.1 requests by their kind."""
        longest = max(len(raws) for raws in requests.values())
        # In turn, so that no kind takes all the connections that Envoy has.
        pairs = [
            (kind, raws[number].decode("latin-1"))
            for number in range(longest)
            for kind, raws in requests.items()
            if number < len(raws)
        ]
        self._plan = json.dumps({"requests": pairs, "gets": gets, "seconds": seconds})
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start the process; it has its requests and waits."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.e2e.flood", cwd=_ROOT,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await self._say(self._plan)
        await self._hear()
        return self

    async def begin(self) -> None:
        """Let it loose."""
        await self._say("go")

    async def results(self) -> dict[str, Counter[str]]:
        """How many requests of a kind got which status, once all is over."""
        found: dict[str, dict[str, int]] = json.loads(await self._hear())
        return {kind: Counter(counts) for kind, counts in found.items()}

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _PATIENCE)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _say(self, line: str) -> None:
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("not started")
        self._process.stdin.write(line.encode() + b"\n")
        await self._process.stdin.drain()

    async def _hear(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            raise RuntimeError("not started")
        async with asyncio.timeout(_PATIENCE):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("the crowd is gone")
        return line


async def _crowd(requests: list[tuple[str, str]], gets: int, seconds: float) -> str:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    end = asyncio.get_running_loop().time() + seconds

    async def one(kind: str, raw: bytes) -> None:
        while asyncio.get_running_loop().time() < end:
            try:
                async with asyncio.timeout(_SILENCE):
                    await _visit(raw, gets, counts[kind])
            except TimeoutError:
                counts[kind][SILENT] += 1
            except (OSError, asyncio.IncompleteReadError):
                counts[kind][CLOSED] += 1
            await asyncio.sleep(_AGAIN)  # who was let in stands at the end of the queue again

    await asyncio.gather(*(one(kind, text.encode("latin-1")) for kind, text in requests))
    return json.dumps(counts)


async def _visit(raw: bytes, gets: int, counts: Counter[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", ENVOY_PORT)
    try:
        for _ in range(gets):
            writer.write(raw)
            head = await reader.readuntil(b"\r\n\r\n")
            status, *fields = head.decode("latin-1").lower().split("\r\n")
            length = next((one[15:] for one in fields if one.startswith("content-length:")), "0")
            await reader.readexactly(int(length))
            counts[status.split()[1]] += 1
    finally:
        writer.transport.abort()  # no TIME_WAIT: it would run out of ports before Envoy does


def _main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    plan = json.loads(sys.stdin.readline())
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.stdin.readline():
        sys.stdout.write(asyncio.run(_crowd(**plan)) + "\n")


if __name__ == "__main__":
    _main()
