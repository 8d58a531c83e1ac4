"""The key that signs the feed, and the JWK Set by which sidecars check it.

Whoever has the private key can revoke everybody and lift everything, so the file is its owner's
alone. A key is never overwritten; a new one joins the set beside the old, because every reader must
know it before it signs.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.core.feed import Batch, Beat
from sidecar.core.feed_wire import FeedKeys, sign_batch, sign_beat
from sidecar.core.jwk import read_jwk
from sidecar.core.keyring import BadKeySet, parse_jwks
from sidecar.core.model import Key

_EDDSA: Final = frozenset({"EdDSA"})
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_LONGEST: Final = 65_536


class KeyFileError(Exception):
    """A key file cannot be used or made; the text says why and holds no key material."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key and the name that readers know its public part by."""

    kid: str
    """Its RFC 7638 thumbprint."""
    key: Ed25519PrivateKey = field(repr=False)

    def batch(self, batch: Batch) -> bytes:
        """See ``feed_wire.sign_batch``."""
        return sign_batch(batch, self.kid, self.key)

    def beat(self, beat: Beat) -> bytes:
        """See ``feed_wire.sign_beat``."""
        return sign_beat(beat, self.kid, self.key)


def make_keys(private: Path, public: Path) -> str:
    """Make a key pair; the public part is added to ``public``. Returns its ``kid``.

    Raises ``KeyFileError``; then ``private`` was not made.
    """
    known = _published(public) if public.exists() else []
    key = Ed25519PrivateKey.generate()
    jwk = _public_jwk(key)
    try:
        _write_new(private, _pem(key))
    except OSError as error:
        raise KeyFileError(f"{private} cannot be made: {error.strerror}") from None
    try:
        _replace(public, json.dumps({"keys": [*known, jwk]}, indent=2).encode() + b"\n")
    except OSError as error:
        private.unlink(missing_ok=True)
        raise KeyFileError(f"{public} cannot be written: {error.strerror}") from None
    return str(jwk["kid"])


def read_signer(path: Path) -> Signer:
    """Read an Ed25519 private key, PKCS #8 in PEM. Raises ``KeyFileError``."""
    try:
        with path.open("rb") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & _OTHERS:
                raise KeyFileError("others than its owner may use it: chmod 600")
            raw = file.read(_LONGEST)
    except OSError as error:
        raise KeyFileError(f"cannot be read: {error.strerror}") from None
    try:
        key = serialization.load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError("is no private key in PEM without a password") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFileError("is no Ed25519 key: scopegate deny keygen makes one")
    return Signer(str(_public_jwk(key)["kid"]), key)


def read_public(path: Path) -> FeedKeys:
    """The keys of a JWK Set by ``kid``. Raises ``KeyFileError``."""
    try:
        ring = parse_jwks(path.read_bytes(), "feed", _EDDSA, None)
    except OSError as error:
        raise KeyFileError(f"cannot be read: {error.strerror}") from None
    except BadKeySet as error:
        raise KeyFileError(f"cannot be used: {error}") from None
    return {kid: key.public for kid, key in ring.keys.items()}


def _published(path: Path) -> list[Mapping[str, Any]]:
    try:
        raw = path.read_bytes()
        parse_jwks(raw, "feed", _EDDSA, None)
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    except BadKeySet as error:
        raise KeyFileError(f"{path} is no set of feed keys: {error}") from None
    keys: list[Mapping[str, Any]] = json.loads(raw)["keys"]
    return keys


def _public_jwk(key: Ed25519PrivateKey) -> dict[str, str]:
    """RFC 8037, section 2; the ``kid`` is the thumbprint of RFC 7638."""
    raw = key.public_key().public_bytes_raw()
    x = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA"}
    read = read_jwk(jwk, "feed", _EDDSA)
    if not isinstance(read, Key):
        raise KeyFileError("the new key cannot be published")
    return {**jwk, "kid": read.thumbprint}


def _pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_new(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, content: bytes) -> None:
    """Whole or not at all: readers may look at any time."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content)
    beside.chmod(0o644)
    beside.replace(path)
