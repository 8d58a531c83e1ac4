"""(1) Which bodies are one JSON-RPC call, and everything that could be read as another one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.jsonrpc import MAX_DEPTH, parse_call
from sidecar.core.model import Refused, ToolCall
from sidecar.core.reasons import Reason
from tests.requests import make_call_body

JSON = b"application/json"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            {"id": 1, "method": "tools/call", "params": {"name": "a.b", "arguments": {"x": [1]}}},
            ToolCall("tools/call", "a.b", {"x": [1]}, 1),
        ),
        (
            {"id": "q", "method": "tools/call", "params": {"name": "a", "_meta": {}}},
            ToolCall("tools/call", "a", {}, "q"),
        ),
        (
            {"id": 0, "method": "prompts/get", "params": {"name": "p", "arguments": {"x": "1"}}},
            ToolCall("prompts/get", "p", {"x": "1"}, 0),
        ),
        (
            {"id": 1, "method": "resources/read", "params": {"uri": "file:///a%20b?c"}},
            ToolCall("resources/read", "file:///a%20b?c", {"uri": "file:///a%20b?c"}, 1),
        ),
        ({"id": 1, "method": "tools/list"}, ToolCall("tools/list", "", {}, 1)),
        (
            {"id": 1, "method": "x/$y.z-1", "params": {"arguments": [1]}},
            ToolCall("x/$y.z-1", "", {"arguments": [1]}, 1),
        ),
        (
            {"method": "notifications/initialized"},
            ToolCall("notifications/initialized", "", {}, None),
        ),
    ],
)
def test_call_is_read(call: dict[str, Any], expected: ToolCall) -> None:
    """Method, name, arguments and id are what the body says; a call without id notifies."""
    assert parse_call(_body(call), JSON, None) == expected


def test_method_is_read_through_json_escapes() -> None:
    """An escaped name is the name: the body is parsed, not searched."""
    body = make_call_body().replace(b"tools/call", rb"tools\u002fcall")

    call = parse_call(body, JSON, None)

    assert isinstance(call, ToolCall)
    assert call.method == "tools/call"


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"Application/JSON",
        b" application/json ; charset=UTF-8 ",
        b'application/json;Charset="utf-8"',
    ],
)
@pytest.mark.parametrize("content_encoding", [None, b"identity", b"Identity"])
def test_content_type_passes_in_any_case(
    content_type: bytes, content_encoding: bytes | None
) -> None:
    """Media types have no case (RFC 9110, section 8.3.1): no spelling goes round the rules."""
    assert isinstance(parse_call(make_call_body(), content_type, content_encoding), ToolCall)


@pytest.mark.parametrize(
    ("content_type", "content_encoding"),
    [
        (None, None),
        (b"", None),
        (b"text/plain", None),
        (b"application/json-rpc", None),
        (b"application/jsonx", None),
        (b"xapplication/json", None),
        (b"application/json, text/plain", None),
        (b"application/json; charset=utf-16", None),
        (b"application/json; charset=utf-8; charset=utf-7", None),
        (b"application/json\n", None),
        (b"multipart/form-data; boundary=application/json", None),
        (JSON, b"gzip"),
        (JSON, b"identity, gzip"),
        (JSON, b""),
    ],
)
def test_body_is_refused_when_declared_as_anything_but_plain_json(
    content_type: bytes | None, content_encoding: bytes | None
) -> None:
    """A body that the tool would decode in another way than we do is not read at all."""
    assert _refusal(make_call_body(), content_type, content_encoding) is Reason.BODY_TYPE_REFUSED


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[" + make_call_body() + b"]", id="batch"),
        pytest.param(b"[]", id="empty batch"),
        pytest.param(make_call_body() + make_call_body(), id="two calls"),
        pytest.param(make_call_body()[:-1], id="cut off"),
        pytest.param(b"\xef\xbb\xbf" + make_call_body(), id="BOM"),
        pytest.param(make_call_body().decode().encode("utf-16"), id="UTF-16"),
        pytest.param(make_call_body(arguments={"x": float("nan")}), id="NaN"),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}',
            id="method twice",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
            id="name twice",
        ),
        pytest.param(
            rb'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","n\u0061me":"b"}}',
            id="name twice, once escaped",
        ),
        pytest.param(
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call",'
            b'"params":{"name":"a","arguments":{"x":1,"x":2}}}',
            id="argument twice",
        ),
    ],
)
def test_body_is_refused_when_it_is_not_one_strict_object(body: bytes) -> None:
    """Two parsers must not find two calls in one body."""
    assert _refusal(body) is Reason.BODY_MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"jsonrpc": None}, id="no version"),
        pytest.param({"jsonrpc": "1.0"}, id="old version"),
        pytest.param({"jsonrpc": 2.0}, id="version as a number"),
        pytest.param({"id": None}, id="id null"),
        pytest.param({"id": True}, id="id true"),
        pytest.param({"id": 1.5}, id="id a fraction"),
        pytest.param({"id": [1]}, id="id a list"),
        pytest.param({"method": None}, id="no method"),
        pytest.param({"method": 1}, id="method a number"),
        pytest.param({"method": ""}, id="method empty"),
        pytest.param({"method": "tools/call\n"}, id="method with a line break"),
        pytest.param({"method": "tools call"}, id="method with a space"),
        pytest.param({"method": "tools/c\u0430ll"}, id="method with a look-alike"),
        pytest.param({"method": "m" * 129}, id="method too long"),
        pytest.param({"params": None}, id="params null"),
        pytest.param({"params": ["a"]}, id="params a list"),
        pytest.param({"result": {}}, id="a response"),
        pytest.param({"error": {"code": 1, "message": ""}}, id="an error"),
        pytest.param({"extra": 1}, id="unknown member"),
        pytest.param({"Method": "tools/list"}, id="method in another case"),
        pytest.param({"param\u017f": {}}, id="params in another case, by Unicode"),
        pytest.param({"method\0": "tools/list"}, id="method with NUL"),
    ],
)
def test_body_is_refused_when_its_envelope_is_not_a_call(change: dict[str, Any]) -> None:
    """The envelope is closed: four members, each of its one type."""
    assert _refusal(make_call_body_with(change)) is Reason.BODY_MALFORMED


@pytest.mark.parametrize(
    "params",
    [
        pytest.param({}, id="no name"),
        pytest.param({"name": None}, id="name null"),
        pytest.param({"name": ["a"]}, id="name a list"),
        pytest.param({"name": ""}, id="name empty"),
        pytest.param({"name": "a b"}, id="name with a space"),
        pytest.param({"name": "a\n"}, id="name with a line break"),
        pytest.param({"name": "a\0b"}, id="name with NUL"),
        pytest.param({"name": "a\u202eb"}, id="name with a direction mark"),
        pytest.param({"name": "a" * 129}, id="name too long"),
        pytest.param({"name": "a", "arguments": None}, id="arguments null"),
        pytest.param({"name": "a", "arguments": [1]}, id="arguments a list"),
        pytest.param({"name": "a", "arguments": "{}"}, id="arguments text"),
        pytest.param({"name": "a", "Name": "b"}, id="name twice, in two cases"),
        pytest.param({"Name": "a"}, id="name in another case only"),
        pytest.param({"name": "a", "Arguments": {"x": 1}}, id="arguments in another case only"),
        pytest.param({"name": "a", "argument\u017f": {}}, id="arguments in Unicode's other case"),
        pytest.param({"name": "a", "arguments": {"x": 1, "X": 2}}, id="argument in two cases"),
        pytest.param({"name": "a", "arguments": {"y": [{"\u212a": 1, "k": 2}]}}, id="deep inside"),
        pytest.param({"name": "a", "arguments": {"\u017fum": 1, "sum": 2}}, id="Unicode's other s"),
        pytest.param({"name": "a", "arguments": {"x\0y": 1}}, id="argument with NUL"),
    ],
)
@pytest.mark.parametrize("method", ["tools/call", "prompts/get"])
def test_call_is_refused_when_its_params_could_be_read_in_two_ways(
    method: str, params: dict[str, Any]
) -> None:
    """What is judged must be what the tool hears, whatever parser it has."""
    assert _refusal(_body({"method": method, "params": params})) is Reason.BODY_MALFORMED


@pytest.mark.parametrize(
    "method", ["resources/read", "resources/subscribe", "resources/unsubscribe"]
)
@pytest.mark.parametrize("uri", [None, "", 1, "file:///a b", "file:///\u00e9", "x" * 2049])
def test_call_is_refused_when_its_uri_is_none(method: str, uri: object) -> None:
    """A resource is named by printable ASCII (RFC 3986, section 2)."""
    assert _refusal(_body({"method": method, "params": {"uri": uri}})) is Reason.BODY_MALFORMED


@pytest.mark.parametrize(("levels", "passes"), [(MAX_DEPTH - 3, True), (MAX_DEPTH, False)])
def test_depth_is_limited(levels: int, passes: bool) -> None:  # noqa: FBT001 - a row of a table
    """Nesting is bounded, and far below what any parser of ours could not walk."""
    nested: Any = 1
    for _ in range(levels):
        nested = [nested]

    call = parse_call(make_call_body(arguments={"x": nested}), JSON, None)

    assert isinstance(call, ToolCall) is passes


NAMES = st.sampled_from(["jsonrpc", "id", "method", "params", "name", "Name", "uri", "arguments"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from(["2.0", "tools/call", "resources/read", "customer.get"]),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES | st.text(), inner),
)  # fmt: skip


@settings(deadline=None)
@given(st.binary() | VALUES.map(lambda value: json.dumps(value).encode()) | VALUES.map(
    lambda value: _body({"method": "tools/call", "params": value})
), st.binary() | st.just(JSON) | st.none(), st.binary() | st.none())  # fmt: skip
def test_parse_call_never_raises(
    body: bytes, content_type: bytes | None, encoding: bytes | None
) -> None:
    """Any bytes are a call or a refusal."""
    call = parse_call(body, content_type, encoding)

    if isinstance(call, Refused):
        assert call.reason in (Reason.BODY_MALFORMED, Reason.BODY_TYPE_REFUSED)
    else:
        assert content_type == JSON
        assert isinstance(call.arguments, dict)


def make_call_body_with(change: dict[str, Any]) -> bytes:
    return json.dumps({**json.loads(make_call_body()), **change}).encode()


def _body(call: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **call}).encode()


def _refusal(
    body: bytes, content_type: bytes | None = JSON, content_encoding: bytes | None = None
) -> Reason | None:
    call = parse_call(body, content_type, content_encoding)
    return call.reason if isinstance(call, Refused) else None
