"""Rows 1 to 31: algorithms, signatures, spellings, headers that choose their own rules."""

from __future__ import annotations

import hmac
import itertools
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sidecar.core.reasons import Reason
from tests.bad_tokens_kit import (
    Case,
    Guard,
    Mint,
    Sent,
    dumped,
    gate,
    good_token,
    headed,
    publishing,
)
from tests.tokens import ABSENT, base64url, signer

FORGER: Final = signer(name="forger")
GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
"""L of Ed25519 (RFC 8032, section 5.1)."""
ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def without_signature(mint: Mint) -> bytes:
    header, payload = dumped(mint.header(alg="none")), dumped(mint.claims())
    return b".".join((base64url(header), base64url(payload), b""))


def macced(mint: Mint, secret: bytes) -> bytes:
    """Signed by HMAC with what everybody knows."""
    header, payload = dumped(mint.header(alg="HS256")), dumped(mint.claims())
    signing_input = b".".join((base64url(header), base64url(payload)))
    mac = hmac.digest(secret, signing_input, sha256)
    return b".".join((signing_input, base64url(mac)))


def macced_with_pem(mint: Mint) -> bytes:
    public = mint.by.private.public_key()
    return macced(mint, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def macced_with_raw_key(mint: Mint) -> bytes:
    return macced(mint, mint.by.private.public_key().public_bytes_raw())


def respelled(mint: Mint) -> bytes:
    """The spare bits of the last character are set; most decoders read the same signature."""
    token = mint.token()
    return token[:-1] + bytes([ALPHABET[ALPHABET.index(token[-1]) + 1]])


def malleated(mint: Mint) -> bytes:
    """R and S + L: the equation holds, the range does not (RFC 8032, section 5.1.7)."""
    signing_input, _, _ = mint.token().rpartition(b".")
    signature = mint.by.sign(signing_input)
    beyond = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    return b".".join((signing_input, base64url(signature[:32] + beyond.to_bytes(32, "little"))))


def in_plain_base64(mint: Mint) -> bytes:
    tokens = (mint.token(jti=f"jti-{n}") for n in itertools.count())
    token = next(token for token in tokens if b"-" in token or b"_" in token)
    return token.replace(b"-", b"+").replace(b"_", b"/")


def spaced(mint: Mint) -> Sent:
    return Sent((("authorization", b"Bearer   " + mint.token()),))


def tabbed(mint: Mint) -> Sent:
    return Sent((("authorization", b"Bearer \t" + mint.token()),))


def padded(mint: Mint) -> bytes:
    return mint.token() + b"=="


def prefixed(mint: Mint) -> Sent:
    """A Bearer token to whoever looks for the word anywhere."""
    return Sent((("authorization", b"Basic Bearer " + mint.token()),))


def segments(mint: Mint, *more: bytes, take: int = 3) -> bytes:
    return b".".join((*mint.token().split(b".")[:take], *more))


def by_own_key(mint: Mint) -> bytes:
    """Signed by whoever sends it, with the key in the header."""
    own = FORGER.jose.as_dict(private=False)
    return mint.token(by=FORGER, header={"jwk": own})


def by_own_url(mint: Mint) -> bytes:
    return mint.token(by=FORGER, header={"jku": "https://forger.test/jwks.json"})


def by_forger(mint: Mint) -> bytes:
    return mint.token(by=FORGER)


def by_p256(mint: Mint) -> bytes:
    own = signer("ES256")
    return mint.token(by=own, header={"alg": own.algorithm, "kid": own.kid})


ALGORITHM, MALFORMED = Reason.ALGORITHM_REFUSED, Reason.TOKEN_MALFORMED
KEYS, SPELLING, CRIT = "RFC 8725, 3.1", "RFC 7515, 2", "RFC 7515, 4.1.11"
PASSES: Final = Guard.PASSES
ONE_KEY, TWO_KEYS = publishing(signer()), publishing(signer(), signer("ES256"))

CASES: Final = (
    Case("1a", "`alg` is `none`", "RFC 8725, 3.2", ALGORITHM, headed(alg="none"), "'none'"),
    Case("1b", "`alg` is `none`, no signature", "RFC 8725, 3.2", MALFORMED, without_signature),
    Case("2", "`alg` is `nOnE`", KEYS, ALGORITHM, headed(alg="nOnE"), "alg 'nOnE'"),
    Case("3", "no `alg`", "RFC 7515, 4.1.1", MALFORMED, headed(alg=ABSENT), "alg is missing"),
    Case(
        "4", "HS256, keyed with the public key in PEM", KEYS, ALGORITHM, macced_with_pem,
        "alg 'HS256'",
    ),
    Case(
        "5a", "HS256, keyed with the raw public key", KEYS, ALGORITHM, macced_with_raw_key,
        "alg 'HS256'",
    ),
    Case(
        "5b", "`alg` is ES256, and the key is for EdDSA", KEYS, ALGORITHM, headed(alg="ES256"),
        "the key is for EdDSA",
    ),
    Case(
        "6a", "`alg` is `eddsa`", "RFC 7515, 4.1.1", ALGORITHM, headed(alg="eddsa"),
        "alg 'eddsa'",
    ),
    Case(
        "6b", "an algorithm that the profile does not take", "RFC 8725, 3.1", ALGORITHM,
        good_token, "alg 'EdDSA'", good=by_p256, gate=gate(algorithms=frozenset({"ES256"})),
        guard=PASSES,
    ),
    Case("7", "`alg` is an array", "RFC 7515, 4.1.1", MALFORMED, headed(alg=["EdDSA"]), "no text"),
    Case("8", "signed by another key", "RFC 8725, 3.3", Reason.SIGNATURE_INVALID, by_forger),
    Case(
        "9", "signature stripped", "RFC 7515, 5.2", MALFORMED,
        lambda mint: segments(mint, b"", take=2), "three segments",
    ),
    Case(
        "10", "signature truncated", "RFC 8032, 5.1.7", Reason.SIGNATURE_INVALID,
        lambda mint: mint.token()[:-6], "length",
    ),
    Case(
        "11", "spare bits of the signature's last character set", "RFC 4648, 3.5", MALFORMED,
        respelled, "not canonical",
    ),
    Case(
        "12", "a line end after the token", "RFC 8725bis, 3.14", MALFORMED,
        lambda mint: mint.token() + b"\n", "characters", guard=Guard.NOT_SENT,
    ),
    Case(
        "13", "`==` after the token", SPELLING, MALFORMED,
        padded, "characters",
    ),
    Case("14a", "several spaces before the token", "RFC 9110, 11.4", None, spaced, guard=PASSES),
    Case(
        "14b", "a tab before the token", "RFC 9110, 11.4", MALFORMED, tabbed, "characters",
    ),
    Case("15", "`+` and `/` for `-` and `_`", SPELLING, MALFORMED, in_plain_base64, "characters"),
    Case(
        "16", "two segments", "RFC 7515, 7.1", MALFORMED,
        lambda mint: segments(mint, take=2), "three segments",
    ),
    Case(
        "17", "four segments", "RFC 7515, 7.1", MALFORMED,
        lambda mint: segments(mint, b"e30"), "three segments",
    ),
    Case(
        "18", "five segments", "RFC 7515, 7.1", MALFORMED,
        lambda mint: segments(mint, b"e30", b"e30"), "three segments",
    ),
    Case("19", "Ed25519 with S + L", "RFC 8032, 5.1.7", Reason.SIGNATURE_INVALID, malleated),
    Case(
        "20", "`crit` names an unknown extension", CRIT, MALFORMED,
        headed(crit=["x-bound"], **{"x-bound": True}), "crit",
    ),
    Case("21", "`crit` is empty", CRIT, MALFORMED, headed(crit=[]), "crit"),
    Case("22", "`crit` names `alg`", CRIT, MALFORMED, headed(crit=["alg"]), "crit"),
    Case(
        "23", "`crit` names what is not there", CRIT, MALFORMED, headed(crit=["exp"]), "crit",
    ),
    Case(
        "24", "`b64` without `crit`", "RFC 7797, 6", MALFORMED, headed(b64=False), "b64",
    ),
    Case(
        "25", "`b64` in `crit`", "RFC 7797, 6", MALFORMED,
        headed(b64=False, crit=["b64"]), "not accepted",
    ),
    Case("26", "brings its own key in `jwk`", "RFC 7515, 4.1.3", MALFORMED, by_own_key, "jwk"),
    Case("27", "names its own keys in `jku`", "RFC 8725, 3.10", MALFORMED, by_own_url, "jku"),
    Case("28", "`kid` is a number", "RFC 7515, 4.1.4", MALFORMED, headed(kid=1), "kid"),
    Case(
        "29a", "no `kid`, and the issuer has one key", "RFC 7515, 4.1.4", None,
        headed(kid=ABSENT), gate=ONE_KEY,
    ),
    Case(
        "29b", "no `kid`, and the issuer has several keys", "RFC 7515, 4.1.4", Reason.KEY_UNKNOWN,
        headed(kid=ABSENT), gate=TWO_KEYS,
    ),
    Case(
        "30a", "`kid` is a path", "RFC 8725, 3.10", Reason.KEY_UNKNOWN,
        headed(kid="../../dev/null"), "../../dev/null",
    ),
    Case(
        "30b", "`kid` is SQL", "RFC 8725, 3.10", Reason.KEY_UNKNOWN,
        headed(kid="' OR '1'='1"), "OR",
    ),
    Case(
        "31a", "`kid` of 10 KB", "RFC 8725, 3.10", MALFORMED,
        headed(kid="k" * 10_240), "longer than 8192",
    ),
    Case(
        "31b", "`kid` of 257 characters", "RFC 8725, 3.10", MALFORMED,
        headed(kid="k" * 257), "kid",
    ),
)  # fmt: skip
