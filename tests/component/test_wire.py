"""Wire compatibility, field by field.

An independent implementation of Envoy's protocol builds what we read and reads what we build.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from typing import Any, get_args, get_type_hints

import pytest
from envoy_data_plane.envoy.config.core import v3 as core
from envoy_data_plane.envoy.service.auth import v3 as auth
from envoy_data_plane.envoy.type import v3 as envoy_type
from envoy_data_plane.google import rpc
from envoy_data_plane.google.protobuf import Struct
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from sidecar.core.model import (
    Allowed,
    Dependency,
    Marker,
    Peer,
    Refused,
    Request,
    Verdict,
)
from sidecar.core.reasons import Reason
from sidecar.core.settle import Outgoing
from sidecar.envoy_api import codec
from sidecar.envoy_api.codec import decode, encode
from sidecar.envoy_api.generated import ext_authz_pb2 as pb

OUTGOING = Outgoing()

# Our message -> the same message as envoy-data-plane has it.
SAME: dict[str, Any] = {
    "CheckRequest": auth.CheckRequest,
    "AttributeContext": auth.AttributeContext,
    "AttributeContext.Peer": auth.AttributeContextPeer,
    "AttributeContext.HttpRequest": auth.AttributeContextHttpRequest,
    "AttributeContext.Request": auth.AttributeContextRequest,
    "Address": core.Address,
    "SocketAddress": core.SocketAddress,
    "HeaderMap": core.HeaderMap,
    "HeaderValue": core.HeaderValue,
    "HeaderValueOption": core.HeaderValueOption,
    "QueryParameter": core.QueryParameter,
    "OkHttpResponse": auth.OkHttpResponse,
    "DeniedHttpResponse": auth.DeniedHttpResponse,
    "CheckResponse": auth.CheckResponse,
    "Status": rpc.Status,
    "HttpStatus": envoy_type.HttpStatus,
}

# What may differ, because the wire form is one: text read as bytes, an enum read as its number.
SAME_ON_THE_WIRE = {"string": "bytes", "enum": "int32"}
KINDS = {
    FieldDescriptor.TYPE_STRING: "bytes",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_MESSAGE: "message",
}


def is_map(message: Descriptor) -> bool:
    return message.GetOptions().map_entry


def messages(container: Any, prefix: str = "") -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for message in container:
        if not is_map(message):
            found[prefix + message.name] = message
            found |= messages(message.nested_types, f"{prefix}{message.name}.")
    return found


OURS = messages(pb.DESCRIPTOR.message_types_by_name.values())


def of_envoy(message: type) -> dict[str, Any]:
    return {
        field.name: field.metadata["betterproto"]
        for field in dataclasses.fields(message)
        if "betterproto" in field.metadata
    }


def test_every_message_is_compared() -> None:
    """No definition of ours escapes the comparison."""
    assert set(OURS) == set(SAME)


@pytest.mark.parametrize("name", SAME)
def test_fields_are_envoys(name: str) -> None:
    """Names, numbers, wire types and repetition are facts: the same in both implementations."""
    theirs = of_envoy(SAME[name])

    for field in OURS[name].fields:
        assert form(field) == form_of_envoy(theirs[field.name]), field.name


def form(field: FieldDescriptor) -> tuple[Any, ...]:
    """What stands on the wire for a field: number, kind, times, and of a map its members."""
    if field.message_type is not None and is_map(field.message_type):
        members = field.message_type.fields_by_name
        return field.number, "map", form(members["key"]), form(members["value"])
    return field.number, KINDS[field.type], "many" if field.is_repeated else "one"


def form_of_envoy(field: Any) -> tuple[Any, ...]:
    if field.proto_type == "map":
        key, value = field.map_meta
        return field.number, "map", form_of_envoy(key), form_of_envoy(value)
    kind = SAME_ON_THE_WIRE.get(field.proto_type, field.proto_type)
    return field.number, kind, "many" if field.repeated else "one"


@pytest.mark.parametrize("name", SAME)
def test_messages_are_envoys(name: str) -> None:
    """A field that holds a message holds the same one in both."""
    hints = get_type_hints(SAME[name])

    for field in OURS[name].fields:
        if field.message_type is not None and not is_map(field.message_type):
            full_name = field.message_type.full_name
            ours = full_name.removeprefix(f"{pb.DESCRIPTOR.package}.")
            named = {"google.protobuf.Struct": Struct, **SAME}[ours]
            assert named in mentioned_in(hints[field.name]), field.name


@pytest.mark.parametrize("name", SAME)
def test_every_field_is_used(name: str) -> None:
    """What the codec neither reads nor writes is not defined: it arrives as an unknown field."""
    used = set(re.findall(r"\w+", inspect.getsource(codec)))

    assert {field.name for field in OURS[name].fields} <= used


def mentioned_in(hint: Any) -> set[Any]:
    """A type, and every type inside its brackets."""
    return {hint}.union(*map(mentioned_in, get_args(hint)))


def check_request(**http: Any) -> bytes:
    attributes = auth.AttributeContext(
        source=auth.AttributeContextPeer(
            address=core.Address(
                socket_address=core.SocketAddress(address="192.0.2.7", port_value=4711)
            ),
            principal="spiffe://td.example/agent/a1",
            certificate="-----BEGIN%20CERTIFICATE-----",
        ),
        request=auth.AttributeContextRequest(
            http=auth.AttributeContextHttpRequest(
                **{
                    "id": "42",
                    "method": "POST",
                    "path": "/customers/7%20b?q=a+b&q=c",
                    "host": "tools.example",
                    "scheme": "https",
                    "protocol": "HTTP/1.1",
                }
                | http
            )
        ),
        context_extensions={
            "route": "customers",
            "lane": "closed",
            "rewrite": "none",
            "marker": "abc",
        },
    )
    return bytes(auth.CheckRequest(attributes=attributes))


def decoded(raw: bytes) -> Request:
    request = decode(raw)
    assert isinstance(request, Request)
    return request


def test_decode_reads_every_field() -> None:
    """What the independent client wrote is what we understand."""
    request = decoded(check_request(raw_body=b"{}"))

    assert request == Request(
        id="42",
        method="POST",
        scheme="https",
        host="tools.example",
        path="/customers/7%20b",
        segments=("customers", "7 b"),
        raw_query="q=a+b&q=c",
        query=(("q", "a b"), ("q", "c")),
        headers={},
        body=b"{}",
        marker=Marker("customers", "closed", "none", "abc"),
        peer=Peer("192.0.2.7", "spiffe://td.example/agent/a1", b"-----BEGIN%20CERTIFICATE-----"),
    )


def test_decode_reads_headers_and_header_map_alike() -> None:
    """Both of Envoy's ways to send headers give the same request."""
    pairs = {"authorization": "Bearer t", "X-One": "1", ":path": "/customers/7"}
    as_map = check_request(headers=pairs)
    as_list = check_request(
        header_map=core.HeaderMap(
            headers=[core.HeaderValue(key=k, raw_value=v.encode()) for k, v in pairs.items()]
        )
    )

    assert decoded(as_map) == decoded(as_list)
    assert decoded(as_map).headers == {"authorization": (b"Bearer t",), "x-one": (b"1",)}


def test_decode_keeps_duplicates_of_the_header_map() -> None:
    """Two credentials stay two."""
    values = [
        core.HeaderValue(key="authorization", raw_value=v) for v in (b"Bearer a", b"Bearer b")
    ]
    request = decoded(check_request(header_map=core.HeaderMap(headers=values)))

    assert request.headers["authorization"] == (b"Bearer a", b"Bearer b")


def test_decode_reads_a_value_where_there_is_no_raw_value() -> None:
    """Older Envoys fill ``value``."""
    values = [core.HeaderValue(key="x-one", value="1")]

    assert decoded(check_request(header_map=core.HeaderMap(headers=values))).headers == {
        "x-one": (b"1",)
    }


def test_decode_reads_a_body_packed_as_text() -> None:
    """``pack_as_bytes: false`` fills ``body``."""
    assert decoded(check_request(body="{}")).body == b"{}"


@pytest.mark.parametrize(
    ("http", "reason"),
    [
        ({"method": ""}, Reason.MALFORMED_CHECK),
        ({"method": "get"}, Reason.MALFORMED_CHECK),
        ({"method": "GET X"}, Reason.MALFORMED_CHECK),
        ({"host": "a b"}, Reason.MALFORMED_CHECK),
        ({"scheme": "ht tp"}, Reason.MALFORMED_CHECK),
        ({"scheme": "https\n"}, Reason.MALFORMED_CHECK),
        ({"scheme": "http\u017f"}, Reason.MALFORMED_CHECK),
        ({"path": ""}, Reason.PATH_MALFORMED),
        ({"path": "/a//b"}, Reason.PATH_MALFORMED),
        ({"path": "/a?%zz"}, Reason.QUERY_MALFORMED),
    ],
)
def test_decode_refuses_what_it_does_not_understand(http: dict[str, str], reason: Reason) -> None:
    """An odd request is a refusal, never an error."""
    refused = decode(check_request(**http))

    assert isinstance(refused, Refused)
    assert refused.reason is reason


@pytest.mark.parametrize("raw", [b"", b"\xff", b"\x0a\xff", b"\x0a\x02\x22\x05"])
def test_decode_refuses_bytes_that_are_no_check_request(raw: bytes) -> None:
    """Nor are bytes that no Envoy would send."""
    assert isinstance(decode(raw), Refused)


def answer(verdict: Verdict) -> auth.CheckResponse:
    return auth.CheckResponse.parse(encode(verdict, "d-1", OUTGOING))


def metadata(response: auth.CheckResponse) -> dict[str, Any]:
    assert response.dynamic_metadata is not None
    found: dict[str, Any] = response.dynamic_metadata.to_dict()
    return found


def test_encode_writes_every_field_of_an_allow() -> None:
    """What we wrote is what the independent client reads."""
    allowed = Allowed(
        set_headers=(("x-agent-id", "a1"),),
        remove_headers=("authorization",),
        set_query=(("mail", "redacted"),),
        remove_query=("ssn",),
        sanitized=True,
    )
    response = answer(Verdict(allowed))

    assert response.status is not None
    assert response.status.code == 0
    assert response.denied_response is None
    ok = response.ok_response
    assert ok is not None
    assert [(h.header.key, h.header.value) for h in ok.headers if h.header] == [
        ("x-agent-id", "a1")
    ]
    assert [(h.append, h.append_action) for h in ok.headers] == [(None, 0)]
    assert ok.headers_to_remove == ["authorization", "x-authz-skipped"]
    assert [(q.key, q.value) for q in ok.query_parameters_to_set] == [("mail", "redacted")]
    assert ok.query_parameters_to_remove == ["ssn"]
    assert metadata(response) == {"decision_id": "d-1", "action": "sanitize"}


def test_encode_marks_what_was_skipped() -> None:
    """A pass in spite of an outage says so to the tool and to Envoy's log."""
    skipped = (Dependency.DENY_LIST, Dependency.POLICY)
    response = answer(Verdict(Allowed((), ()), skipped=skipped))

    assert response.ok_response is not None
    header = response.ok_response.headers[0].header
    assert header is not None
    assert (header.key, header.value) == ("x-authz-skipped", "deny_list,policy")
    assert response.ok_response.headers_to_remove == []
    assert metadata(response)["skipped"] == "deny_list,policy"


@pytest.mark.parametrize("reason", list(Reason))
def test_encode_never_lets_a_refusal_look_like_an_allow(reason: Reason) -> None:
    """Every reason carries a non-zero status, a denied response and a problem document."""
    response = answer(Verdict(Refused(reason, "secret detail", "public_word", "apr-1")))

    assert response.status is not None
    assert response.status.code == reason.grpc_code != 0
    assert response.ok_response is None
    denied = response.denied_response
    assert denied is not None
    assert denied.status is not None
    assert int(denied.status.code) == reason.http_status >= 400
    problem = json.loads(denied.body)
    assert problem["status"] == reason.http_status
    assert problem["reason"] == reason.word
    assert problem["policy_reason"] == "public_word"
    assert problem["approval"] == {"id": "apr-1"}
    assert problem["decision_id"] == "d-1"
    assert "secret detail" not in denied.body


def headers_of(reason: Reason) -> dict[str, str]:
    denied = answer(Verdict(Refused(reason))).denied_response
    assert denied is not None
    return {h.header.key: h.header.value for h in denied.headers if h.header}


@pytest.mark.parametrize(
    ("reason", "challenge"),
    [
        (Reason.TOKEN_MISSING, "Bearer"),
        (Reason.TOKEN_AMBIGUOUS, 'Bearer error="invalid_request"'),
        (Reason.TOKEN_EXPIRED, 'Bearer error="invalid_token"'),
        (Reason.DPOP_REFUSED, 'DPoP error="invalid_dpop_proof"'),
        (Reason.INSUFFICIENT_SCOPE, 'Bearer error="insufficient_scope"'),
        (Reason.POLICY_DENIED, None),
        (Reason.APPROVAL_NEEDED, None),
    ],
)
def test_encode_challenges_as_rfc_6750_says(reason: Reason, challenge: str | None) -> None:
    """A client learns whether another token would help."""
    assert headers_of(reason).get("www-authenticate") == challenge


@pytest.mark.parametrize("reason", [r for r in Reason if r.http_status == 503])
def test_encode_says_when_to_try_again(reason: Reason) -> None:
    """An outage is worth another try."""
    assert headers_of(reason)["retry-after"] == "1"


def test_every_reason_has_its_own_word() -> None:
    """Words are stable names: no two reasons share one, and each 401 is UNAUTHENTICATED."""
    assert len({reason.word for reason in Reason}) == len(Reason)
    assert all((r.http_status == 401) == (r.grpc_code == 16) for r in Reason)
