"""A PEM file becomes a public JWK (RFC 7517), whatever of the key is in the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from sidecar.core.compact import encode_base64url
from sidecar.core.jwk import DangerousKey, Skipped, read_jwk

_LONGEST: Final = 65_536
_BEGIN: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_BESIDE: Final = frozenset({"EC PARAMETERS"})  # OpenSSL writes them before a private key
_ENCRYPTED: Final = (b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")

# The curves of RFC 7518, section 6.2.1.1, as cryptography names them.
_CURVES: Final = {
    "secp256r1": ("P-256", "ES256"),
    "secp384r1": ("P-384", "ES384"),
    "secp521r1": ("P-521", "ES512"),
}
_RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class BadPemError(Exception):
    """The file holds no key that an issuer's tokens can be verified with.

    The text names the file and holds no key material.
    """


@dataclass(frozen=True, slots=True)
class PublicJwk:
    """A key as it is published."""

    jwk: dict[str, str]
    was_private: bool
    """The file holds the private key, too."""


def read_pem(path: Path, kid: str | None, algorithm: str | None) -> PublicJwk:
    """Read one key: SPKI, PKCS #1, PKCS #8, SEC 1, or the key of a certificate (RFC 7468).

    Its ``kid`` is the RFC 7638 thumbprint unless one is given, its ``alg`` that of its type; RSA is
    taken for RS256. Raises ``BadPemError``.
    """
    raw = _read(path)
    label = _label(raw, path)
    public = _load(raw, label, path)
    members, algorithms = _members(public, path)
    if algorithm is not None and algorithm not in algorithms:
        raise BadPemError(f"{path} is a key for {' or '.join(algorithms)}, not for --alg")
    jwk = {**members, "use": "sig", "alg": algorithm or algorithms[0]}
    try:
        key = read_jwk(jwk, "", frozenset({jwk["alg"]}))
    except DangerousKey as danger:
        raise BadPemError(f"{path} holds {danger}: whoever likes can sign with it") from None
    if isinstance(key, Skipped):
        raise BadPemError(f"{path} cannot be used: {key.reason}")
    named = {"kid": key.thumbprint if kid is None else kid}
    return PublicJwk({**named, **jwk}, was_private=label.endswith("PRIVATE KEY"))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST + 1)
    except OSError as error:
        raise BadPemError(f"{path} cannot be read: {error.strerror}") from None
    if len(raw) > _LONGEST:
        raise BadPemError(f"{path} is longer than {_LONGEST} bytes")
    return raw


def _label(raw: bytes, path: Path) -> str:
    found: list[bytes] = _BEGIN.findall(raw)
    labels = [label.decode() for label in found if label.decode() not in _BESIDE]
    if not labels:
        raise BadPemError(f"{path} is no PEM: no line says -----BEGIN ...-----")
    if len(labels) > 1:
        raise BadPemError(f"{path} holds {len(labels)} things in PEM; give the one with the key")
    if any(mark in raw for mark in _ENCRYPTED):
        raise BadPemError(
            f"{path} is encrypted; its public key is enough: openssl pkey -in {path} -pubout"
        )
    return labels[0]


def _load(raw: bytes, label: str, path: Path) -> Any:
    load = _LOADERS.get(label)
    if load is None:
        raise BadPemError(f"{path} holds {label}, and no key or certificate that is known here")
    try:
        return load(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadPemError(f"{path} holds a broken or unsupported {label}") from None


def _of_private(raw: bytes) -> Any:
    return serialization.load_pem_private_key(raw, password=None).public_key()


_LOADERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "PUBLIC KEY": serialization.load_pem_public_key,
    "RSA PUBLIC KEY": serialization.load_pem_public_key,
    "CERTIFICATE": lambda raw: load_pem_x509_certificate(raw).public_key(),
    "PRIVATE KEY": _of_private,
    "EC PRIVATE KEY": _of_private,
    "RSA PRIVATE KEY": _of_private,
}


def _members(public: Any, path: Path) -> tuple[dict[str, str], tuple[str, ...]]:
    """Give the members of RFC 7518, section 6, or RFC 8037, and the algorithms that fit."""
    if isinstance(public, Ed25519PublicKey):
        x = encode_base64url(public.public_bytes_raw())
        return {"kty": "OKP", "crv": "Ed25519", "x": x}, ("EdDSA", "Ed25519")
    if isinstance(public, EllipticCurvePublicKey):
        if public.curve.name not in _CURVES:
            raise BadPemError(f"{path} is a key on the curve {public.curve.name}, which no alg has")
        crv, algorithm = _CURVES[public.curve.name]
        numbers, octets = public.public_numbers(), (public.curve.key_size + 7) // 8
        x, y = (encode_base64url(one.to_bytes(octets)) for one in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": crv, "x": x, "y": y}, (algorithm,)
    if isinstance(public, RSAPublicKey):
        rsa = public.public_numbers()
        n, e = (encode_base64url(_unsigned(one)) for one in (rsa.n, rsa.e))
        return {"kty": "RSA", "n": n, "e": e}, _RSA
    kind = type(public).__name__.removeprefix("_").removesuffix("PublicKey")
    raise BadPemError(f"{path} is a key of {kind}, with which no token is signed here")


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)
