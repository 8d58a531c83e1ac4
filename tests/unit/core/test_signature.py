"""Signatures: one key, one algorithm, no choice for the token."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256

import joserfc.errors
import joserfc.jws
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import jws as compact
from sidecar.core.model import Jws, SignedClaims
from sidecar.core.reasons import Reason
from sidecar.core.signature import prove
from tests.tokens import (
    ALGORITHMS,
    Signer,
    base64url,
    make_claims,
    make_header,
    make_token,
    reason_of,
    signer,
)

ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def parsed(token: bytes) -> Jws:
    jws = compact.parse(token)
    assert isinstance(jws, Jws)
    return jws


def resigned(token: bytes, signature: bytes) -> Jws:
    return parsed(token.rpartition(b".")[0] + b"." + base64url(signature))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_prove_returns_claims_when_key_signed_them(algorithm: str) -> None:
    """Each algorithm's signature is proven under its key, and the claims come out as signed."""
    by = signer(algorithm)
    signed = prove(parsed(make_token(by=by)), by.key())

    token = make_token(by=by)
    digest = sha256(token.rpartition(b".")[0]).digest()
    assert signed == SignedClaims(make_claims(), "jwt", by.key(), digest=digest)


def test_prove_returns_claims_when_alg_is_the_fully_specified_name() -> None:
    """``EdDSA`` and ``Ed25519`` name one algorithm of an Ed25519 key (RFC 9864), either way."""
    short, full = make_token(), make_token(header={"alg": "Ed25519"})

    assert isinstance(prove(parsed(full), signer().key()), SignedClaims)
    assert isinstance(prove(parsed(short), signer().key(algorithm="Ed25519")), SignedClaims)


@pytest.mark.parametrize(
    "alg",
    ["none", "nOnE", "HS256", "eddsa", "Es256", "Ed448", "ES384", "RS256", "PS256", "ES256"],
)
def test_prove_refuses_when_alg_is_not_the_keys(alg: str) -> None:
    """1-6: the key's algorithm is the only one, spelt exactly."""
    jws = parsed(make_token(header={"alg": alg}))

    assert reason_of(prove(jws, signer().key())) is Reason.ALGORITHM_REFUSED


@pytest.mark.parametrize(("alg", "own"), [("RS256", "PS256"), ("PS256", "RS256")])
def test_prove_refuses_when_rsa_key_is_for_the_other_padding(alg: str, own: str) -> None:
    """RFC 8725, section 3.1: a key is for one algorithm, also where it could serve two."""
    by = signer(alg)

    assert (
        reason_of(prove(parsed(make_token(by=by)), by.key(algorithm=own)))
        is Reason.ALGORITHM_REFUSED
    )


@pytest.mark.parametrize("algorithm", ["none", "HS256", "ES256K", ""])
def test_prove_refuses_when_key_and_token_share_an_unsupported_alg(algorithm: str) -> None:
    """Agreement is not enough: an algorithm that we do not offer is no algorithm."""
    jws = parsed(make_token(header={"alg": algorithm or "x"}))

    assert reason_of(prove(jws, signer().key(algorithm=algorithm))) is Reason.ALGORITHM_REFUSED


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "encoding",
    [
        (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
)
def test_prove_refuses_when_hmac_is_keyed_with_the_public_key(
    algorithm: str, encoding: tuple[serialization.Encoding, serialization.PublicFormat]
) -> None:
    """4-5: what everybody knows is no secret."""
    key = signer(algorithm).key()
    forged = make_token(by=signer(algorithm), header={"alg": "HS256"})
    secret = key.public.public_bytes(*encoding)
    tag = hmac.digest(secret, forged.rpartition(b".")[0], "sha256")

    assert reason_of(prove(resigned(forged, tag), key)) is Reason.ALGORITHM_REFUSED


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_prove_refuses_when_another_key_signed(algorithm: str) -> None:
    """8: a signature of somebody else proves nothing."""
    forged = make_token(by=signer(algorithm, "stranger"), header={"kid": signer(algorithm).kid})

    assert reason_of(prove(parsed(forged), signer(algorithm).key())) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_prove_refuses_when_signature_is_changed(algorithm: str, data: st.DataObject) -> None:
    """10: cut, grown or flipped anywhere, a signature is not valid."""
    token, key = make_token(by=signer(algorithm)), signer(algorithm).key()
    signature = parsed(token).signature
    place = data.draw(st.integers(0, len(signature) - 1))
    flip = data.draw(st.integers(1, 255))
    flipped = bytearray(signature)
    flipped[place] ^= flip

    for changed in (
        bytes(flipped),
        signature[:place] or b"\0",
        signature + bytes([flip]),
    ):
        assert reason_of(prove(resigned(token, changed), key)) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_prove_refuses_when_payload_is_changed(algorithm: str) -> None:
    """A signature holds for its own header and payload only."""
    by = signer(algorithm)
    signature = parsed(make_token(by=by)).signature

    assert (
        reason_of(prove(resigned(make_token(by=by, sub="root"), signature), by.key()))
        is Reason.SIGNATURE_INVALID
    )


def test_prove_refuses_when_ed25519_scalar_is_malleated() -> None:
    """19: S + L is the same point and no valid signature (RFC 8032, section 5.1.7)."""
    token = make_token()
    signature = parsed(token).signature
    scalar = int.from_bytes(signature[32:], "little") + ED25519_ORDER
    malleated = signature[:32] + scalar.to_bytes(32, "little")

    assert reason_of(prove(resigned(token, malleated), signer().key())) is Reason.SIGNATURE_INVALID


def test_prove_refuses_when_ecdsa_signature_is_der() -> None:
    """JWS has r and s side by side in 64 bytes (RFC 7518, section 3.4), never DER."""
    by = signer("ES256")
    token = make_token(by=by)
    der = by.private.sign(token.rpartition(b".")[0], ec.ECDSA(hashes.SHA256()))

    assert reason_of(prove(resigned(token, der), by.key())) is Reason.SIGNATURE_INVALID


def test_prove_refuses_when_ecdsa_key_is_on_another_curve() -> None:
    """ES256 is P-256 (RFC 7518, section 3.4), though P-384 signs SHA-256 as well."""
    private, token = ec.generate_private_key(ec.SECP384R1()), make_token(by=signer("ES256"))
    der = private.sign(token.rpartition(b".")[0], ec.ECDSA(hashes.SHA256()))
    signature = b"".join(number.to_bytes(48) for number in decode_dss_signature(der))
    key = signer("ES256").key(public=private.public_key())

    assert reason_of(prove(resigned(token, signature), key)) is Reason.SIGNATURE_INVALID


def test_prove_refuses_when_eddsa_key_is_ed448() -> None:
    """``EdDSA`` could mean Ed448 (RFC 8037); here it is Ed25519 and nothing else."""
    private, token = Ed448PrivateKey.generate(), make_token()
    signature = private.sign(token.rpartition(b".")[0])
    key = signer().key(public=private.public_key())

    assert reason_of(prove(resigned(token, signature), key)) is Reason.SIGNATURE_INVALID


def test_prove_refuses_when_ecdsa_signature_is_all_zero() -> None:
    """Zeros verify everything where nobody looks (CVE-2022-21449)."""
    token = make_token(by=signer("ES256"))

    assert (
        reason_of(prove(resigned(token, bytes(64)), signer("ES256").key()))
        is Reason.SIGNATURE_INVALID
    )


def test_prove_refuses_when_pss_salt_has_another_length() -> None:
    """PS256 has a salt as long as the hash (RFC 7518, section 3.5)."""
    by = signer("PS256")
    token = make_token(by=by)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=0)
    signature = by.private.sign(token.rpartition(b".")[0], pss, hashes.SHA256())

    assert reason_of(prove(resigned(token, signature), by.key())) is Reason.SIGNATURE_INVALID


def test_prove_refuses_when_key_is_another_issuers() -> None:
    """76: a key vouches for its own issuer only, also under the same kid."""
    other = signer().key(issuer="https://other.test")

    assert reason_of(prove(parsed(make_token()), other)) is Reason.KEY_UNKNOWN


def joserfc_accepts(token: bytes, by: Signer) -> bool:
    try:
        joserfc.jws.deserialize_compact(token, by.jose, [by.algorithm])
    except joserfc.errors.JoseError:
        return False
    return True


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
@settings(deadline=None, max_examples=20)
@given(sub=st.text(st.characters(codec="utf-8")), stranger=st.booleans())
def test_prove_agrees_with_joserfc_when_tokens_differ(
    algorithm: str, sub: str, *, stranger: bool
) -> None:
    """A second implementation accepts and refuses the same signatures."""
    by = signer(algorithm)
    token = make_token(by=signer(algorithm, "stranger") if stranger else by, sub=sub)
    ours = isinstance(prove(parsed(token), by.key()), SignedClaims)

    assert joserfc_accepts(token, by) is ours is not stranger


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_prove_returns_claims_when_joserfc_signed_them(algorithm: str) -> None:
    """What a second implementation mints, we read."""
    by = signer(algorithm)
    token = joserfc.jws.serialize_compact(
        make_header(by), json.dumps(make_claims()), by.jose, [algorithm]
    )
    signed = prove(parsed(token.encode()), by.key())

    assert isinstance(signed, SignedClaims)
    assert signed.claims == make_claims()
