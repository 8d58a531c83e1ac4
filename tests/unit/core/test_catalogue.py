"""A catalogue that contradicts itself cannot be built, and says where."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.catalogue import Catalogue, Operation, Route, ScopeTemplate
from sidecar.core.model import Protocol
from tests.requests import make_mcp_route, make_operation, make_route

PLAIN = {"GET": make_operation("read:data:*")}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"path": ("data", "{other}")}, id="scope of a missing parameter"),
        pytest.param({"path": ("data", "id")}, id="scope of a literal segment"),
        pytest.param({"path": ("{id}", "{id}")}, id="parameter twice"),
        pytest.param({"path": ("x{id}", "{id}")}, id="parameter inside a segment"),
        pytest.param({"path": ("{}",), "operations": PLAIN}, id="parameter without a name"),
        pytest.param({"path": ("{1}",), "operations": PLAIN}, id="parameter that begins with 1"),
        pytest.param({"path": ("**", "{id}")}, id="rest before the end"),
        pytest.param({"path": ("{id}", "a**")}, id="rest inside a segment"),
        pytest.param({"path": ("{id}", "", "a")}, id="empty segment"),
        pytest.param({"path": ("",), "operations": PLAIN}, id="empty segment alone"),
        pytest.param({"path": ("a/b", "{id}")}, id="two segments in one"),
        pytest.param({"operations": {"get": make_operation()}}, id="method in lower case"),
        pytest.param({"operations": {"": make_operation()}}, id="method without a name"),
        pytest.param({"server": "crm"}, id="HTTP with a server"),
        pytest.param({"protocol": Protocol.MCP, "server": "crm"}, id="MCP with operations"),
        pytest.param({"protocol": Protocol.MCP, "operations": {}}, id="MCP without a server"),
    ],
)
def test_route_is_refused_when_it_contradicts_itself(change: dict[str, Any]) -> None:
    """The operator hears which route is wrong, at start and not at the first request."""
    with pytest.raises(ValueError, match="route 'data': "):
        make_route(**change)


@pytest.mark.parametrize(
    "path", [(), ("a",), ("a", ""), ("{a}", "{b_2}"), ("**",), ("a", "**"), ("a b", "*")]
)
def test_route_takes_every_path_that_can_match(path: tuple[str, ...]) -> None:
    """Root, trailing slash, parameters, rest and plain text are all templates."""
    assert make_route(path=path, operations=PLAIN).path == path


@pytest.mark.parametrize("identifier", ["{id", "id}", "{id}x", "x{id}", "{}", "{{id}}", "{a}{b}"])
def test_scope_template_is_refused_when_a_part_is_a_parameter(identifier: str) -> None:
    """An identifier is a parameter or it is not: nothing is pasted together."""
    with pytest.raises(ValueError, match="scope identifier"):
        ScopeTemplate("read", "data", identifier)


@pytest.mark.parametrize(
    ("routes", "servers", "methods", "message"),
    [
        ({"other": make_route()}, {}, {}, "route 'data' stands under the name 'other'"),
        ({"tools": make_mcp_route()}, {}, {}, "route 'tools': unknown server 'crm'"),
        ({}, {"crm": {"t": make_operation()}}, {}, "server 'crm': the scope of tool 't'"),
        ({}, {}, {"crm": {"m": make_operation()}}, "server 'crm': the scope of method 'm'"),
        ({}, {}, {"crm": {"tools/call": make_operation("a:b:c")}}, "server 'crm': tools/call"),
    ],
)
def test_catalogue_is_refused_when_its_parts_do_not_fit(
    routes: dict[str, Route],
    servers: dict[str, dict[str, Operation]],
    methods: dict[str, dict[str, Operation]],
    message: str,
) -> None:
    """The operator hears which route, tool or method is wrong."""
    with pytest.raises(ValueError, match=message):
        Catalogue(routes, servers, methods)


def test_head_is_what_get_is_unless_it_is_named() -> None:
    """HEAD needs no entry of its own, and may have one."""
    get, head = make_operation("read:data:{id}"), make_operation("head:data:{id}")

    assert make_route(operations={"GET": get}).operation_for("HEAD") is get
    assert make_route(operations={"GET": get, "HEAD": head}).operation_for("HEAD") is head
    assert make_route(operations={"HEAD": head}).operation_for("GET") is None
