"""``scopegate deny add --from``: many revocations out of a file, in chunks that hold or do not."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

import msgspec

from sidecar.cli.deny_client import DenyFailed, call

_MOST_LINES: Final = 1000
_MOST_BYTES: Final = 512 * 1024
_STDIN: Final = Path("-")


@dataclass(slots=True)
class _Chunk:
    """Lines that are sent together, with the places that they come from."""

    lines: list[bytes] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    size: int = 0


class BadFileError(Exception):
    """The file cannot be read, or a line of it is wrong; says what was done until there."""


@dataclass(frozen=True, slots=True)
class Added:
    """What came of it."""

    entries: int
    published: bool


def add_many(socket: Path, source: Path, defaults: Mapping[str, Any]) -> Added:
    """Deny what every line says; a member that it lacks is taken from ``defaults``.

    Raises ``BadFileError``, and ``DenyFailed`` when nobody answers.
    """
    shown = "standard input" if source == _STDIN else str(source)
    try:
        if source == _STDIN:
            return asyncio.run(_send(socket, _chunks(sys.stdin, shown, defaults), shown))
        with source.open(encoding="utf-8") as file:
            return asyncio.run(_send(socket, _chunks(file, shown, defaults), shown))
    except (OSError, UnicodeDecodeError) as error:
        raise BadFileError(f"{shown} cannot be read: {type(error).__name__}") from None


async def _send(socket: Path, chunks: Iterator[_Chunk], shown: str) -> Added:
    entries, published = 0, True
    try:
        for chunk in chunks:
            answer = await _send_one(socket, chunk, shown)
            entries += answer["added"]
            published = answer["published"]
    except BadFileError as failed:
        raise BadFileError(f"{failed}{_before(entries)}") from None
    except DenyFailed as failed:
        raise DenyFailed(f"{failed}{_before(entries)}", failed.status) from None
    return Added(entries, published)


def _before(entries: int) -> str:
    return f"; the first {entries} entries are denied" if entries else "; no entry is denied"


async def _send_one(socket: Path, chunk: _Chunk, shown: str) -> Any:
    try:
        return await call(socket, "POST", "/deny/many", data=b"\n".join(chunk.lines))
    except DenyFailed as failed:
        line = failed.answer.get("line")
        if not isinstance(line, int):
            raise
        raise BadFileError(f"{shown}:{chunk.places[line - 1]}: {failed}") from None


def _chunks(file: TextIO, shown: str, defaults: Mapping[str, Any]) -> Iterator[_Chunk]:
    chunk = _Chunk()
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        text = _completed(line, f"{shown}:{number}", defaults)
        if len(chunk.lines) == _MOST_LINES or chunk.size + len(text) > _MOST_BYTES:
            yield chunk
            chunk = _Chunk()
        chunk.lines.append(text)
        chunk.places.append(number)
        chunk.size += len(text) + 1
    if chunk.lines:
        yield chunk


def _completed(line: str, place: str, defaults: Mapping[str, Any]) -> bytes:
    try:
        entry = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise BadFileError(f"{place}: must be a JSON object") from None
    meant = {name: value for name, value in defaults.items() if value not in {None, ""}}
    if entry.get("kind") == "kid":
        meant.pop("tenant", None)
    return msgspec.json.encode(meant | entry)
