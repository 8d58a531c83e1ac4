"""Wycheproof's faults of Ed25519 signatures under a key of our own, so that claims can be signed.

A signature is (R, S) with S = r + H(R, A, M) a modulo the order L (RFC 8032, section 5.1.6). Where
a vector changes R and computes S anew, so does this: a verifier that is lenient in that one point
would accept it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.wycheproof import Case

_L: Final = 2**252 + 27742317777372353535851937790883648493
_SEED: Final = bytes(range(32))
_PUBLIC: Final = Ed25519PrivateKey.from_private_bytes(_SEED).public_key().public_bytes_raw()
_X: Final = base64.urlsafe_b64encode(_PUBLIC).rstrip(b"=").decode()

OWN_KEY_SET: Final = json.dumps(
    {"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "own", "x": _X}]}
).encode()

_ADDED: Final = {
    "L": _L,
    "2L": 2 * _L,
    "4L": 4 * _L,
    "8L": 8 * _L,
    "2^253": 2**253,
    "2^254": 2**254,
    "2^255": 2**255,
    "p": 2**255 - 19,
}
"""What SignatureMalleability adds to S, in the words of its comments."""


@dataclass(frozen=True, slots=True)
class _Signing:
    """The numbers of one signature."""

    message: bytes
    scalar: int
    nonce: int
    r: bytes

    def s(self, r: bytes, nonce: int) -> bytes:
        digest = int.from_bytes(hashlib.sha512(r + _PUBLIC + self.message).digest(), "little")
        return ((nonce + digest * self.scalar) % _L).to_bytes(32, "little")

    def with_r(self, r: bytes, nonce: int | None = None) -> bytes:
        """Put ``r`` in place of R and compute S so that only the encoding of R is wrong."""
        return r + self.s(r, self.nonce if nonce is None else nonce)


def _signing(message: bytes) -> _Signing:
    secret = hashlib.sha512(_SEED).digest()
    scalar = int.from_bytes(secret[:32], "little") & (2**254 - 8) | 2**254
    nonce = int.from_bytes(hashlib.sha512(secret[32:] + message).digest(), "little") % _L
    good = Ed25519PrivateKey.from_private_bytes(_SEED).sign(message)
    signing = _Signing(message, scalar, nonce, good[:32])
    assert signing.with_r(good[:32]) == good
    return signing


def broken_signature(case: Case, message: bytes) -> bytes:
    """Sign ``message`` with the fault of the vector, or well if the vector is valid."""
    signing = _signing(message)
    good = signing.with_r(signing.r)
    if case.result == "valid":
        return good
    if case.flags in {("InvalidSignature",), ("InvalidKtv",)}:
        return bytes.fromhex(case.test["sig"])  # edge values, whoever signs
    if case.flags == ("InvalidEncoding",):
        return _with_wrong_r(case.comment, signing)
    if case.flags == ("SignatureMalleability",):
        added = re.search(r"replaced by s \+ (\S+?)[.\s]", case.comment)
        assert added is not None
        s = int.from_bytes(good[32:], "little") + _ADDED[added[1]]
        return good[:32] + s.to_bytes(32, "little")
    return _RESIZED[case.comment](good)


def _with_wrong_r(comment: str, signing: _Signing) -> bytes:
    if bit := re.match(r"modified bit (\d+) in R", comment):
        flipped = int.from_bytes(signing.r, "little") ^ 1 << int(bit[1])
        return signing.with_r(flipped.to_bytes(32, "little"))
    if comment.startswith("R encodes y = 1 with the sign bit"):
        return signing.with_r(b"\x01" + bytes(30) + b"\x80", nonce=0)  # r = 0 makes y = 1
    wrong = {
        "R==0": bytes(32),
        "invalid R": b"\xff" * 32,
        "all bits flipped in R": bytes(octet ^ 0xFF for octet in signing.r),
    }
    return signing.with_r(wrong[comment])


_RESIZED: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "empty signature": lambda _: b"",
    "s missing": lambda good: good[:32],
    "signature too short": lambda good: good[:62],
    "signature too long": lambda good: good + b"  ",
    "include pk in signature": lambda good: good + _PUBLIC,
    "prepending 0 byte to signature": lambda good: b"\x00" + good,
    "prepending 0 byte to s": lambda good: good[:32] + b"\x00" + good[32:],
    "appending 0 byte to signature": lambda good: good + b"\x00",
    "removing 0 byte from signature": lambda good: good[:40] + good[41:],
    "removing leading 0 byte from signature": lambda good: good[:32] + good[33:],
    "dropping byte from signature": lambda good: good[:31] + good[32:],
}
"""What the flags about a signature's length do to it, in the words of their comments."""
