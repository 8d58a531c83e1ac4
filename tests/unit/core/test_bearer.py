"""Finding the one bearer token of a request."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.bearer import MAX_TOKEN_BYTES, bearer_token
from sidecar.core.model import Refused
from sidecar.core.reasons import Reason
from tests.requests import make_request
from tests.tokens import make_token

LONGEST = b"a" * MAX_TOKEN_BYTES


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (b"Bearer abc.DEF-1_2.x", b"abc.DEF-1_2.x"),
        (b"bearer a", b"a"),
        (b"BEARER a", b"a"),
        (b"Bearer   a", b"a"),
        (b"Bearer " + LONGEST, LONGEST),
    ],
)
def test_bearer_token_returns_token_when_there_is_exactly_one(header: bytes, token: bytes) -> None:
    """The scheme is case-insensitive and one or more spaces follow (RFC 9110, section 11.4)."""
    request = make_request(headers={"authorization": (header,)})

    assert bearer_token(request) == token


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        pytest.param((), Reason.TOKEN_MISSING, id="none"),
        pytest.param((b"",), Reason.TOKEN_MISSING, id="empty"),
        pytest.param((b"Bearer",), Reason.TOKEN_MISSING, id="scheme only"),
        pytest.param((b"Bearer ",), Reason.TOKEN_MISSING, id="no credential"),
        pytest.param((b"Basic YTpi",), Reason.TOKEN_MISSING, id="basic"),
        pytest.param((b"DPoP abc",), Reason.TOKEN_MISSING, id="dpop"),
        pytest.param((b"Bearers abc",), Reason.TOKEN_MISSING, id="longer scheme"),
        pytest.param((b"Bearer\tabc",), Reason.TOKEN_MISSING, id="tab"),
        pytest.param((b" Bearer abc",), Reason.TOKEN_MISSING, id="leading space"),
        pytest.param((b"abc",), Reason.TOKEN_MISSING, id="bare token"),
        pytest.param((b"Bearer a", b"Bearer b"), Reason.TOKEN_AMBIGUOUS, id="89 two headers"),
        pytest.param((b"Bearer a", b"Bearer a"), Reason.TOKEN_AMBIGUOUS, id="89 same twice"),
        pytest.param((b"Bearer a", b"Basic b"), Reason.TOKEN_AMBIGUOUS, id="89 two schemes"),
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
        pytest.param((b"Bearer " + LONGEST + b"a",), Reason.TOKEN_MALFORMED, id="52 too long"),
    ],
)
def test_bearer_token_refuses_when_credential_is_not_one_token(
    headers: tuple[bytes, ...], reason: Reason
) -> None:
    """Everything but exactly one well-spelt bearer token is refused, with its own reason."""
    refused = bearer_token(make_request(headers={"authorization": headers}))

    assert isinstance(refused, Refused)
    assert refused.reason is reason


@pytest.mark.parametrize("headers", [{}, {"authorization": (b"Bearer a",)}])
@pytest.mark.parametrize("name", ["access_token", "Access_Token"])
def test_bearer_token_refuses_when_token_stands_in_query(
    headers: dict[str, tuple[bytes, ...]], name: str
) -> None:
    """89: a token in the query is never taken, beside a header or alone (RFC 6750, section 2)."""
    refused = bearer_token(make_request(headers=headers, query=(("id", "1"), (name, "a"))))

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.TOKEN_AMBIGUOUS


@settings(deadline=None)
@given(values=st.lists(st.binary(max_size=60) | st.binary(max_size=60).map(b"Bearer ".__add__)))
def test_bearer_token_never_raises_when_headers_are_odd(values: list[bytes]) -> None:
    """Whatever the header holds: a token of few characters, or a refusal that quotes nothing."""
    answer = bearer_token(make_request(headers={"authorization": tuple(values)}))

    if isinstance(answer, bytes):
        assert re.fullmatch(rb"[A-Za-z0-9_.-]+", answer)
        assert values == [values[0][: -len(answer)] + answer]
    else:
        assert answer.reason.http_status == 401


def test_bearer_token_shows_no_token_when_it_refuses() -> None:
    """A refusal is recorded, and a record holds no credential."""
    token = make_token().replace(b".", b"!", 1)
    refused = bearer_token(make_request(headers={"authorization": (b"Bearer " + token,)}))

    assert isinstance(refused, Refused)
    assert token[-40:].decode() not in repr(refused)
