"""JSON that no two parsers read differently.

Whoever writes the bytes is not trusted, and others parse them after us: the policy engine, the
tool. So whatever parsers are known to disagree on is refused here: members that stand twice,
numbers that do not fit, half characters, encodings besides UTF-8 (RFC 8259, section 8.1; RFC 7493).
Depth and the number of values are bounded before parsing: the parser recurses, and whoever sends
many small values could keep the one thread busy that answers everybody.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from math import isfinite
from typing import Any, Final

import msgspec

_MIN_INT: Final = -(2**63)
_MAX_INT: Final = 2**64 - 1
_MAX_DIGITS: Final = 20  # of a 64-bit number with its sign; int() is quadratic in the digits

MAX_VALUES: Final = 4096
"""Objects, arrays and their items in one document."""

# Up to the end of the input where no quote ends it: trying again at every quote inside would take
# time by the square. The parser stops there anyway.
_STRING: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_STRUCTURE: Final = bytes(byte for byte in range(256) if byte not in b"{}[],")


def parse_object(raw: bytes, *, max_depth: int) -> dict[str, Any]:
    """Read the one JSON object that ``raw`` holds, and nothing beside it.

    Integers fit into 64 bits, floats are finite, member names are unique at every depth, and text
    can be written as UTF-8. At most ``max_depth`` objects and arrays stand inside each other; keep
    it well below the interpreter's recursion limit. Raises ``ValueError`` with a short reason that
    quotes nothing of ``raw``.
    """
    _refuse_deeper_or_wider(raw, max_depth)
    try:
        value = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - the input's fault, as all others
    if rb"\ud" in raw or rb"\uD" in raw:
        _refuse_lone_surrogates(value)
    return value


def _refuse_deeper_or_wider(raw: bytes, max_depth: int) -> None:
    opened = raw.count(b"{") + raw.count(b"[")
    if opened <= max_depth and opened + raw.count(b",") <= MAX_VALUES:
        return
    # Up to the first error the parser and this scan count alike; the parser gets no further.
    structure = _STRING.sub(b"", raw).translate(None, _NOT_STRUCTURE)
    if len(structure) - structure.count(b"}") - structure.count(b"]") > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    depth = 0
    for mark in structure.replace(b",", b""):
        depth += 1 if mark in b"{[" else -1
        if depth > max_depth:
            raise ValueError(f"nested deeper than {max_depth}")


def _refuse_lone_surrogates(value: dict[str, Any]) -> None:
    try:
        msgspec.json.encode(value)
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair") from None


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) <= _MAX_DIGITS and _MIN_INT <= (number := int(digits)) <= _MAX_INT:
        return number
    raise ValueError("an integer beyond 64 bits")


def _float(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("a number beyond a double")
    # A tool that reads decimals would hear another amount than the one that we judged.
    if Decimal(digits) != Decimal(repr(number)):
        raise ValueError("a number more precise than a double")
    return number


def _constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_int=_integer,
    parse_float=_float,
    parse_constant=_constant,
)
