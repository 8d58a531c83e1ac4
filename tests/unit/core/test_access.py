"""(1) What a call may do to the world: the table, and the ways to make a write look a read."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.access import access_of, accesses_of, http_access
from sidecar.core.catalogue import Catalogue, Route
from sidecar.core.model import Access, ToolCall
from tests.requests import (
    make_catalogue,
    make_mcp_request,
    make_mcp_route,
    make_operation,
    make_request,
    make_route,
)

READ, SENSITIVE, WRITE = Access.READ, Access.SENSITIVE, Access.WRITE


@pytest.mark.parametrize(
    ("method", "access"),
    [
        ("GET", READ),
        ("HEAD", READ),
        ("OPTIONS", READ),
        ("POST", WRITE),
        ("PUT", WRITE),
        ("PATCH", WRITE),
        ("DELETE", WRITE),
        ("TRACE", WRITE),
        ("CONNECT", WRITE),
        ("PROPFIND", WRITE),
        ("get", WRITE),
        ("", WRITE),
    ],
)
def test_http_is_decided_by_method(method: str, access: Access) -> None:
    """Three methods are reads; every other, known or not, is a write."""
    assert access_of(make_request(method=method), make_route(), make_operation(), None) is access
    assert http_access(make_route(), make_operation(), method) is access


@pytest.mark.parametrize(
    ("method", "access"),
    [
        ("initialize", READ),
        ("ping", READ),
        ("server/discover", READ),
        ("tools/list", READ),
        ("resources/list", READ),
        ("resources/templates/list", READ),
        ("resources/read", READ),
        ("prompts/list", READ),
        ("prompts/get", READ),
        ("completion/complete", READ),
        ("notifications/initialized", READ),
        ("tools/call", WRITE),
        ("logging/setLevel", WRITE),
        ("resources/subscribe", WRITE),
        ("notifications", WRITE),
        ("Tools/List", WRITE),
        ("tools/list/x", WRITE),
        ("anything/else", WRITE),
    ],
)
def test_mcp_is_decided_by_its_own_method(method: str, access: Access) -> None:
    """The protocol's own reads are reads, whatever carries them; unknown ones are writes."""
    tool = ToolCall(method, "", {}, 1)

    assert access_of(make_mcp_request(), make_mcp_route(), make_operation(), tool) is access


@pytest.mark.parametrize("declared", list(Access))
def test_tool_is_what_the_catalogue_says(declared: Access) -> None:
    """Only the operator can call a tool a read."""
    operation = make_operation(access=declared)
    tool = ToolCall("tools/call", "customer.get", {}, 1)

    assert access_of(make_mcp_request(), make_mcp_route(), operation, tool) is declared


@pytest.mark.parametrize(
    ("method", "declared", "floor", "access"),
    [
        ("GET", None, None, READ),
        ("GET", None, READ, READ),
        ("GET", None, SENSITIVE, SENSITIVE),
        ("GET", None, WRITE, WRITE),
        ("GET", SENSITIVE, None, SENSITIVE),
        ("GET", SENSITIVE, READ, SENSITIVE),
        ("GET", READ, SENSITIVE, SENSITIVE),
        ("GET", WRITE, SENSITIVE, WRITE),
        ("POST", None, READ, WRITE),
        ("POST", READ, None, READ),
        ("POST", READ, SENSITIVE, SENSITIVE),
        ("POST", READ, WRITE, WRITE),
    ],
)
def test_floor_only_makes_stricter(
    method: str, declared: Access | None, floor: Access | None, access: Access
) -> None:
    """The operation's word goes before the method's; the route's floor is never gone below."""
    route, operation = make_route(access=floor), make_operation(access=declared)

    assert access_of(make_request(method=method), route, operation, None) is access
    assert http_access(route, operation, method) is access


@pytest.mark.parametrize("name", ["x-http-method-override", "x-http-method", "x-method-override"])
@pytest.mark.parametrize("values", [(b"DELETE",), (b"GET",), (b"",), (b"GET", b"DELETE")])
def test_override_header_makes_a_write(name: str, values: tuple[bytes, ...]) -> None:
    """A GET that names another method may be one; what it names is not believed either."""
    assert _access_of_a_declared_read(headers={name: values}) is WRITE


@pytest.mark.parametrize(
    "target", ["/data/1?_method=DELETE", "/data/1?a=1&_Method=get", "/data/1?%5Fmethod",
               "/data/1?X-HTTP-Method-Override=PUT"]
)  # fmt: skip
def test_override_in_the_query_makes_a_write(target: str) -> None:
    """Some frameworks read the override from the query."""
    assert _access_of_a_declared_read(target) is WRITE


@pytest.mark.parametrize(
    "headers",
    [
        {"upgrade": (b"websocket",)},
        {"upgrade": (b"",)},
        {"connection": (b"keep-alive, Upgrade",)},
        {"connection": (b"close", b"upgrade")},
    ],
)
def test_upgrade_makes_a_write(headers: dict[str, tuple[bytes, ...]]) -> None:
    """One check opens a tunnel that nobody looks into."""
    assert _access_of_a_declared_read(headers=headers) is WRITE


def test_connect_is_a_write_when_declared_a_read() -> None:
    """CONNECT is a tunnel, whatever the catalogue says."""
    assert _access_of_a_declared_read(method="CONNECT") is WRITE


@pytest.mark.parametrize(
    "target",
    [
        "/graphql?query=%7Bme%7D",
        "/api/GraphQL?extensions=x",
        "/graphql",
        "/v1?query=mutation%7Bpay%7D",
        "/v1?a=1&query=fragment%20f%20on%20T%7Ba%7Dmutation%7Bpay%7D",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_graphql_get_makes_a_write(target: str, method: str) -> None:
    """A GraphQL GET may carry a mutation; neither path nor document goes round the rule."""
    assert _access_of_a_declared_read(target, method=method) is WRITE


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/search?query=mutation+of+genes", {}),
        ("/search?q=%7B%7D", {}),
        ("/graphql/docs", {}),
        ("/data/1?method=x", {}),
        ("/data/1", {"connection": (b"keep-alive",)}),
        ("/data/1", {"x-http-method-overridden": (b"DELETE",)}),
    ],
)
def test_plain_read_stays_a_read(target: str, headers: dict[str, tuple[bytes, ...]]) -> None:
    """The rules are narrow: what only resembles an override is none."""
    assert _access_of_a_declared_read(target, headers=headers) is READ


def test_hidden_effect_makes_a_write_of_an_mcp_read() -> None:
    """An override on an MCP call is refused the same trust."""
    request = make_mcp_request(headers={"x-http-method-override": (b"DELETE",)})
    tool = ToolCall("tools/list", "", {}, 1)

    assert access_of(request, make_mcp_route(), make_operation(), tool) is WRITE


@pytest.mark.parametrize(
    ("route", "accesses"),
    [
        pytest.param(make_route(), {READ, WRITE}, id="http"),
        pytest.param(make_route(operations={"POST": make_operation()}), {WRITE}, id="writes only"),
        pytest.param(
            make_route(operations={"GET": make_operation()}), {READ, WRITE}, id="disguised write"
        ),
        pytest.param(make_route(access=SENSITIVE), {SENSITIVE, WRITE}, id="floor"),
        pytest.param(make_route(access=WRITE), {WRITE}, id="floor of writes"),
        pytest.param(
            make_route(operations={"OPTIONS": make_operation(access=SENSITIVE)}),
            {SENSITIVE, WRITE},
            id="declared",
        ),
        pytest.param(make_mcp_route(), {READ, WRITE}, id="mcp"),
        pytest.param(make_mcp_route(access=SENSITIVE), {SENSITIVE, WRITE}, id="mcp's floor"),
    ],
)
def test_a_route_has_the_accesses_of_its_operations(route: Route, accesses: set[Access]) -> None:
    """What no call of a route counts as is not among them; what a disguise counts as always is."""
    assert accesses_of(route, make_catalogue(route)) == accesses


@pytest.mark.parametrize(
    ("tools", "methods", "accesses"),
    [
        ({}, {}, {WRITE}),
        ({"pay": make_operation("use:mcp:crm")}, {}, {WRITE}),
        ({"show": make_operation("use:mcp:crm", access=SENSITIVE)}, {}, {SENSITIVE, WRITE}),
        ({}, {"tools/list": make_operation("use:mcp:crm")}, {READ, WRITE}),
        ({}, {"logging/setLevel": make_operation("use:mcp:crm")}, {WRITE}),
    ],
)
def test_an_mcp_route_has_the_accesses_of_its_server(
    tools: Any, methods: Any, accesses: set[Access]
) -> None:
    """A tool counts as a write unless its operator says otherwise; a method as MCP says."""
    route = make_mcp_route()
    catalogue = Catalogue({route.name: route}, {"crm": tools}, {"crm": methods})

    assert accesses_of(route, catalogue) == accesses


def _access_of_a_declared_read(target: str = "/data/1", **overrides: Any) -> Access:
    request = make_request(target, **overrides)
    return access_of(request, make_route(), make_operation(access=READ), None)
