"""One JSON Web Key becomes one public key that is tied to exactly one algorithm (RFC 8725, 3.1).

Three answers: a ``Key``; ``Skipped`` for what is not meant for us, because other people read the
same document; ``DangerousKey`` for a key that others can sign with, which no careful issuer
publishes. Every spelling of one key has the same thumbprint.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurve,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from sidecar.core.model import JsonObject, Key


class DangerousKey(Exception):  # noqa: N818 - it says what the key is; the document has the error
    """A key that somebody besides its owner can sign with. The message holds no key material."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A published key that this issuer's tokens cannot be verified with, and why."""

    kid: str | None
    reason: str


SIGNATURES: Final = frozenset({"sig"})
"""The ``use`` of a key for signatures (RFC 7517, section 4.2)."""


def read_jwk(
    jwk: JsonObject, issuer: str, algorithms: frozenset[str], uses: frozenset[str] = SIGNATURES
) -> Key | Skipped:
    """Read a JWK (RFC 7517, section 4) whose ``kid``, if any, has been checked.

    Its algorithm is its ``alg``, or else the only one of ``algorithms`` that fits its type. Its
    ``use``, if any, is one of ``uses``. Raises ``DangerousKey``.
    """
    kid = jwk.get("kid")
    use = jwk.get("use")
    if "use" in jwk and not (isinstance(use, str) and use in uses):
        return Skipped(kid, f"'use' is not {' or '.join(sorted(uses))}")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return Skipped(kid, "'key_ops' has no verify")
    family = next((family for family in _FAMILIES if family.has(jwk)), None)
    if family is None:
        return Skipped(kid, "its 'kty' or 'crv' is not supported")
    fitting = sorted(
        name for name in family.algorithms & algorithms if "alg" not in jwk or jwk["alg"] == name
    )
    if not fitting:
        return Skipped(kid, "no algorithm that this issuer may use")
    if len(fitting) > 1 and family.kty != "OKP":  # EdDSA and Ed25519 are one (RFC 9864)
        return Skipped(kid, "it has no 'alg', and several algorithms fit")
    try:
        public, members = family.read(jwk)
    except ValueError:
        return Skipped(kid, "its parameters are not a key")
    return Key(issuer, kid, fitting[0], _thumbprint(members), public)


_Material: TypeAlias = tuple[Any, dict[str, str]]
"""A ``cryptography`` public key, and its required members in their one canonical spelling."""


def _thumbprint(members: dict[str, str]) -> str:
    """Digest the required members (RFC 7638, section 3)."""
    canonical = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return _base64url(hashlib.sha256(canonical).digest())


# --- the families ------------------------------------------------------------------------------

_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192  # above, one signature check costs a caller nothing and us a lot
_MIN_EXPONENT: Final = 65_537
_END_OF_EXPONENTS: Final = 2**256  # FIPS 186-5, appendix A.1.1


def _ed25519(jwk: JsonObject) -> _Material:
    raw = _bytes(jwk, "x")
    public = Ed25519PublicKey.from_public_bytes(raw)
    if _has_small_order(raw):
        raise DangerousKey("an Ed25519 key of small order")
    return public, {"kty": "OKP", "crv": "Ed25519", "x": _base64url(raw)}


def _ec(jwk: JsonObject, crv: str, curve: EllipticCurve) -> _Material:
    x, y = _bytes(jwk, "x"), _bytes(jwk, "y")
    octets = (curve.key_size + 7) // 8
    if not len(x) == len(y) == octets:
        raise ValueError(f"a coordinate is not {octets} octets")
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), curve)
    members = {"kty": "EC", "crv": crv, "x": _base64url(x), "y": _base64url(y)}
    return numbers.public_key(), members  # raises when the point is not on the curve


def _rsa(jwk: JsonObject) -> _Material:
    n, e = (int.from_bytes(_bytes(jwk, name)) for name in ("n", "e"))
    if not _MIN_RSA_BITS <= n.bit_length() <= _MAX_RSA_BITS:
        raise DangerousKey(f"an RSA key of {n.bit_length()} bits")
    if n % 2 == 0 or e % 2 == 0 or not _MIN_EXPONENT <= e < _END_OF_EXPONENTS:
        raise DangerousKey("an RSA key with a weak modulus or exponent")
    if _is_roca(n):
        raise DangerousKey("an RSA key that can be factored (CVE-2017-15361)")
    return RSAPublicNumbers(e, n).public_key(), {"kty": "RSA", "n": _uint(n), "e": _uint(e)}


@dataclass(frozen=True, slots=True)
class _Family:
    """Keys of one shape, and the algorithms that may use them."""

    kty: str
    crv: str | None
    algorithms: frozenset[str]
    read: Callable[[JsonObject], _Material]
    """Raises ``ValueError`` for what is no key at all."""

    def has(self, jwk: JsonObject) -> bool:
        return jwk.get("kty") == self.kty and self.crv in (None, jwk.get("crv"))


def _curve(crv: str, algorithm: str, curve: EllipticCurve) -> _Family:
    return _Family("EC", crv, frozenset({algorithm}), lambda jwk: _ec(jwk, crv, curve))


_FAMILIES: Final = (
    _Family("OKP", "Ed25519", frozenset({"EdDSA", "Ed25519"}), _ed25519),
    _curve("P-256", "ES256", SECP256R1()),
    _curve("P-384", "ES384", SECP384R1()),
    _curve("P-521", "ES512", SECP521R1()),
    _Family("RSA", None, frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}), _rsa),
)

# --- weak keys ---------------------------------------------------------------------------------

# The y coordinates of the eight points of small order on edwards25519 (RFC 8032, section 5.1).
# Anybody can sign for such a key, and one of them is the key of 32 zero octets.
_FIELD: Final = 2**255 - 19
_Y_OF_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_SMALL_ORDER: Final = frozenset({0, 1, _FIELD - 1, _Y_OF_ORDER_8, _FIELD - _Y_OF_ORDER_8})


def _has_small_order(raw: bytes) -> bool:
    y = int.from_bytes(raw, "little") & (2**255 - 1)  # the top bit is the sign of x
    return y % _FIELD in _SMALL_ORDER


# The library of a smart card made primes that are powers of 65537 modulo every small prime, and so
# are their products (CVE-2017-15361). Chance makes such a modulus once in 2**83.
_ODD_PRIMES: Final = tuple(p for p in range(3, 354) if all(p % q for q in range(2, p)))
_POWERS: Final = {p: frozenset(pow(65_537, i, p) for i in range(p)) for p in _ODD_PRIMES}


def _is_roca(n: int) -> bool:
    return all(n % p in powers for p, powers in _POWERS.items())


# --- base64url ---------------------------------------------------------------------------------


def _bytes(jwk: JsonObject, name: str) -> bytes:
    """Decode base64url without padding (RFC 7515, section 2), in its one canonical spelling."""
    text = jwk.get(name)
    raw = base64.urlsafe_b64decode(text + "==") if isinstance(text, str) else b""
    if not raw or _base64url(raw) != text:
        raise ValueError(f"{name} is not base64url")
    return raw


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _uint(number: int) -> str:
    return _base64url(number.to_bytes((number.bit_length() + 7) // 8))
