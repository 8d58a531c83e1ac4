"""The form of a compact JWS."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core.jws import parse
from sidecar.core.model import Jws, Refused
from sidecar.core.reasons import Reason
from tests.tokens import (
    ABSENT,
    ISSUER,
    base64url,
    make_claims,
    make_header,
    make_token,
    sign_compact,
    signer,
)

GOOD = make_token()
HEADER = json.dumps(make_header(signer())).encode()
PAYLOAD = json.dumps(make_claims()).encode()
HEAD, BODY, TAIL = GOOD.split(b".")


def with_last_bit(token: bytes) -> bytes:
    """Set a spare bit of the last character: 64 bytes leave four of them unused."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return token[:-1] + bytes([alphabet[alphabet.index(token[-1]) + 1]])


def test_parse_returns_parts_when_form_is_right() -> None:
    """Every part is what the token spells, and the digest is that of its exact bytes."""
    jws = parse(GOOD)

    assert isinstance(jws, Jws)
    assert (sha256(GOOD).digest(), "EdDSA", "eddsa-1", "jwt", ISSUER) == (
        jws.digest,
        jws.algorithm,
        jws.kid,
        jws.type,
        jws.unverified_issuer,
    )
    assert jws.unverified_claims == make_claims()
    assert (jws.signing_input, base64url(jws.signature)) == (HEAD + b"." + BODY, TAIL)


@pytest.mark.parametrize(
    ("typ", "kind"),
    [
        (ABSENT, None),
        ("JWT", "jwt"),
        ("at+jwt", "at+jwt"),
        ("application/at+jwt", "at+jwt"),
        ("Application/AT+JWT", "at+jwt"),
    ],
)
def test_parse_spells_typ_one_way_when_it_is_a_media_type(typ: object, kind: str | None) -> None:
    """``typ`` is compared without case and with ``application/`` implied."""
    jws = parse(make_token(header={"typ": typ}))

    assert isinstance(jws, Jws)
    assert jws.type == kind


def test_parse_returns_no_kid_when_header_has_none() -> None:
    """29: a ``kid`` may be absent; whether a key is found is another question."""
    jws = parse(make_token(header={"kid": ABSENT}))

    assert isinstance(jws, Jws)
    assert jws.kid is None


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(HEAD + b"." + BODY + b".", id="9 signature stripped"),
        pytest.param(with_last_bit(GOOD), id="11 spare bits set"),
        pytest.param(GOOD + b"\n", id="12 newline"),
        pytest.param(GOOD + b"==", id="13 padding"),
        pytest.param(b" " + GOOD, id="14 leading space"),
        pytest.param(HEAD + b"." + BODY + b"." + b"+/" * 43, id="15 plain base64"),
        pytest.param(HEAD + b"." + BODY, id="16 two segments"),
        pytest.param(GOOD + b"." + TAIL, id="17 four segments"),
        pytest.param(GOOD + b"." + TAIL + b"." + TAIL, id="18 five segments"),
        pytest.param(b"." + BODY + b"." + TAIL, id="no header"),
        pytest.param(HEAD + b".." + TAIL, id="detached payload"),
        pytest.param(b"..", id="dots"),
        pytest.param(b"", id="nothing"),
        pytest.param(HEAD[:4] + b"!" + HEAD[4:] + b"." + BODY + b"." + TAIL, id="foreign byte"),
        pytest.param(HEAD + b"." + BODY + b".A", id="impossible length"),
    ],
)
def test_parse_refuses_when_spelling_is_not_canonical(token: bytes) -> None:
    """A token has one spelling: three segments of canonical base64url."""
    assert_malformed(parse(token))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param({"alg": ABSENT}, id="3 alg missing"),
        pytest.param({"alg": ["EdDSA"]}, id="7 alg array"),
        pytest.param({"alg": ""}, id="alg empty"),
        pytest.param({"crit": ["exp"]}, id="20 crit"),
        pytest.param({"crit": []}, id="21 crit empty"),
        pytest.param({"crit": ["alg"]}, id="22 crit alg"),
        pytest.param({"crit": ["absent"]}, id="23 crit absent"),
        pytest.param({"b64": False}, id="24 b64"),
        pytest.param({"b64": False, "crit": ["b64"]}, id="25 b64 in crit"),
        pytest.param({"b64": True}, id="b64 true"),
        pytest.param({"jwk": signer().jwk}, id="26 jwk"),
        pytest.param({"jku": "https://evil.test/jwks"}, id="27 jku"),
        pytest.param({"x5u": "https://evil.test/cert"}, id="x5u"),
        pytest.param({"x5c": ["MIIB"]}, id="x5c"),
        pytest.param({"kid": 7}, id="28 kid number"),
        pytest.param({"kid": None}, id="28 kid null"),
        pytest.param({"kid": ""}, id="28 kid empty"),
        pytest.param({"kid": "k" * 257}, id="31 kid long"),
        pytest.param({"typ": ["JWT"]}, id="typ array"),
        pytest.param({"typ": ""}, id="typ empty"),
        pytest.param({"typ": None}, id="typ null"),
        pytest.param({"typ": "application/"}, id="typ without subtype"),
        pytest.param({"typ": "to\u212aen"}, id="typ that folds to ASCII"),
        pytest.param({"cty": "JWT"}, id="37 nested"),
        pytest.param({"zip": "DEF"}, id="38 compressed"),
        pytest.param({"enc": "A256GCM"}, id="encrypted"),
        pytest.param({"Alg": "none"}, id="42 Alg beside alg"),
        pytest.param({"alg": ABSENT, "ALG": "EdDSA"}, id="42 ALG alone"),
        pytest.param({"Kid": "other"}, id="42 Kid"),
        pytest.param({"\u212aid": "other"}, id="42 kid with a Kelvin sign"),
        pytest.param({"Crit": ["exp"]}, id="42 Crit"),
        pytest.param({"x": 1, "X": 2}, id="42 unknown twice"),
    ],
)
def test_parse_refuses_when_header_breaks_a_rule(header: dict[str, Any]) -> None:
    """A header that others read differently, or that brings its own key, is not taken."""
    assert_malformed(parse(make_token(header=header)))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b'{"alg":"none","alg":"EdDSA"}', id="39 duplicate alg"),
        pytest.param(b'["EdDSA"]', id="array"),
        pytest.param(b"EdDSA", id="no JSON"),
        pytest.param(b"\xef\xbb\xbf" + HEADER, id="BOM"),
        pytest.param(b'{"alg":"EdDSA","x":' + b"[" * 17 + b"]" * 17 + b"}", id="deep"),
    ],
)
def test_parse_refuses_when_header_is_not_strict_json(header: bytes) -> None:
    """The header is one strict JSON object."""
    assert_malformed(parse(sign_compact(header, PAYLOAD)))


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"sub":"a",' + PAYLOAD[1:], id="40 duplicate sub"),
        pytest.param(b'{"exp":1,' + PAYLOAD[1:], id="41 duplicate exp"),
        pytest.param(b'{"SUB":"root",' + PAYLOAD[1:], id="42 SUB beside sub"),
        pytest.param(b'{"\xc5\xbfub":"root",' + PAYLOAD[1:], id="42 sub with a long s"),
        pytest.param(PAYLOAD.replace(b'"exp"', b'"Exp"'), id="42 Exp alone"),
        pytest.param(b'{"Act":{},' + PAYLOAD[1:], id="42 Act alone"),
        pytest.param(b'{"Task_ID":"t",' + PAYLOAD[1:], id="42 Task_ID beside task_id"),
        pytest.param(PAYLOAD + b" x", id="43 trailing bytes"),
        pytest.param(b"\xef\xbb\xbf" + PAYLOAD, id="44 BOM"),
        pytest.param(PAYLOAD.decode().encode("utf-16"), id="45 UTF-16"),
        pytest.param(b'{"x":"\xff",' + PAYLOAD[1:], id="46 no UTF-8"),
        pytest.param(b"[" + PAYLOAD + b"]", id="47 array"),
        pytest.param(PAYLOAD.replace(b'"exp": 1800000300', b'"exp": NaN'), id="49 NaN"),
        pytest.param(PAYLOAD.replace(b'"exp": 1800000300', b'"exp": Infinity'), id="50 Infinity"),
        pytest.param(PAYLOAD.replace(b'"exp": 1800000300', b'"exp": 1e400'), id="51 1e400"),
        pytest.param(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", id="52 deep"),
    ],
)
def test_parse_refuses_when_payload_is_not_strict_json(payload: bytes) -> None:
    """The payload is one strict JSON object whose names nobody can take for others."""
    assert_malformed(parse(sign_compact(HEADER, payload)))


@pytest.mark.parametrize("issuer", [None, 1, [ISSUER]])
def test_parse_refuses_when_issuer_is_no_text(issuer: object) -> None:
    """75: an ``iss`` that is no text names nobody."""
    assert parse(make_token(iss=issuer)) == Refused(Reason.CLAIM_INVALID, "iss")


@settings(deadline=None)
@given(token=st.binary(max_size=200))
@example(token=b"e30.e30.e30")
def test_parse_never_raises_when_bytes_are_odd(token: bytes) -> None:
    """Whatever the bytes are, the answer is a value."""
    assert isinstance(parse(token), Jws | Refused)


@settings(deadline=None)
@given(header=st.binary(max_size=60), payload=st.binary(max_size=60), tail=st.binary(max_size=9))
@example(header=b"{}", payload=b"{}", tail=b"x")
@example(header=b'{"alg":{}}', payload=b'{"iss":{}}', tail=b"x")
def test_parse_never_raises_when_segments_are_odd(
    header: bytes, payload: bytes, tail: bytes
) -> None:
    """Nor what the segments hold."""
    token = b".".join(base64url(segment) for segment in (header, payload, tail))

    assert isinstance(parse(token), Jws | Refused)


@settings(deadline=None)
@given(data=st.data())
def test_parse_refuses_or_differs_when_one_byte_changes(data: st.DataObject) -> None:
    """No two spellings stand for one token: a changed byte changes a part, or is refused."""
    place = data.draw(st.integers(0, len(GOOD) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != GOOD[place]))
    changed = parse(GOOD[:place] + bytes([byte]) + GOOD[place + 1 :])
    good = parse(GOOD)

    assert isinstance(good, Jws)
    assert isinstance(changed, Refused) or (
        (changed.signing_input, changed.signature) != (good.signing_input, good.signature)
    )


def test_parse_shows_no_token_when_it_is_printed() -> None:
    """A ``Jws`` in a log shows neither claims nor signature."""
    assert TAIL.decode() not in repr(parse(GOOD))
    assert "agent-1" not in repr(parse(GOOD))


def assert_malformed(answer: Jws | Refused) -> None:
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.TOKEN_MALFORMED
