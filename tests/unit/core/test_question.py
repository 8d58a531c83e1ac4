"""The document that policy is asked about."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from sidecar.core.model import Access, Ancestor, Call, Peer, Protocol, Scope, ToolCall
from sidecar.core.question import question_of
from tests.real_parts import ROOT
from tests.values import AGENT, CALL, ISSUER, NOW, make_agent, make_call

INPUT_SCHEMA = jsonschema.Draft7Validator(
    json.loads((ROOT / "policies/schema/input.json").read_text())
)

TRANSFER = ToolCall("tools/call", "transfer", {"amount": 5, "note": ["a", None, True]}, 1)


def document(call: Call = CALL, **agent: Any) -> dict[str, Any]:
    question = question_of(call, make_agent(**agent), now=NOW, revision="0" * 16)
    parsed: dict[str, Any] = json.loads(question.document)
    return parsed


def with_arguments(arguments: dict[str, Any]) -> Call:
    return make_call(tool=replace(TRANSFER, arguments=arguments))


def test_question_says_everything_of_an_http_call() -> None:
    """The whole document, member by member: contract version 1."""
    call = make_call(raw_query="a=1&b=2&a=3", headers={"accept": b"text/html"})

    assert document(call) == {
        "version": 1,
        "now": 1_800_000_000,
        "agent": {
            "issuer": ISSUER,
            "tenant": "acme",
            "subject": "agent-1",
            "id": "agent-1",
            "task": "task-1",
            "session": "",
            "scopes": ["read:customers:*"],
            "issued_at": 1_799_999_990,
            "expires_at": 1_800_000_290,
            "ancestors": [],
            "actor": {"id": "agent-1", "issuer": ISSUER},
            "bindings": [],
            "policy_version": "",
            "capability_hash": "",
            "marks": [],
        },
        "request": {
            "id": "req-1",
            "method": "GET",
            "scheme": "https",
            "host": "tools.example",
            "path": "/customers/7",
            "segments": ["customers", "7"],
            "query": {"a": ["1", "3"], "b": ["2"]},
            "headers": {"accept": ["text/html"]},
            "access": "read",
            "body_bytes": 0,
        },
        "tool": None,
        "route": {
            "name": "customers",
            "protocol": "http",
            "audience": "tools",
            "params": {"customer": "7"},
            "risk": None,
        },
        "source": {"address": "192.0.2.7", "principal": ""},
        "policy": {"revision": "0" * 16},
    }


def test_question_says_which_tool_is_called() -> None:
    """The tool with its server and its arguments as the caller wrote them."""
    assert document(make_call(tool=TRANSFER, server="payments"))["tool"] == {
        "server": "payments",
        "method": "tools/call",
        "name": "transfer",
        "arguments": {"amount": 5, "note": ["a", None, True]},
    }


@pytest.mark.parametrize(
    ("call", "agent"),
    [
        (CALL, {}),
        (make_call(access=Access.SENSITIVE, protocol=Protocol.MCP, tool=TRANSFER), {}),
        (make_call(access=Access.WRITE, raw_query="a=1", headers={"x-a": b"\xff"}), {}),
        (CALL, {"issued_at": None, "ancestors": (Ancestor("root"), Ancestor("parent"))}),
        (CALL, {"scopes": (), "expires_at": NOW + 0.5}),
        (replace(CALL, request=replace(CALL.request, peer=Peer("10.0.0.1", "spiffe://a/b"))), {}),
    ],
)
def test_question_keeps_to_its_schema(call: Call, agent: dict[str, Any]) -> None:
    """Whatever is asked is what policies/schema/input.json promises to authors."""
    INPUT_SCHEMA.validate(document(call, **agent))


def test_schema_knows_no_other_members() -> None:
    """The schema is closed: the document has every member that it names, and none besides."""
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        INPUT_SCHEMA.validate(document() | {"jti": "jti-1"})


CREDENTIALS = [
    "authorization", "proxy-authorization", "x-authorization", "cookie", "cookie2", "set-cookie",
    "x-api-key", "api-key", "apikey", "x-auth-token", "x-amz-security-token", "x-vault-token",
    "x-csrf-token", "x-access-token", "x-amzn-oidc-accesstoken", "x-client-secret",
    "x-goog-api-key", "ocp-apim-subscription-key", "x-ms-token-aad-id-token",
    "x-goog-iap-jwt-assertion", "dpop", "x-password", "x_api_key", "x-session-id",
    "x-auth", "idempotency-key",
]  # fmt: skip


@pytest.mark.parametrize("name", CREDENTIALS)
def test_question_withholds_a_header_when_it_may_be_a_credential(name: str) -> None:
    """Neither name nor value of anything that could be a credential gets to policy or record."""
    text = json.dumps(document(make_call(headers={name: b"s3cr3t"})))

    assert "s3cr3t" not in text
    assert f'"{name}"' not in text


@pytest.mark.parametrize(
    "name",
    ["accept", "content-type", "traceparent", "user-agent", "x-account-id", "x-keyboard",
     "x-authored-by", "mcp-session-id", "mcp-protocol-version", "x-tokenizer"],
)  # fmt: skip
def test_question_tells_a_header_when_it_is_no_credential(name: str) -> None:
    """A part of a word does not withhold a header."""
    assert document(make_call(headers={name: b"v"}))["request"]["headers"] == {name: ["v"]}


@pytest.mark.parametrize("name", [":authority", ":method", ":path", ":other"])
def test_question_withholds_pseudo_headers(name: str) -> None:
    """They are members of the request; a second copy could differ."""
    assert document(make_call(headers={name: b"v"}))["request"]["headers"] == {}


def test_question_does_not_name_the_token() -> None:
    """No jti, no kid: policy needs neither."""
    text = json.dumps(document(jti="jti-secret", kid="kid-secret"))

    assert "jti-secret" not in text
    assert "kid-secret" not in text


def test_header_value_is_escaped_when_it_is_not_utf_8() -> None:
    """Odd bytes stay visible, and differ from the text that looks like them."""
    call = make_call(headers={"x-a": b"a\xff\xc3\xa9"})

    assert document(call)["request"]["headers"] == {"x-a": ["a\\xffé"]}


def test_header_keeps_every_value_in_order() -> None:
    """Several lines of one header are several values."""
    request = replace(CALL.request, headers={"x-a": (b"1", b"2")})

    assert document(replace(CALL, request=request))["request"]["headers"] == {"x-a": ["1", "2"]}


def test_times_are_whole_seconds() -> None:
    """Fractions are cut: a policy compares integers."""
    said = document(issued_at=NOW - 0.5, expires_at=NOW + 0.9)["agent"]

    assert (said["issued_at"], said["expires_at"]) == (1_799_999_999, 1_800_000_000)


@pytest.mark.parametrize("number", [2**63, -(2**64), 10**400, 0.1, 1e300])
def test_number_of_an_argument_is_written_exactly(number: float) -> None:
    """No digit is lost on the way to policy."""
    said = document(with_arguments({"amount": number}))

    assert said["tool"]["arguments"] == {"amount": number}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "arguments",
    [
        {"amount": 10**5000},
        {"text": "\ud800"},
        {"\udfff": 1},
        {"list": nested(100_000)},
        {"object": object()},
    ],
    ids=["digits", "surrogate", "surrogate name", "depth", "no JSON"],
)
def test_question_is_empty_when_an_argument_cannot_be_written(arguments: dict[str, Any]) -> None:
    """Never raises, and never asks about another call than this one: nothing rules on no text."""
    question = question_of(with_arguments(arguments), AGENT, now=NOW, revision="r")

    assert question.document == b""


@pytest.mark.parametrize("moment", [float("inf"), float("nan")])
def test_question_is_empty_when_a_time_is_no_moment(moment: float) -> None:
    """Never raises for a time that has no seconds."""
    question = question_of(CALL, make_agent(expires_at=moment), now=NOW, revision="r")

    assert question.document == b""


def test_scope_is_written_in_the_tokens_grammar() -> None:
    """An identifier may hold colons."""
    assert document(scopes=(Scope("read", "data", "a:b"),))["agent"]["scopes"] == ["read:data:a:b"]
