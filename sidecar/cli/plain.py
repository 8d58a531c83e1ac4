"""Text for a terminal out of values that somebody else chose: ASCII, on one line, no escapes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

_MAX_SHOWN: Final = 256
_NOT_PLAIN: Final = re.compile(r"[^ -~]")
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_UNITS: Final = ((2 * _DAY, _DAY, "days"), (2 * _HOUR, _HOUR, "h"), (2 * _MINUTE, _MINUTE, "min"))

# Whoever has one of these could use it: a compact JWS or JWE inside of a claim.
_TOKEN: Final = re.compile(r"eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_.-]*")
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


def plain(text: str) -> str:
    """Escape everything but visible ASCII and spaces, as JSON does."""
    return _NOT_PLAIN.sub(_escaped, text)


def value(said: Any) -> str:
    """Write a claim's value as JSON, cut off where it is long; ``nothing`` for None."""
    if said is None:
        return "nothing"
    text = json_text(said)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def json_text(said: Any, *, indent: int | None = None) -> str:
    """Write JSON in ASCII that holds no control character but its own line ends."""
    return json.dumps(said, indent=indent)


def without_secrets(said: Any) -> Any:
    """Copy a JSON value without signatures, private keys and tokens that stand in it."""
    if isinstance(said, str):
        return _TOKEN.sub("(a token, not shown)", said)
    if isinstance(said, list):
        return [without_secrets(item) for item in said]
    if isinstance(said, dict):
        return {without_secrets(name): _member(said, name) for name in said}
    return said


def _member(members: Mapping[str, Any], name: str) -> Any:
    if name == "signature" or (name in _PRIVATE and "kty" in members):
        return "(not shown)"
    return without_secrets(members[name])


def moment(seconds: float) -> str:
    """Write a time, in seconds since the epoch, in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return "beyond the calendar"


def since(then: float, now: float) -> str:
    """Tell when that was or will be: ``in 4 min``, ``12 min ago``, ``now``."""
    if then == now:
        return "now"
    words = span(abs(then - now))
    return f"in {words}" if then > now else f"{words} ago"


def span(seconds: float) -> str:
    """Write a duration in its largest unit of which there are two at least."""
    for limit, unit, name in _UNITS:
        if seconds >= limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.3g} s" if seconds < _MINUTE else f"{seconds:.0f} s"


def _escaped(match: re.Match[str]) -> str:
    return json.dumps(match[0])[1:-1]
