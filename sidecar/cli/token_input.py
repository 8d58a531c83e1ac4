"""The token of ``scopegate token inspect``: out of a file or standard input, never an argument.

Others see a program's arguments, and shells keep them.
"""

from __future__ import annotations

import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import typer

from sidecar.core.model import Scheme

AS_ARGUMENT: Final = (
    "a token is no argument: others see arguments, and shells keep them (take this one out of "
    "the history); give it on standard input, or name a file with --token-file"
)
_STDIN: Final = Path("-")
_LONGEST: Final = 1_048_576
_SCHEME: Final = re.compile(rb"(?:authorization:\s*)?(?:(bearer|dpop)\s+)?", re.IGNORECASE)
_LIKE_A_TOKEN: Final = re.compile(r"(?:\A|[\s=])ey[A-Za-z0-9_-]{6}")


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody wants to have explained."""

    token: bytes = field(repr=False)
    scheme: Scheme
    """As it stood before the token; Bearer when nothing did."""


class NoTokenError(Exception):
    """There is no token to look at. The text says why and holds none."""


def is_like_a_token(text: str) -> bool:
    """Tell whether text looks like a token in the wrong place, so that nobody repeats it."""
    return _LIKE_A_TOKEN.search(text) is not None


def read_token(file: Path | None) -> Given:
    """Read the one token of ``file``, or of standard input; white space around it is no part of it.

    Before it may stand ``Bearer``, ``DPoP`` or the name of their header. Raises ``NoTokenError``.
    """
    where = "standard input" if file is None or file == _STDIN else str(file)
    raw = _read_stdin() if file is None or file == _STDIN else _read_file(file)
    raw = raw.strip()
    match = _SCHEME.match(raw)
    token = raw[match.end() :] if match else raw
    if not token:
        raise NoTokenError(f"{where} holds no token")
    named = match[1] if match else None
    return Given(token, Scheme((named or b"bearer").lower().decode()))


def _read_stdin() -> bytes:
    if sys.stdin.isatty():
        typer.echo("paste the token, then press Enter and Ctrl-D", err=True)
    return sys.stdin.buffer.read(_LONGEST)


def _read_file(file: Path) -> bytes:
    if is_like_a_token(str(file)):
        raise NoTokenError(AS_ARGUMENT)
    try:
        # Opening a pipe that nobody writes to would wait for ever.
        if not stat.S_ISREG(file.stat().st_mode):
            raise NoTokenError(f"{file} is no regular file")
        with file.open("rb") as opened:
            return opened.read(_LONGEST)
    except OSError as error:
        raise NoTokenError(f"{file} cannot be read: {error.strerror}") from None
