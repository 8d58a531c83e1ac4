"""(1) The request target: ``:path`` as Envoy sends it, split and decoded once, or refused.

Envoy is configured to normalise paths before we see them (dots, slashes, escaped slashes), so
whatever two readers could still read in two ways is an attack, not a spelling: it is refused,
never repaired. Splitting comes before decoding, so that no escape can make a segment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, unquote_plus

from sidecar.core.model import Refused
from sidecar.core.reasons import Reason

MAX_PATH_BYTES: Final = 4 * 1024
MAX_QUERY_BYTES: Final = 8 * 1024
MAX_QUERY_PAIRS: Final = 256

# Bytes 0x21-0x7e and whole escapes, without "#" (a fragment never travels), "?" and "\".
_PATH: Final = re.compile(
    rb"/[!\"$&->@-\[\]-~]*(?:%[0-9A-Fa-f]{2}[!\"$&->@-\[\]-~]*)*",
)
# The same with "?" and "\", without ";": some servers split pairs there and others do not.
_QUERY: Final = re.compile(rb"[!\"$&-:<-~]*(?:%[0-9A-Fa-f]{2}[!\"$&-:<-~]*)*")

_NEVER_IN_A_SEGMENT: Final = re.compile(r"[/\\\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Target:
    """A request target in origin form (RFC 9112, section 3.2.1); fields as in ``Request``."""

    path: str
    """Without the query, not decoded."""
    segments: tuple[str, ...]
    """Decoded, see ``split_path``."""
    raw_query: str
    """What follows the first ``?``, not decoded; empty when nothing does."""
    query: tuple[tuple[str, str], ...]
    """Decoded names and values in their order; ``+`` is a space, and a missing value is empty."""


def parse_target(raw: bytes) -> Target | Refused:
    """Read the value of ``:path``: ``/path?query``, percent-encoded ASCII.

    ``PATH_MALFORMED`` for other forms of a target, and for a path with empty or dot segments,
    broken escapes, or escapes that hide a separator, a control character or no UTF-8.
    ``QUERY_MALFORMED`` for broken escapes, no UTF-8, a bare ``;`` or more than the limits above.
    """
    raw_path, _, raw_query = raw.partition(b"?")
    segments = _segments_of(raw_path)
    if isinstance(segments, Refused):
        return segments
    query = _pairs_of(raw_query)
    if isinstance(query, Refused):
        return query
    return Target(raw_path.decode("ascii"), segments, raw_query.decode("ascii"), query)


def split_path(path: str) -> tuple[str, ...]:
    """Split a path that begins with ``/`` into segments, as they stand there.

    ``/`` has none. A trailing slash is a last, empty segment: ``/a`` and ``/a/`` are two paths.
    """
    return tuple(path.split("/")[1:]) if path != "/" else ()


def _segments_of(raw: bytes) -> tuple[str, ...] | Refused:
    if len(raw) > MAX_PATH_BYTES:
        return Refused(Reason.PATH_MALFORMED, "too long")
    if not _PATH.fullmatch(raw):
        return Refused(Reason.PATH_MALFORMED, "not an absolute path of printable ASCII")
    if b"//" in raw:
        return Refused(Reason.PATH_MALFORMED, "empty segment")
    try:
        segments = tuple(unquote(part, errors="strict") for part in split_path(raw.decode("ascii")))
    except UnicodeDecodeError:
        return Refused(Reason.PATH_MALFORMED, "escapes that are not UTF-8")
    if any(map(_NEVER_IN_A_SEGMENT.search, segments)):
        return Refused(Reason.PATH_MALFORMED, "escaped separator or control character")
    # "..;x" is ".." to servers that know path parameters (RFC 3986, section 3.3).
    if any(segment.partition(";")[0] in (".", "..") for segment in segments):
        return Refused(Reason.PATH_MALFORMED, "dot segment")
    return segments


def _pairs_of(raw: bytes) -> tuple[tuple[str, str], ...] | Refused:
    if len(raw) > MAX_QUERY_BYTES or raw.count(b"&") >= MAX_QUERY_PAIRS:
        return Refused(Reason.QUERY_MALFORMED, "too long")
    if not _QUERY.fullmatch(raw):
        return Refused(Reason.QUERY_MALFORMED, "not printable ASCII, a broken escape or a bare ;")
    try:
        return tuple(_pair(text) for text in raw.decode("ascii").split("&") if text)
    except UnicodeDecodeError:
        return Refused(Reason.QUERY_MALFORMED, "escapes that are not UTF-8")


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
