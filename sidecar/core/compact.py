"""The form that tokens and proofs share: a compact JWS of two JSON objects (RFC 7515, section 7.1).

One JWS has one spelling: canonical base64url, strict JSON, member names in their own case. Nothing
here knows what the objects mean.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.core.model import JsonObject
from sidecar.core.strict_json import parse_object

_SEGMENTS: Final = 3
_MAX_DEPTH: Final = 16

FOREIGN_HEADERS: Final = frozenset(
    (
        *("jku", "x5u", "x5c"),  # a key from elsewhere
        *("crit", "b64"),  # extensions: none is understood here (RFC 7515, section 4.1.11)
        *("enc", "zip", "cty"),  # encrypted, compressed or nested: not a plain JWS
    )
)
"""Header members that neither a token nor a proof may have."""


@dataclass(frozen=True, slots=True)
class Compact:
    """The parts of a compact JWS; nobody has checked what they say."""

    header: JsonObject = field(repr=False)
    payload: JsonObject = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def split(raw: bytes) -> Compact:
    """Take a compact JWS apart. Raises ``ValueError``, which quotes nothing of ``raw``."""
    segments = raw.split(b".", _SEGMENTS)
    if len(segments) != _SEGMENTS or not all(segments):
        raise ValueError("not three segments")
    header, payload, signature = (decode_base64url(segment) for segment in segments)
    signing_input, _, _ = raw.rpartition(b".")
    return Compact(_object(header, "header"), _object(payload, "payload"), signing_input, signature)


def refuse_variants(names: Collection[str], known: AbstractSet[str], part: str) -> None:
    """Refuse names that parsers ignoring case would take for others (as Go's does).

    Raises ``ValueError``, which names ``part`` only.
    """
    folded = {name.casefold() for name in names}
    if len(folded) != len(names) or (folded & known) - set(names):
        raise ValueError(f"{part}: a member's name in another case")


def decode_base64url(segment: bytes) -> bytes:
    """Decode base64url without padding (RFC 7515, section 2), in its one canonical spelling.

    Raises ``ValueError``.
    """
    decoded = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    # The decoder skips foreign bytes and ignores spare bits; what it read must read the same back.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment:
        raise ValueError("not canonical base64url")
    return decoded


def encode_base64url(raw: bytes) -> str:
    """Encode as base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _object(raw: bytes, part: str) -> dict[str, Any]:
    try:
        return parse_object(raw, max_depth=_MAX_DEPTH)
    except ValueError as error:
        raise ValueError(f"{part}: {error}") from None
