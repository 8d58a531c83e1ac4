"""Finding the one credential of a request."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.bearer import MAX_TOKEN_BYTES, credential_of
from sidecar.core.model import Credential, Refused, Scheme
from sidecar.core.reasons import Reason
from tests.requests import make_request
from tests.tokens import make_token

LONGEST = b"a" * MAX_TOKEN_BYTES


@pytest.mark.parametrize(
    ("header", "scheme", "token"),
    [
        (b"Bearer abc.DEF-1_2.x", Scheme.BEARER, b"abc.DEF-1_2.x"),
        (b"bearer a", Scheme.BEARER, b"a"),
        (b"BEARER a", Scheme.BEARER, b"a"),
        (b"Bearer   a", Scheme.BEARER, b"a"),
        (b"Bearer " + LONGEST, Scheme.BEARER, LONGEST),
        (b"DPoP abc.DEF-1_2.x", Scheme.DPOP, b"abc.DEF-1_2.x"),
        (b"dpop a", Scheme.DPOP, b"a"),
        (b"DPOP a", Scheme.DPOP, b"a"),
        (b"DPoP " + LONGEST, Scheme.DPOP, LONGEST),
    ],
)
def test_credential_of_returns_token_when_there_is_exactly_one(
    header: bytes, scheme: Scheme, token: bytes
) -> None:
    """The scheme is case-insensitive and spaces follow (RFC 9110, sections 11.1 and 11.4)."""
    request = make_request(headers={"authorization": (header,)})

    assert credential_of(request) == Credential(scheme, token)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param((), Reason.TOKEN_MISSING, id="none"),
        pytest.param((b"",), Reason.TOKEN_MISSING, id="empty"),
        pytest.param((b"Bearer",), Reason.TOKEN_MISSING, id="scheme only"),
        pytest.param((b"Bearer ",), Reason.TOKEN_MISSING, id="no credential"),
        pytest.param((b"Basic YTpi",), Reason.TOKEN_MISSING, id="basic"),
        pytest.param((b"DPoP",), Reason.TOKEN_MISSING, id="dpop, scheme only"),
        pytest.param((b"DPoP-x abc",), Reason.TOKEN_MISSING, id="dpop, longer scheme"),
        pytest.param((b"DPoP\xc3\x9f abc",), Reason.TOKEN_MISSING, id="scheme not ASCII"),
        pytest.param((b"Bearers abc",), Reason.TOKEN_MISSING, id="longer scheme"),
        pytest.param((b"Bearer\tabc",), Reason.TOKEN_MISSING, id="tab"),
        pytest.param((b" Bearer abc",), Reason.TOKEN_MISSING, id="leading space"),
        pytest.param((b"abc",), Reason.TOKEN_MISSING, id="bare token"),
        pytest.param((b"Bearer a", b"Bearer b"), Reason.TOKEN_AMBIGUOUS, id="89 two headers"),
        pytest.param((b"Bearer a", b"Bearer a"), Reason.TOKEN_AMBIGUOUS, id="89 same twice"),
        pytest.param((b"Bearer a", b"Basic b"), Reason.TOKEN_AMBIGUOUS, id="89 two schemes"),
        pytest.param((b"Bearer a", b"DPoP b"), Reason.TOKEN_AMBIGUOUS, id="89 Bearer and DPoP"),
        pytest.param((b"DPoP a,Bearer a",), Reason.TOKEN_AMBIGUOUS, id="89 DPoP, joined"),
        pytest.param((b"Bearer a", b""), Reason.TOKEN_AMBIGUOUS, id="89 second empty"),
        pytest.param((b"Bearer a,Bearer b",), Reason.TOKEN_AMBIGUOUS, id="89 joined"),
        pytest.param((b"Bearer a, Basic b",), Reason.TOKEN_AMBIGUOUS, id="89 joined with space"),
        pytest.param((b"Basic b,Bearer a",), Reason.TOKEN_AMBIGUOUS, id="89 joined, other first"),
        pytest.param((b"Bearer a Bearer b",), Reason.TOKEN_MALFORMED, id="two in one"),
        pytest.param((b"Bearer a\n",), Reason.TOKEN_MALFORMED, id="12 newline"),
        pytest.param((b"Bearer a==",), Reason.TOKEN_MALFORMED, id="13 padding"),
        pytest.param((b"Bearer \x0ba",), Reason.TOKEN_MALFORMED, id="14 other white space"),
        pytest.param((b"Bearer a+b/c",), Reason.TOKEN_MALFORMED, id="15 plain base64"),
        pytest.param((b'Bearer {"payload":""}',), Reason.TOKEN_MALFORMED, id="89 JSON form"),
        pytest.param((b"Bearer a\xc3\xa9",), Reason.TOKEN_MALFORMED, id="not ASCII"),
        pytest.param((b"Bearer a\0",), Reason.TOKEN_MALFORMED, id="NUL"),
        pytest.param((b"DPoP a\n",), Reason.TOKEN_MALFORMED, id="dpop, newline"),
        pytest.param((b"DPoP " + LONGEST + b"a",), Reason.TOKEN_MALFORMED, id="dpop, too long"),
        pytest.param((b"Bearer " + LONGEST + b"a",), Reason.TOKEN_MALFORMED, id="52 too long"),
    ],
)
def test_credential_of_refuses_when_credential_is_not_one_token(
    headers: tuple[bytes, ...], reason: Reason
) -> None:
    """Everything but exactly one well-spelt token is refused, with its own reason."""
    refused = credential_of(make_request(headers={"authorization": headers}))

    assert isinstance(refused, Refused)
    assert refused.reason is reason


@pytest.mark.parametrize("headers", [{}, {"authorization": (b"Bearer a",)}])
@pytest.mark.parametrize("name", ["access_token", "Access_Token"])
def test_credential_of_refuses_when_token_stands_in_query(
    headers: dict[str, tuple[bytes, ...]], name: str
) -> None:
    """89: a token in the query is never taken, beside a header or alone (RFC 6750, section 2)."""
    refused = credential_of(make_request(headers=headers, query=(("id", "1"), (name, "a"))))

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.TOKEN_AMBIGUOUS


@settings(deadline=None)
@given(values=st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(b"DPoP ".__add__)))
def test_credential_of_never_raises_when_headers_are_odd(values: list[bytes]) -> None:
    """Whatever the header holds: a token of few characters, or a refusal that quotes nothing."""
    answer = credential_of(make_request(headers={"authorization": tuple(values)}))

    if isinstance(answer, Credential):
        assert re.fullmatch(rb"[A-Za-z0-9_.-]+", answer.token)
        assert values == [values[0][: -len(answer.token)] + answer.token]
    else:
        assert answer.reason.http_status == 401


def test_credential_of_shows_no_token_when_printed() -> None:
    """A refusal is recorded, and a record holds no credential; a credential's text has none."""
    token = make_token()
    given = credential_of(make_request(headers={"authorization": (b"Bearer " + token,)}))
    bad = b"Bearer " + token.replace(b".", b"!", 1)
    refused = credential_of(make_request(headers={"authorization": (bad,)}))

    assert isinstance(given, Credential)
    assert isinstance(refused, Refused)
    assert token[-40:].decode() not in repr((given, refused))
