"""What an operator denied and lifted, in JSON lines, for a deny list that has no other memory.

{"op":"deny","kind":"agent","issuer":"...","tenant":"...","value":"...","until":1800000000.0}
{"op":"lift","kind":"agent","issuer":"...","tenant":"...","value":"..."}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import structlog

from sidecar.adapters.own_file import OwnFile
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind

_log = structlog.get_logger(__name__)

_FORGETTABLE_LINES: Final = 1000


class _Lift(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="op",
    tag="lift",
):
    kind: DenyKind
    issuer: str
    tenant: str
    value: str

    def key(self) -> DenyKey:
        return DenyKey(self.kind, self.issuer, self.tenant, self.value)


class _Deny(_Lift, frozen=True, kw_only=True, tag="deny"):
    until: float
    not_before: float | None = None
    reason: str = ""


Change: TypeAlias = DenyEntry | DenyKey
"""An entry to hold, or a key under which nothing holds any more."""


class BrokenDenyFileError(ValueError):
    """A line that is no change: whoever started without it would forget a revocation."""


class DenyFile:
    """The file. Raises ``OSError`` as ``OwnFile`` does."""

    def __init__(self, path: Path) -> None:
        self._file = OwnFile(path)
        self._lines = 0

    def load(self) -> Iterator[Change]:
        """Every change, in order. Raises ``BrokenDenyFileError``, naming file and line.

        A last line without its end was cut off by a crash before anybody was told that it holds,
        unless it is whole: then an operator's editor left the end out.
        """
        content = self._file.read()
        *lines, rest = content.split(b"\n")
        for self._lines, line in enumerate(lines, start=1):
            yield self._read(line)
        if not rest:
            return
        self._lines += 1
        try:
            change = self._read(rest)
        except BrokenDenyFileError:
            self._lines -= 1
            _log.warning("deny_file_line_cut_off", file=str(self._file.path))
            self._file.cut(len(content) - len(rest))
            return
        self._file.append(b"\n", durably=True)
        yield change

    def keep(self, change: Change) -> None:
        """Write a change down durably. Raises ``OSError`` when it is not kept."""
        self._file.append(_written(change), durably=True)
        self._lines += 1

    def keep_only(self, entries: Iterable[DenyEntry]) -> None:
        """Forget how these came about. Raises ``OSError`` when the file is as it was."""
        lines = [_written(entry) for entry in entries]
        self._file.replace(lines)
        self._lines = len(lines)

    def is_long_for(self, entries: int) -> bool:
        """Whether most of the file's lines mean nothing any more."""
        return self._lines > 2 * entries + _FORGETTABLE_LINES

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self, line: bytes) -> Change:
        try:
            found: _Deny | _Lift = msgspec.json.decode(line, type=_Deny | _Lift)
        except (msgspec.MsgspecError, ValueError) as bad:
            raise BrokenDenyFileError(f"{self._file.path}:{self._lines}: {bad}") from None
        if not isinstance(found, _Deny):
            return found.key()
        return DenyEntry(found.key(), found.until, found.not_before, found.reason)


def _written(change: Change) -> bytes:
    key = change.key if isinstance(change, DenyEntry) else change
    names = (key.kind, key.issuer, key.tenant, key.value)
    if isinstance(change, DenyKey):
        return msgspec.json.encode(_Lift(*names)) + b"\n"
    until, not_before = change.until, change.not_before
    line = _Deny(*names, until=until, not_before=not_before, reason=change.reason)
    return msgspec.json.encode(line) + b"\n"
