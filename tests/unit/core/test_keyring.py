"""What a JWK Set turns into, and which documents are refused whole."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from joserfc.jwk import JWKRegistry
from jwt.algorithms import get_default_algorithms

from sidecar.core.keyring import BadKeySet, KeyRing, parse_jwks
from tests.fakes_keys import ALL_ALGORITHMS, base64url, jwk, jwks, private_key

ISSUER = "https://issuer.example"
ONE_RSA = frozenset({"EdDSA", "ES256", "RS256"})


def parse(
    *keys: dict[str, Any] | str,
    algorithms: frozenset[str] = ALL_ALGORITHMS,
    previous: KeyRing | None = None,
) -> KeyRing:
    return parse_jwks(jwks(*keys), ISSUER, algorithms, previous)


def uint(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8))


@cache
def ec_private() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(0xC0FFEE, ec.SECP256R1())


@cache
def rsa_private() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2048)


def ec_jwk(kid: str, *, octets: int = 32, **members: Any) -> dict[str, Any]:
    numbers = ec_private().public_key().public_numbers()
    point = {name: base64url(getattr(numbers, name).to_bytes(octets)) for name in ("x", "y")}
    return {"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256"} | point | members


def rsa_jwk(kid: str, *, n: int = 0, e: int = 65_537, **members: Any) -> dict[str, Any]:
    modulus = n or rsa_private().public_key().public_numbers().n
    made = {"kty": "RSA", "kid": kid, "alg": "RS256", "n": uint(modulus), "e": uint(e)}
    return made | members


def some_modulus(bits: int) -> int:
    """Make an odd number of that length; nobody knows whether it has two factors."""
    stream = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(bits // 256 + 1))
    return int.from_bytes(stream) % (1 << (bits - 1)) | (1 << (bits - 1)) | 1


def modulus_of_the_broken_card() -> int:
    """Make one with the trace of CVE-2017-15361: a power of 65537 modulo every small prime."""
    primorial = 1
    for number in range(2, 702):
        if all(number % divisor for divisor in range(2, number)):
            primorial *= number
    return (some_modulus(2048) // primorial) * primorial + pow(65_537, 41, primorial)


# --- what is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["EdDSA", "Ed25519", "ES256", "RS256", "PS256"])
def test_key_verifies_what_its_owner_signed_when_it_was_read(kind: str) -> None:
    """Each supported algorithm gives the very key that was published, tied to that algorithm."""
    published, private = {
        "EdDSA": (jwk("k"), private_key("k")),
        "Ed25519": (jwk("k", alg="Ed25519"), private_key("k")),
        "ES256": (ec_jwk("k"), ec_private()),
        "RS256": (rsa_jwk("k"), rsa_private()),
        "PS256": (rsa_jwk("k", alg="PS256"), rsa_private()),
    }[kind]
    signing = get_default_algorithms()["EdDSA" if kind == "Ed25519" else kind]

    key = parse(published, algorithms=frozenset({kind})).keys["k"]

    assert (key.algorithm, key.issuer, key.kid) == (kind, ISSUER, "k")
    assert signing.verify(b"message", key.public, signing.sign(b"message", private))
    assert not signing.verify(b"another", key.public, signing.sign(b"message", private))


@pytest.mark.parametrize("published", [jwk("k"), ec_jwk("k"), rsa_jwk("k")])
def test_thumbprint_is_that_of_rfc_7638_when_others_compute_it(published: dict[str, Any]) -> None:
    """Another implementation gives every kind of key the same thumbprint."""
    theirs = JWKRegistry.import_key(published).thumbprint()

    assert parse(published).keys["k"].thumbprint == theirs


def test_thumbprint_is_the_same_when_a_modulus_has_leading_zeros() -> None:
    """One key in two spellings (RFC 7518, section 6.3.1.1) is one key."""
    n = rsa_private().public_key().public_numbers().n
    padded = rsa_jwk("k", n=n) | {"n": base64url(n.to_bytes(257))}

    assert parse(padded).keys["k"] == parse(rsa_jwk("k")).keys["k"]


@pytest.mark.parametrize(
    ("published", "algorithms", "algorithm"),
    [
        (jwk("k"), frozenset({"EdDSA", "Ed25519"}), "EdDSA"),
        ({**jwk("k")} | {"alg": "Ed25519"}, frozenset({"EdDSA", "Ed25519"}), "Ed25519"),
        ({k: v for k, v in jwk("k").items() if k != "alg"}, ALL_ALGORITHMS, "EdDSA"),
        ({k: v for k, v in ec_jwk("k").items() if k != "alg"}, ALL_ALGORITHMS, "ES256"),
        ({k: v for k, v in rsa_jwk("k").items() if k != "alg"}, ONE_RSA, "RS256"),
    ],
)
def test_algorithm_is_the_keys_own_or_the_only_fitting_one(
    published: dict[str, Any], algorithms: frozenset[str], algorithm: str
) -> None:
    """A key has one algorithm: its ``alg``, else the only one of the issuer's that fits it."""
    assert parse(published, algorithms=algorithms).keys["k"].algorithm == algorithm


def test_key_is_found_without_a_kid_when_it_is_alone() -> None:
    """The only key serves tokens that name none, whether or not it has a name itself."""
    for only in (jwk(None), jwk("a")):
        ring = parse(only, ec_jwk("enc", use="enc"))

        assert ring.find(None) is ring.only
        assert ring.only is not None
        assert ring.size == 1
        assert ring.find("b") is None


def test_key_is_not_found_without_a_kid_when_there_are_two() -> None:
    """A token that names no key does not get to try several."""
    ring = parse("a", "b")

    assert ring.find(None) is None
    assert ring.size == 2


def test_nameless_key_is_skipped_when_it_is_not_alone() -> None:
    """No token could mean it."""
    ring = parse("a", jwk(None, seed="b"))

    assert list(ring.keys) == ["a"]
    assert [one.kid for one in ring.skipped] == [None]


def test_ring_cannot_be_changed_when_it_is_made() -> None:
    """What was checked stays what it was."""
    with pytest.raises(TypeError):
        parse("a").keys["b"] = parse("b").keys["b"]  # type: ignore[index]


def test_key_object_is_kept_when_the_previous_ring_has_an_equal_one() -> None:
    """Equal keys keep their object; the same kid with other material does not."""
    before = parse("a", jwk("b", seed="one"))
    after = parse("a", jwk("b", seed="two"), previous=before)

    assert after.keys["a"] is before.keys["a"]
    assert after.keys["b"] != before.keys["b"]
    assert after.keys["b"].public != before.keys["b"].public
    nameless = parse(jwk(None, seed="c"))
    assert parse(jwk(None, seed="c"), previous=nameless).only is nameless.only


def test_document_is_kept_as_it_was_published() -> None:
    """Others who ask us for the set get the issuer's own bytes, and no repr prints them."""
    document = b' {"keys" : [' + json.dumps(jwk("a")).encode() + b"]}\n"
    ring = parse_jwks(document, ISSUER, ALL_ALGORITHMS, None)

    assert ring.document == document
    assert jwk("a")["x"] not in repr(ring)


# --- what is skipped ---------------------------------------------------------------------------

SKIPPED = {
    "encryption key": (ec_jwk("odd", use="enc", alg="ECDH-ES"), "'use'"),
    "use is no text": (jwk("odd", use=["sig"]), "'use'"),
    "signs only": (jwk("odd", key_ops=["sign"]), "'key_ops'"),
    "key_ops is text": (jwk("odd", key_ops="verify"), "'key_ops'"),
    "unknown kty": ({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "odd"}, "'kty'"),
    "no kty": ({"kid": "odd"}, "'kty'"),
    "kty is no text": (jwk("odd", kty=["OKP"]), "'kty'"),
    "kty in lower case": (jwk("odd", kty="okp"), "'kty'"),
    "another OKP curve": (jwk("odd", crv="X25519"), "'kty'"),
    "another EC curve": (ec_jwk("odd", crv="P-224"), "'kty'"),
    "RSA of encryption": (rsa_jwk("odd", alg="RSA-OAEP-256"), "algorithm"),
    "weak, but not for us": (rsa_jwk("odd", n=some_modulus(1024), use="enc"), "'use'"),
    "alg of another family": (ec_jwk("odd", alg="RS256"), "algorithm"),
    "alg is none": (jwk("odd", alg="none"), "algorithm"),
    "alg is symmetric": (rsa_jwk("odd", alg="HS256"), "algorithm"),
    "alg in lower case": (jwk("odd", alg="eddsa"), "algorithm"),
    "alg is null": (jwk("odd", alg=None), "algorithm"),
    "alg is no text": (jwk("odd", alg=["EdDSA"]), "algorithm"),
    "alg not on the list": (jwk("odd", alg="Ed25519"), "algorithm"),
    "alg missing, two fit": ({k: v for k, v in rsa_jwk("odd").items() if k != "alg"}, "several"),
    "x missing": ({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "odd"}, "parameters"),
    "x is a number": (jwk("odd", x=1234), "parameters"),
    "x too short": (jwk("odd", x=base64url(bytes(31))), "parameters"),
    "x padded": (jwk("odd", x=jwk("odd")["x"] + "="), "parameters"),
    "x with a newline": (jwk("odd", x=jwk("odd")["x"] + "\n"), "parameters"),
    "x not ASCII": (jwk("odd", x="ä" * 43), "parameters"),
    "x not canonical": (jwk("odd", x=base64url(bytes(range(32)))[:-1] + "9"), "parameters"),
    "point not on curve": (ec_jwk("odd", x=base64url(bytes(31) + b"\x01")), "parameters"),
    "long coordinate": (ec_jwk("odd", octets=33), "parameters"),
    "e is a number": (rsa_jwk("odd") | {"e": 9999}, "parameters"),
    "n missing": ({"kty": "RSA", "alg": "RS256", "e": "AQAB", "kid": "odd"}, "parameters"),
}


@pytest.mark.parametrize(("odd", "reason"), SKIPPED.values(), ids=SKIPPED.keys())
def test_key_is_skipped_and_named_when_it_is_not_for_us(odd: dict[str, Any], reason: str) -> None:
    """It is no key of this issuer, and the keys beside it still work."""
    ring = parse("good", odd)

    assert list(ring.keys) == ["good"]
    assert [one.kid for one in ring.skipped] == ["odd"]
    assert reason in ring.skipped[0].reason


@pytest.mark.parametrize(("odd", "reason"), SKIPPED.values(), ids=SKIPPED.keys())
def test_set_is_refused_when_it_has_nothing_else(odd: dict[str, Any], reason: str) -> None:
    """A set without a usable key never becomes a ring, and the error says why."""
    with pytest.raises(BadKeySet, match=f"no usable key: .*{reason}"):
        parse(odd)


# --- what is refused ---------------------------------------------------------------------------

REFUSED = {
    **{
        f"private {name}": (jwk("bad", **{name: "AAAA"}), f"private member '{name}'")
        for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv")
    },
    "private, not for us": (ec_jwk("bad", use="enc", d="AAAA"), "private member 'd'"),
    "private, null": (jwk("bad", d=None), "private member 'd'"),
    "symmetric": ({"kty": "oct", "kid": "bad"}, "symmetric"),
    "kid again": (jwk("good", seed="another"), "kid 'good' stands there twice"),
    "kid again, not for us": (ec_jwk("good", use="enc"), "kid 'good' stands there twice"),
    "kid empty": (jwk(""), "'kid' is not"),
    "kid too long": (jwk("x" * 257), "'kid' is not"),
    "kid null": (jwk("bad") | {"kid": None}, "'kid' is not"),
    "kid number": (jwk("bad") | {"kid": 1}, "'kid' is not"),
    "kid array, not for us": (ec_jwk("bad", use="enc") | {"kid": []}, "'kid' is not"),
    "RSA of 1024 bits": (rsa_jwk("bad", n=some_modulus(1024)), "1024 bits"),
    "RSA of 2047 bits": (rsa_jwk("bad", n=some_modulus(2047)), "2047 bits"),
    "RSA of 8193 bits": (rsa_jwk("bad", n=some_modulus(8193)), "8193 bits"),
    "RSA modulus even": (rsa_jwk("bad", n=some_modulus(2048) + 1), "weak"),
    "RSA exponent 1": (rsa_jwk("bad", e=1), "weak"),
    "RSA exponent 3": (rsa_jwk("bad", e=3), "weak"),
    "RSA exponent even": (rsa_jwk("bad", e=65_538), "weak"),
    "RSA exponent costly": (rsa_jwk("bad", e=2**256 + 1), "weak"),
    "RSA of a broken card": (rsa_jwk("bad", n=modulus_of_the_broken_card()), "CVE-2017-15361"),
    "Ed25519 of zeros": (jwk("bad", x=base64url(bytes(32))), "small order"),
    "Ed25519 identity": (jwk("bad", x=base64url(b"\x01" + bytes(31))), "small order"),
    "Ed25519 identity, signed": (
        jwk("bad", x=base64url(b"\x01" + bytes(30) + b"\x80")),
        "small order",
    ),
    "Ed25519 of order 2": (jwk("bad", x=base64url((2**255 - 20).to_bytes(32, "little"))), "small"),
    "Ed25519 of order 8": (
        jwk("bad", x="JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU"),
        "small order",
    ),
    "Ed25519 one above the field": (
        jwk("bad", x=base64url((2**255 - 18).to_bytes(32, "little"))),
        "small order",
    ),
}


@pytest.mark.parametrize(("bad", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_set_is_refused_whole_when_a_key_shows_carelessness(
    bad: dict[str, Any], reason: str
) -> None:
    """One such key, and not even the good one beside it is taken; the error names the place."""
    with pytest.raises(BadKeySet, match=r"^keys\[1\]") as refusal:
        parse("good", bad)

    assert reason in str(refusal.value)
    assert str(jwk("good")["x"]) not in str(refusal.value)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"<html></html>",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [1]}',
        b'{"keys": [[]]}',
        b'{"keys": []}',
        json.dumps(jwk("a")).encode(),
        jwks("a") + jwks("b"),
        jwks("a").replace(b'"kty"', b'"kid": "a", "kty"'),
        jwks("a")[:-1] + b', "keys": []}',
        jwks(jwk("a", x5c=[[[[[["deep"]]]]]])),
        jwks(jwk(None, seed="a"), jwk(None, seed="b")),
        "\ufeff".encode() + jwks("a"),
    ],
)
def test_document_is_refused_when_it_is_no_key_set(document: bytes) -> None:
    """Nothing is guessed into a document that is not one JWK Set."""
    with pytest.raises(BadKeySet):
        parse_jwks(document, ISSUER, ALL_ALGORITHMS, None)


def test_set_is_refused_when_it_has_more_than_sixty_four_keys() -> None:
    """A set of 64 keys is taken, one more is not, usable or not."""
    keys = [jwk(str(i)) for i in range(64)]

    assert parse(*keys).size == 64
    with pytest.raises(BadKeySet, match="65 keys"):
        parse(*keys, ec_jwk("enc", use="enc"))


@pytest.mark.parametrize("bits", [2048, 8192])
def test_rsa_key_is_taken_when_its_length_is_at_a_limit(bits: int) -> None:
    """The limits belong to what is allowed."""
    assert parse(rsa_jwk("k", n=some_modulus(bits))).size == 1


def test_anybody_signs_for_an_ed25519_key_of_small_order() -> None:
    """Why such a key is refused: the library accepts one made-up signature for any message."""
    identity = b"\x01" + bytes(31)
    key, forged = Ed25519PublicKey.from_public_bytes(identity), identity + bytes(32)

    for message in (b"transfer", b"delete"):
        key.verify(forged, message)
    honest = private_key("honest").public_key()
    with pytest.raises(InvalidSignature):
        honest.verify(forged, b"transfer")
