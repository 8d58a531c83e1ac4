"""(1) Which entry of the catalogue a request asks for, and every way to be taken for another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.catalogue import Catalogue, Route
from sidecar.core.lanes import Lane, lane_digest, markers_of
from sidecar.core.locate import locate
from sidecar.core.model import (
    Access,
    Call,
    Dependency,
    Marker,
    Protocol,
    Refused,
    Request,
    Rewrite,
    Scope,
    Stance,
    StanceException,
    ToolCall,
)
from sidecar.core.reasons import Reason
from tests.requests import (
    AUDIENCE,
    make_call_body,
    make_catalogue,
    make_marker,
    make_mcp_request,
    make_mcp_route,
    make_operation,
    make_request,
    make_route,
)


def test_http_request_becomes_a_call() -> None:
    """A call holds everything that the catalogue says of a request."""
    request = make_request("/data/customer-1?full=1")

    assert _locate(request) == Call(
        request=request,
        route="data",
        protocol=Protocol.HTTP,
        access=Access.READ,
        audience=AUDIENCE,
        tenant=None,
        scope=Scope("read", "data", "customer-1"),
        single_use=False,
        forward_token=False,
        rewrite=Rewrite.NONE,
        params={"id": "customer-1"},
        tool=None,
        server="",
    )


def test_mcp_request_becomes_a_call() -> None:
    """An MCP call's operation is its tool; scope and access are the tool's."""
    request = make_mcp_request()

    assert _locate(request) == Call(
        request=request,
        route="tools",
        protocol=Protocol.MCP,
        access=Access.READ,
        audience=AUDIENCE,
        tenant=None,
        scope=Scope("read", "customers", "*"),
        single_use=False,
        forward_token=False,
        rewrite=Rewrite.NONE,
        params={},
        tool=ToolCall("tools/call", "customer.get", {"id": "1"}, 1),
        server="crm",
    )


def test_call_takes_the_settings_of_its_route() -> None:
    """Nothing that the operator set on a route is lost on the way."""
    route = make_route(
        tenant="acme",
        access=Access.SENSITIVE,
        single_use=True,
        forward_token=True,
        rewrite=Rewrite.EXT_PROC,
        outages=(StanceException(Dependency.POLICY, Access.SENSITIVE, Stance.OPEN, 2e9),),
    )

    call = _call_of(make_request(), route)

    assert (call.tenant, call.access) == ("acme", Access.SENSITIVE)
    assert (call.single_use, call.forward_token) == (True, True)
    assert call.rewrite is Rewrite.EXT_PROC
    assert call.outages == route.outages


@pytest.mark.parametrize("by_route", [True, False])
@pytest.mark.parametrize("by_operation", [True, False])
def test_call_is_single_use_when_route_or_operation_says_so(
    by_route: bool,  # noqa: FBT001 - a row of a table
    by_operation: bool,  # noqa: FBT001
) -> None:
    """Neither of the two can take back what the other wants."""
    operation = make_operation(single_use=by_operation)
    route = make_route(single_use=by_route, operations={"GET": operation})

    call = _call_of(make_request(), route)

    assert call.single_use is (by_route or by_operation)


@pytest.mark.parametrize(
    ("method", "scope"),
    [
        ("GET", "read:data:customer-1"),
        ("HEAD", "read:data:customer-1"),
        ("POST", "write:data:customer-1"),
        ("DELETE", "delete:data:customer-1"),
    ],
)
def test_method_decides_the_scope(method: str, scope: str) -> None:
    """Each method is its own operation; HEAD is GET's."""
    assert str(_call_of(make_request(method=method)).scope) == scope


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "CONNECT", "get", ""])
def test_method_is_refused_when_the_route_does_not_offer_it(method: str) -> None:
    """What the catalogue does not name is not offered."""
    assert _refusal(make_request(method=method)) is Reason.OPERATION_UNKNOWN


@pytest.mark.parametrize(
    ("template", "target", "params"),
    [
        ((), "/", {}),
        (("data", "{id}"), "/data/1", {"id": "1"}),
        (("data", "{id}", ""), "/data/1/", {"id": "1"}),
        (("{a}", "x", "{b}"), "/1/x/2", {"a": "1", "b": "2"}),
        (("a b",), "/a%20b", {}),
        (("**",), "/", {}),
        (("data", "**"), "/data", {}),
        (("data", "**"), "/data/", {}),
        (("data", "**"), "/data/1/2", {}),
        (("{id}", "**"), "/1/2/3", {"id": "1"}),
    ],
)
def test_path_fits_its_template(
    template: tuple[str, ...], target: str, params: dict[str, str]
) -> None:
    """Literal segments, parameters and a rest that may be nothing."""
    route = make_route(path=template, operations={"GET": make_operation("read:data:*")})

    assert _call_of(make_request(target), route).params == params


@pytest.mark.parametrize(
    ("template", "target"),
    [
        ((), "/data"),
        (("data",), "/"),
        (("data",), "/data/"),
        (("data", ""), "/data"),
        (("data",), "/Data"),
        (("data",), "/data/1"),
        (("data",), "/data;x"),
        (("data", "{id}"), "/data"),
        (("data", "{id}"), "/data/"),
        (("data", "{id}"), "/data/1/"),
        (("data", "{id}"), "/data/1/2"),
        (("data", "{id}"), "/other/1"),
        (("data", "**"), "/other"),
        (("data", "{id}", "**"), "/data"),
        (("a*",), "/ab"),
    ],
)
def test_path_is_refused_when_it_does_not_fit(template: tuple[str, ...], target: str) -> None:
    """A route of Envoy's that matches wider than the catalogue opens nothing."""
    route = make_route(path=template, operations={"GET": make_operation("read:data:*")})

    assert _refusal(make_request(target), route) is Reason.OPERATION_UNKNOWN


@pytest.mark.parametrize("identifier", ["*", "a:b", "a%20b", "caf%C3%A9", "a;b", "a" * 129, "a+b"])
def test_path_is_refused_when_it_would_widen_its_scope(identifier: str) -> None:
    """A path fills an identifier, and never writes a scope of its own."""
    assert _refusal(make_request(f"/data/{identifier}")) is Reason.PATH_MALFORMED


@pytest.mark.parametrize("identifier", ["a", "A-1_b.c@d", "a" * 128, "%61"])
def test_path_fills_the_scope(identifier: str) -> None:
    """Usual identifiers pass, decoded."""
    scope = _call_of(make_request(f"/data/{identifier}")).scope

    assert scope.identifier == identifier.replace("%61", "a")


def test_parameter_that_fills_no_scope_may_be_any_text() -> None:
    """Only what becomes part of a scope must look like an identifier."""
    route = make_route(operations={"GET": make_operation("read:data:*")})

    assert _call_of(make_request("/data/a:*"), route).params == {"id": "a:*"}


DATA, TOOLS = make_route(), make_mcp_route()
OLD = make_route(audience="https://old.example")


@pytest.mark.parametrize(
    "marker",
    [
        pytest.param(Marker(), id="none"),
        pytest.param(replace(make_marker(), route="other"), id="unknown route"),
        pytest.param(make_marker(digest=""), id="no digest"),
        pytest.param(replace(make_marker(), lane=""), id="no lane"),
        pytest.param(replace(make_marker(), lane="CLOSED"), id="unknown lane"),
        pytest.param(make_marker(rewrite=""), id="no rewrite"),
        pytest.param(make_marker(rewrite="transform"), id="rewrite of another setup"),
        pytest.param(make_marker(digest="0" * 16), id="digest of nothing"),
        pytest.param(make_marker(digest=lane_digest(OLD, Lane.CLOSED)), id="stale digest"),
        pytest.param(make_marker(digest=lane_digest(TOOLS, Lane.CLOSED)), id="another route's"),
        pytest.param(make_marker(digest=lane_digest(DATA, Lane.OPEN)), id="another lane's"),
    ],
)
def test_marker_is_refused_when_envoy_is_set_up_otherwise(marker: Marker) -> None:
    """An Envoy that lost or never had our settings gets nothing through."""
    assert _refusal(make_request(marker=marker)) is Reason.MARKER_REFUSED


def test_marker_of_another_route_opens_nothing() -> None:
    """A request that Envoy sent down the wrong route is judged by that route, and does not fit."""
    assert _refusal(make_request(marker=make_marker(TOOLS))) is Reason.OPERATION_UNKNOWN
    assert _refusal(make_mcp_request(marker=make_marker(DATA))) is Reason.OPERATION_UNKNOWN


@pytest.mark.parametrize("lane", list(Lane))
def test_marker_of_the_generation_before_still_passes(lane: Lane) -> None:
    """Envoys and sidecars need not be set up in the same moment."""
    markers = markers_of(make_catalogue()) | markers_of(make_catalogue(OLD))
    request = make_request(marker=make_marker(OLD, lane))

    call = locate(request, make_catalogue(), markers)

    assert isinstance(call, Call)
    assert call.audience == AUDIENCE


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_open_lane_passes_on_a_read(method: str) -> None:
    """Reads come through the lane that Envoy was told to put them into."""
    request = make_request(method=method, marker=make_marker(lane=Lane.OPEN))

    assert _call_of(request).access is Access.READ


@pytest.mark.parametrize(
    ("route", "method"),
    [
        (make_route(), "POST"),
        (make_route(), "DELETE"),
        (make_route(), "PUT"),
        (make_route(access=Access.SENSITIVE), "GET"),
        (make_route(single_use=True), "GET"),
        (make_route(operations={"GET": make_operation(access=Access.WRITE)}), "GET"),
    ],
)
def test_open_lane_is_refused_on_anything_else(route: Route, method: str) -> None:
    """An Envoy that would let this pass when we are dead is found out while we live.

    Even when such a marker was accepted before: the catalogue of now decides.
    """
    marker = make_marker(route, Lane.OPEN)
    markers = frozenset({f"data/open/{marker.digest}"})

    refused = locate(make_request(method=method, marker=marker), make_catalogue(route), markers)

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MARKER_REFUSED


def test_open_lane_is_refused_on_mcp() -> None:
    """MCP has no open lane: its reads and writes look alike to Envoy."""
    marker = make_marker(TOOLS, Lane.OPEN)
    markers = frozenset({f"tools/open/{marker.digest}"})

    refused = locate(make_mcp_request(marker=marker), make_catalogue(), markers)

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.MARKER_REFUSED


@pytest.mark.parametrize(
    ("body", "scope", "access"),
    [
        (make_call_body(name="customer.get"), "read:customers:*", Access.READ),
        (make_call_body(name="customer.delete"), "delete:customers:*", Access.WRITE),
        (make_call_body("tools/list"), "use:mcp:crm", Access.READ),
        (make_call_body("resources/read", uri="file:///a"), "use:mcp:crm", Access.READ),
    ],
)
def test_mcp_call_is_found_by_tool_or_method(body: bytes, scope: str, access: Access) -> None:
    """A tool is found by its name, every other method by its own."""
    call = _call_of(make_mcp_request(body))

    assert (str(call.scope), call.access) == (scope, access)


@pytest.mark.parametrize(
    "body",
    [
        make_call_body(name="customer.drop"),
        make_call_body(name="Customer.Get"),
        make_call_body(name="tools/list"),
        make_call_body("customer.get"),
        make_call_body("prompts/list"),
    ],
)
def test_mcp_call_is_refused_when_the_server_does_not_offer_it(body: bytes) -> None:
    """Tools and methods that the catalogue does not name are not offered."""
    assert _refusal(make_mcp_request(body)) is Reason.OPERATION_UNKNOWN


def test_mcp_call_is_refused_when_another_server_offers_it() -> None:
    """A tool is offered by its own server only."""
    catalogue = make_catalogue()
    route = make_mcp_route(server="hr")
    both = replace(catalogue, routes={"tools": route}, servers={**catalogue.servers, "hr": {}})
    request = make_mcp_request(marker=make_marker(route))

    refused = locate(request, both, markers_of(both))

    assert isinstance(refused, Refused)
    assert refused.reason is Reason.OPERATION_UNKNOWN


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "OPTIONS", "post"])
def test_mcp_is_refused_when_it_is_no_post(method: str) -> None:
    """Streams and sessions of older revisions carry no call that could be judged."""
    assert _refusal(make_mcp_request(method=method)) is Reason.OPERATION_UNKNOWN


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x-envoy-auth-partial-body": (b"true",)}, Reason.BODY_TOO_LARGE),
        ({"x-envoy-auth-partial-body": (b"TRUE",)}, Reason.BODY_TOO_LARGE),
        ({"x-envoy-auth-partial-body": (b"",)}, Reason.BODY_TOO_LARGE),
        ({"x-envoy-auth-partial-body": (b"false", b"true")}, Reason.BODY_TOO_LARGE),
        ({"content-type": ()}, Reason.BODY_TYPE_REFUSED),
        ({"content-type": (b"text/plain",)}, Reason.BODY_TYPE_REFUSED),
        ({"content-type": (b"application/json", b"text/plain")}, Reason.BODY_TYPE_REFUSED),
        ({"content-encoding": (b"gzip",)}, Reason.BODY_TYPE_REFUSED),
        ({"content-encoding": (b"identity", b"gzip")}, Reason.BODY_TYPE_REFUSED),
        ({"mcp-method": (b"tools/list",)}, Reason.BODY_MALFORMED),
        ({"mcp-method": (b"tools/call", b"tools/call")}, Reason.BODY_MALFORMED),
        ({"mcp-name": (b"customer.delete",)}, Reason.BODY_MALFORMED),
        ({"mcp-name": (b"",)}, Reason.BODY_MALFORMED),
    ],
)
def test_mcp_call_is_refused_when_headers_and_body_disagree(
    headers: dict[str, tuple[bytes, ...]], reason: Reason
) -> None:
    """A header can neither hide the body's meaning nor give the tool another one."""
    assert _refusal(make_mcp_request(headers=headers)) is reason


@pytest.mark.parametrize(
    "headers",
    [
        {"x-envoy-auth-partial-body": (b"false",)},
        {"content-type": (b"Application/JSON; charset=utf-8",)},
        {"content-encoding": (b"identity",)},
        {"mcp-method": (b"tools/call",), "mcp-name": (b"customer.get",)},
    ],
)
def test_mcp_call_passes_when_headers_and_body_agree(headers: dict[str, tuple[bytes, ...]]) -> None:
    """What MCP clients and Envoy usually send is taken."""
    assert isinstance(_locate(make_mcp_request(headers=headers)), Call)


@pytest.mark.parametrize(
    "body", [b"", b"[" + make_call_body() + b"]", make_call_body()[:-1] + b',"id":2}']
)
def test_mcp_call_is_refused_when_the_body_is_not_one_call(body: bytes) -> None:
    """Nothing, a batch and a member that stands twice are no calls."""
    assert _refusal(make_mcp_request(body)) is Reason.BODY_MALFORMED


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/data/1", {"x-http-method-override": (b"DELETE",)}),
        ("/data/1", {"upgrade": (b"websocket",)}),
        ("/data/1?_method=DELETE", {}),
    ],
)
def test_read_with_a_hidden_effect_is_a_write(
    target: str, headers: dict[str, tuple[bytes, ...]]
) -> None:
    """A GET that could do more fails closed, also in the open lane."""
    request = make_request(target, headers=headers, marker=make_marker(lane=Lane.OPEN))

    assert _call_of(request).access is Access.WRITE


WORDS = st.sampled_from(["", "data", "mcp", "1", "*", "open", "closed", "none"]) | st.text()
HEADER_NAMES = st.sampled_from(
    ["content-type", "content-encoding", "x-envoy-auth-partial-body", "mcp-name", "upgrade"]
)
MARKERS = st.builds(Marker, WORDS, WORDS, WORDS, WORDS) | st.sampled_from(
    [make_marker(), make_marker(lane=Lane.OPEN), make_marker(TOOLS)]
)


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "PUT"]) | st.text(),
    segments=st.lists(WORDS, max_size=3).map(tuple),
    query=st.lists(st.tuples(WORDS, WORDS), max_size=2).map(tuple),
    headers=st.dictionaries(HEADER_NAMES, st.lists(st.binary(), max_size=2).map(tuple)),
    body=st.binary() | st.just(make_call_body()),
    marker=MARKERS,
)
def test_locate_never_raises(**fields: Any) -> None:
    """Any request is a call or a refusal, and no call without an accepted marker."""
    found = _locate(make_request(**fields))

    if isinstance(found, Call):
        assert fields["marker"] in (make_marker(), make_marker(lane=Lane.OPEN), make_marker(TOOLS))
    else:
        assert found.reason.http_status in (400, 403, 413, 415)


def _locate(request: Request, *routes: Route) -> Call | Refused:
    catalogue: Catalogue = make_catalogue(*routes)
    return locate(request, catalogue, markers_of(catalogue))


def _call_of(request: Request, *routes: Route) -> Call:
    call = _locate(_marked(request, *routes), *routes)
    assert isinstance(call, Call), call
    return call


def _refusal(request: Request, *routes: Route) -> Reason:
    refused = _locate(_marked(request, *routes), *routes)
    assert isinstance(refused, Refused), refused
    return refused.reason


def _marked(request: Request, *routes: Route) -> Request:
    """A request whose marker is that of the route under test, if there is one."""
    return replace(request, marker=make_marker(routes[0])) if routes else request
