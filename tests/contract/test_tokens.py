"""The contract of ``ports.Tokens``, over every implementation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.adapters.verified_tokens import VerifiedTokens
from sidecar.core import jws as compact
from sidecar.core import signature
from sidecar.core.model import Jws, SignedClaims
from sidecar.core.reasons import Reason
from sidecar.ports import Tokens
from tests.fakes_tokens import DirectTokens
from tests.tokens import ALGORITHMS, LIFETIME, NOW, make_token, reason_of, sign_compact, signer


@pytest.fixture(params=["direct", "verified"])
def tokens(request: pytest.FixtureRequest) -> Tokens:
    return DirectTokens() if request.param == "direct" else VerifiedTokens(2, lambda: NOW)


def parsed(tokens: Tokens, token: bytes) -> Jws:
    jws = tokens.parse(token)
    assert isinstance(jws, Jws)
    return jws


def proven(tokens: Tokens, token: bytes) -> SignedClaims:
    signed = tokens.prove(parsed(tokens, token), signer().key())
    assert isinstance(signed, SignedClaims)
    return signed


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_answer_as_the_core_when_asked_again(tokens: Tokens, algorithm: str) -> None:
    """First or tenth time, both answers equal those of the core."""
    token, key = make_token(by=signer(algorithm)), signer(algorithm).key()
    jws = compact.parse(token)
    assert isinstance(jws, Jws)

    for _ in range(3):
        assert tokens.parse(token) == jws
        assert tokens.prove(parsed(tokens, token), key) == signature.prove(jws, key)


@pytest.mark.parametrize("token", [b"", b"a.b.c", sign_compact(b"{}", b"{}"), make_token(iss=1)])
def test_parse_refuses_as_the_core_when_form_is_wrong(tokens: Tokens, token: bytes) -> None:
    """A malformed token is refused for the same reason, each time."""
    for _ in range(2):
        assert tokens.parse(token) == compact.parse(token)


def test_parse_tells_tokens_apart_when_one_byte_differs(tokens: Tokens) -> None:
    """What was proven says nothing about a token that is nearly the same."""
    token = make_token()
    proven(tokens, token)
    changed = token[:-4] + (b"AAAA" if token[-4:-3] != b"A" else b"QAAA")

    assert reason_of(tokens.prove(parsed(tokens, changed), signer().key())) is (
        Reason.SIGNATURE_INVALID
    )


def test_prove_refuses_when_key_was_replaced_under_its_kid(tokens: Tokens) -> None:
    """A proof holds for one key: after a rotation under the same kid it is worth nothing."""
    token = make_token()
    proven(tokens, token)
    successor = replace(signer(name="successor").key(), kid=signer().kid)

    assert reason_of(tokens.prove(parsed(tokens, token), successor)) is Reason.SIGNATURE_INVALID


def test_prove_refuses_when_key_changed_its_algorithm_or_issuer(tokens: Tokens) -> None:
    """The same mathematics under another algorithm or issuer is another key."""
    token, key = make_token(), signer().key()
    proven(tokens, token)
    jws = parsed(tokens, token)

    assert reason_of(tokens.prove(jws, replace(key, algorithm="ES256"))) is Reason.ALGORITHM_REFUSED
    assert reason_of(tokens.prove(jws, replace(key, issuer="https://b.test"))) is Reason.KEY_UNKNOWN


def test_prove_names_the_key_that_was_given_when_only_its_kid_changed(tokens: Tokens) -> None:
    """The deny list asks for the key by its present kid."""
    token, renamed = make_token(), signer().key(kid="renamed")
    proven(tokens, token)
    signed = tokens.prove(parsed(tokens, token), renamed)

    assert isinstance(signed, SignedClaims)
    assert signed.key == renamed


def test_prove_refuses_when_jws_borrows_the_digest_of_a_proven_one(tokens: Tokens) -> None:
    """A digest is no proof: a forged ``Jws`` with a known one is checked like any other."""
    token = make_token()
    proven(tokens, token)
    forged = replace(parsed(tokens, token), signature=bytes(64))

    assert reason_of(tokens.prove(forged, signer().key())) is Reason.SIGNATURE_INVALID


def test_prove_returns_claims_when_token_was_parsed_twice_before(tokens: Tokens) -> None:
    """Two requests with one new token may overlap."""
    token = make_token()
    first, second = parsed(tokens, token), parsed(tokens, token)

    assert tokens.prove(first, signer().key()) == tokens.prove(second, signer().key())


# --- the memory itself -------------------------------------------------------------------------


def test_verified_tokens_prove_once_when_the_same_key_comes_again() -> None:
    """A hit needs no signature check: an equal key answers, even one that could not check."""
    tokens, token = VerifiedTokens(8, lambda: NOW), make_token()
    signed = proven(tokens, token)
    unusable = replace(signer().key(), public=None)

    assert tokens.prove(parsed(tokens, token), unusable) is signed


def test_verified_tokens_remember_nothing_when_signature_is_wrong() -> None:
    """Nobody without a key can fill the memory, or push others out of it."""
    tokens = VerifiedTokens(8, lambda: NOW)
    for number in range(20):
        forged = make_token(by=signer(name="stranger"), jti=f"j{number}")
        tokens.prove(parsed(tokens, forged), signer().key())

    assert len(tokens) == 0


def test_verified_tokens_forget_the_oldest_when_full() -> None:
    """The memory is bounded; a token in use stays."""
    tokens, used = VerifiedTokens(2, lambda: NOW), make_token(jti="used")
    first = proven(tokens, used)
    for number in range(5):
        proven(tokens, make_token(jti=f"j{number}"))
        assert proven(tokens, used) is first

    assert len(tokens) == 2


def test_verified_tokens_forget_a_token_when_it_has_ended() -> None:
    """What comes after ``exp`` is proven again, if at all, and is not taken in any more."""
    now = [NOW]
    tokens, token = VerifiedTokens(8, lambda: now[0]), make_token()
    signed = proven(tokens, token)
    now[0] = NOW + LIFETIME - 1
    assert proven(tokens, token) is signed

    now[0] = NOW + LIFETIME
    proven(tokens, token)
    assert len(tokens) == 0
    assert proven(tokens, token) is not signed
    assert len(tokens) == 0


@pytest.mark.parametrize("exp", [None, "soon", True])
def test_verified_tokens_remember_nothing_when_exp_is_no_date(exp: object) -> None:
    """A token that never ends is not remembered for ever; the claims' check refuses it."""
    tokens = VerifiedTokens(8, lambda: NOW)
    proven(tokens, make_token(exp=exp))

    assert len(tokens) == 0


@pytest.mark.parametrize("maxsize", [0, -1])
def test_verified_tokens_refuse_when_there_is_no_room(maxsize: int) -> None:
    """No memory is spelt ``DirectTokens``."""
    with pytest.raises(ValueError, match="maxsize must be at least 1"):
        VerifiedTokens(maxsize, lambda: NOW)
