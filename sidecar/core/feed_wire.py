"""The feed's batches and heartbeats as signed text: compact JWS (RFC 7515), Ed25519 (RFC 8037).

The header is exactly ``{"alg":"EdDSA","kid":...,"typ":...}``, the payload JSON with every member of
its type and no other. What was signed for one purpose is refused for the other by its ``typ``.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.feed import Batch, Beat, Change, Denied, FeedId, Genesis, Lifted

BATCH: Final = "revocations+jwt"
"""``typ`` of a batch."""
BEAT: Final = "revocations-heartbeat+jwt"
"""``typ`` of a heartbeat."""

MAX_CHANGES: Final = 1000
"""Changes in one batch."""
MAX_BYTES: Final = 4 * 1024 * 1024
"""Of one batch, signed."""

_Seq: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Time: TypeAlias = Annotated[float, msgspec.Meta(ge=0, le=2**53)]
_Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=1024)]


class _Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    alg: Literal["EdDSA"]
    kid: _Text
    typ: _Text


class _Genesis(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="genesis"
):
    seq: _Seq


class _Denied(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="deny"):
    seq: _Seq
    kind: DenyKind
    issuer: _Text
    tenant: _Text
    value: _Text
    until: _Time
    not_before: _Time | None = None
    reason: _Text = ""


class _Lifted(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="op", tag="lift"):
    seq: _Seq
    kind: DenyKind
    issuer: _Text
    tenant: _Text
    value: _Text


class _Feed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    began: _Seq


class _Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    feed: _Feed
    after: _Seq
    upto: _Seq
    changes: Annotated[
        tuple[_Genesis | _Denied | _Lifted, ...], msgspec.Meta(max_length=MAX_CHANGES)
    ]


class _Beat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    feed: _Feed
    upto: _Seq
    at: _Seq


FeedKeys: TypeAlias = Mapping[str, Ed25519PublicKey]
"""The source's public keys by ``kid``; several, while it changes them."""


class ForgedError(ValueError):
    """What nobody with a known key has signed, or signed for another purpose, or malformed.

    The text quotes nothing of it.
    """


class UnknownKeyError(ForgedError):
    """Signed, if at all, with a key that is not among those we know."""


def sign_batch(batch: Batch, kid: str, key: Ed25519PrivateKey) -> bytes:
    """Write a batch for its readers.

    Raises ``ValueError`` for one that no reader would take: what is published and unreadable
    would stop every reader there for ever.
    """
    changes = tuple(map(_written, batch.changes))
    feed = _Feed(batch.feed.name, batch.feed.began)
    payload = _Batch(feed, batch.after, batch.upto, changes)
    return _signed(payload, BATCH, kid, key)


def open_batch(text: bytes, keys: FeedKeys) -> Batch:
    """Read a batch that one of ``keys`` signed. Raises ``ForgedError``."""
    payload = _verified(text, BATCH, keys)
    try:
        found = msgspec.json.decode(payload, type=_Batch)
        changes = tuple(map(_read, found.changes))
        return Batch(_feed(found.feed), found.after, found.upto, changes)
    except (msgspec.MsgspecError, ValueError):
        raise ForgedError("its payload is no batch") from None


def sign_beat(beat: Beat, kid: str, key: Ed25519PrivateKey) -> bytes:
    """Write a heartbeat for the feed's readers. Raises ``ValueError`` as ``sign_batch`` does."""
    feed = _Feed(beat.feed.name, beat.feed.began)
    return _signed(_Beat(feed, beat.upto, beat.at), BEAT, kid, key)


def open_beat(text: bytes, keys: FeedKeys) -> Beat:
    """Read a heartbeat that one of ``keys`` signed. Raises ``ForgedError``."""
    payload = _verified(text, BEAT, keys)
    try:
        found = msgspec.json.decode(payload, type=_Beat)
    except (msgspec.MsgspecError, ValueError):
        raise ForgedError("its payload is no heartbeat") from None
    return Beat(_feed(found.feed), found.upto, found.at)


def open_any(text: bytes, keys: FeedKeys) -> Batch | Beat:
    """Read whichever of the two it says it is. Raises ``ForgedError``."""
    header, *_ = _parted(text)
    return open_batch(text, keys) if header.typ == BATCH else open_beat(text, keys)


def _signed(payload: msgspec.Struct, kind: str, kid: str, key: Ed25519PrivateKey) -> bytes:
    header = _Header("EdDSA", kid, kind)
    written = [msgspec.json.encode(part) for part in (header, payload)]
    try:
        for text, part in zip(written, (header, payload), strict=True):
            msgspec.json.decode(text, type=type(part))
    except msgspec.MsgspecError as beyond:
        raise ValueError(f"no reader would take it: {beyond}") from None
    signing_input = b".".join(map(_base64url, written))
    signed = signing_input + b"." + _base64url(key.sign(signing_input))
    if len(signed) > MAX_BYTES:
        raise ValueError(f"no reader would take it: {len(signed)} bytes, of {MAX_BYTES} at most")
    return signed


def _verified(text: bytes, kind: str, keys: FeedKeys) -> bytes:
    header, signing_input, payload, signature = _parted(text)
    key = keys.get(header.kid)
    if header.typ != kind:
        raise ForgedError("it was signed for something else")
    if key is None:
        raise UnknownKeyError("it was signed with a key that is not among the feed's keys")
    try:
        key.verify(_from_base64url(signature), signing_input)
        return _from_base64url(payload)
    except (InvalidSignature, ValueError):
        raise ForgedError("its signature is not valid") from None


def _parted(text: bytes) -> tuple[_Header, bytes, bytes, bytes]:
    """The header, what was signed, the payload, the signature; none of it verified."""
    if len(text) > MAX_BYTES:
        raise ForgedError("it is too long")
    try:
        header, payload, signature = text.split(b".", 3)  # not into a million parts
        read = msgspec.json.decode(_from_base64url(header), type=_Header)
    except (ValueError, msgspec.MsgspecError):
        raise ForgedError("it is no compact JWS of ours") from None
    return read, header + b"." + payload, payload, signature


def _base64url(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _from_base64url(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _feed(found: _Feed) -> FeedId:
    return FeedId(found.name, found.began)


def _written(change: Change) -> _Genesis | _Denied | _Lifted:
    match change:
        case Genesis(seq):
            return _Genesis(seq)
        case Lifted(seq, key):
            return _Lifted(seq, key.kind, key.issuer, key.tenant, key.value)
        case Denied(seq, DenyEntry(key, until, not_before, reason)):
            where = (seq, key.kind, key.issuer, key.tenant, key.value)
            return _Denied(*where, until, not_before, reason)


def _read(found: _Genesis | _Denied | _Lifted) -> Change:
    if isinstance(found, _Genesis):
        return Genesis(found.seq)
    key = DenyKey(found.kind, found.issuer, found.tenant, found.value)
    if isinstance(found, _Lifted):
        return Lifted(found.seq, key)
    return Denied(found.seq, DenyEntry(key, found.until, found.not_before, found.reason))
