"""Keys that are the same in every run, so that a kept case means the same for ever.

RSA moduli here are products of many small primes: whoever verifies cannot tell, and signing takes
no time. No such key is good for anything else.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from functools import cache, lru_cache
from hashlib import sha256
from math import gcd, prod
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests.chains import chain_key
from tests.tokens import JoseKey, Signer

_PRIME_BITS: Final = 24
_SMALL_PRIMES: Final = tuple(p for p in range(3, 200) if all(p % q for q in range(2, p)))
_SHA256_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
_LARGEST_EXPONENT: Final = 2**64 - 59
"""The largest prime that OpenSSL takes for moduli above 3,072 bits: 64 bits."""

_Encode: TypeAlias = Callable[[bytes, int], bytes]


@cache
def fuzz_key(algorithm: str, name: str) -> Signer:
    """The key of that name; ``RSA-8192`` is the most expensive one that a proof may bring."""
    made, jose, sign = _made(algorithm, name)
    # Most of what is done to a request leaves what was signed as it was.
    remembered = lru_cache(maxsize=256)(sign)
    return Signer(made, f"{algorithm.lower()}-{name}", None, jose, remembered)


def _made(algorithm: str, name: str) -> tuple[str, JoseKey, Callable[[bytes], bytes]]:
    if algorithm in ("EdDSA", "Ed25519"):
        private = chain_key(name)
        return algorithm, OKPKey.import_key(private), private.sign
    if algorithm == "ES256":
        return algorithm, *_p256(name)
    if algorithm == "PS256":
        return algorithm, *_rsa(name, 2048, 65_537, _pss)
    if algorithm == "RSA-8192":
        return "RS256", *_rsa(name, 8192, _LARGEST_EXPONENT, _pkcs1)
    return "RS256", *_rsa(name, 2048, 65_537, _pkcs1)


def _p256(name: str) -> tuple[JoseKey, Callable[[bytes], bytes]]:
    number = int.from_bytes(sha256(name.encode()).digest()) >> 1
    private = ec.derive_private_key(number, ec.SECP256R1())
    scheme = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, scheme))
        return r.to_bytes(32) + s.to_bytes(32)

    return ECKey.import_key(private), sign


def _rsa(
    name: str, bits: int, exponent: int, encode: _Encode
) -> tuple[JoseKey, Callable[[bytes], bytes]]:
    primes = _primes(name, bits, exponent)
    modulus = prod(primes)
    parts = [(p, pow(exponent, -1, p - 1), modulus // p) for p in primes]
    parts_inverted = [(p, d, rest * pow(rest, -1, p)) for p, d, rest in parts]

    def sign(message: bytes) -> bytes:
        number = int.from_bytes(encode(message, modulus.bit_length()))
        signed = sum(pow(number % p, d, p) * back for p, d, back in parts_inverted) % modulus
        return signed.to_bytes(bits // 8)

    jwk: dict[str, Any] = {"kty": "RSA", "n": _uint(modulus), "e": _uint(exponent)}
    return RSAKey.import_key(jwk), sign


def _primes(name: str, bits: int, exponent: int) -> list[int]:
    """Primes of which no two are equal, and whose product has exactly so many bits."""
    draw = random.Random(f"{name}:{bits}")
    primes: list[int] = []
    product = 1
    while product.bit_length() < bits:
        least = max(1 << (_PRIME_BITS - 1), -(-(1 << (bits - 1)) // product))
        low = 1 << (_PRIME_BITS - 1) if least.bit_length() > _PRIME_BITS + 8 else least
        candidate = draw.randrange(low, 2 * low) | 1
        if _is_prime(candidate) and gcd(exponent, candidate - 1) == 1 and candidate not in primes:
            primes.append(candidate)
            product *= candidate
    return primes if product.bit_length() == bits else _primes(f"{name}+", bits, exponent)


def _is_prime(number: int) -> bool:
    if any(number % p == 0 for p in _SMALL_PRIMES):
        return False
    # Fermat is enough for numbers that nobody chose to deceive.
    return all(pow(base, number - 1, number) == 1 for base in (2, 3, 5))


def _pkcs1(message: bytes, bits: int) -> bytes:
    """EMSA-PKCS1-v1_5 (RFC 8017, section 9.2)."""
    tail = b"\0" + _SHA256_INFO + sha256(message).digest()
    return b"\0\1" + b"\xff" * (bits // 8 - 2 - len(tail)) + tail


def _pss(message: bytes, bits: int) -> bytes:
    """EMSA-PSS with a salt that the message decides (RFC 8017, section 9.1.1)."""
    digest, size = sha256(message).digest(), bits // 8
    salt = sha256(b"salt" + digest).digest()
    hashed = sha256(bytes(8) + digest + salt).digest()
    block = bytes(size - len(salt) - len(hashed) - 2) + b"\1" + salt
    blocks = -(-len(block) // 32)
    mask = b"".join(sha256(hashed + n.to_bytes(4)).digest() for n in range(blocks))[: len(block)]
    masked = bytes(a ^ b for a, b in zip(block, mask, strict=True))
    return bytes([masked[0] & 0x7F]) + masked[1:] + hashed + b"\xbc"


def _uint(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
