"""Requests and catalogues for tests: sensible ones, with whatever a test wants to be different.

The catalogue has an HTTP route ``data`` (``GET``, ``POST`` and ``DELETE`` of ``/data/{id}``) and an
MCP route ``tools`` (``/mcp``, server ``crm``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from sidecar.core.catalogue import Catalogue, Operation, Route, ScopeTemplate
from sidecar.core.lanes import Lane, lane_digest
from sidecar.core.model import Access, Marker, Peer, Protocol, Refused, Request
from sidecar.core.target import parse_target

HOST: Final = "data.example"
AUDIENCE: Final = "https://data.example"

_JSON: Final = MappingProxyType({"content-type": (b"application/json",)})


def make_operation(scope: str = "read:data:{id}", **overrides: Any) -> Operation:
    """An operation; ``scope`` is ``action:resource:identifier``."""
    return replace(Operation(ScopeTemplate(*scope.split(":", 2))), **overrides)


def make_route(**overrides: Any) -> Route:
    """The HTTP route ``data``."""
    fields: dict[str, Any] = {
        "name": "data",
        "protocol": Protocol.HTTP,
        "path": ("data", "{id}"),
        "audience": AUDIENCE,
        "operations": {
            "GET": make_operation("read:data:{id}"),
            "POST": make_operation("write:data:{id}"),
            "DELETE": make_operation("delete:data:{id}"),
        },
    }
    return Route(**{**fields, **overrides})


def make_mcp_route(**overrides: Any) -> Route:
    """The MCP route ``tools``."""
    fields: dict[str, Any] = {
        "name": "tools",
        "protocol": Protocol.MCP,
        "path": ("mcp",),
        "audience": AUDIENCE,
        "operations": {},
        "server": "crm",
    }
    return Route(**{**fields, **overrides})


def make_catalogue(*routes: Route) -> Catalogue:
    """A catalogue of these routes, or of ``data`` and ``tools``."""
    listing = make_operation("use:mcp:crm")
    return Catalogue(
        routes={route.name: route for route in routes or (make_route(), make_mcp_route())},
        servers={
            "crm": {
                "customer.get": make_operation("read:customers:*", access=Access.READ),
                "customer.delete": make_operation("delete:customers:*"),
            }
        },
        methods={"crm": dict.fromkeys(("initialize", "tools/list", "resources/read"), listing)},
    )


def make_marker(route: Route | None = None, lane: Lane = Lane.CLOSED, **overrides: Any) -> Marker:
    """What an Envoy set up for this very route (``data`` unless told) sends along."""
    route = route or make_route()
    marker = Marker(route.name, lane.value, route.rewrite.value, lane_digest(route, lane))
    return replace(marker, **overrides)


def make_request(target: str = "/data/customer-1", **overrides: Any) -> Request:
    """A GET of the route ``data``; ``target`` is its path and query as they travel."""
    parsed = parse_target(target.encode())
    if isinstance(parsed, Refused):
        raise ValueError(f"{target}: {parsed}")  # noqa: TRY004 - the value is wrong
    fields: dict[str, Any] = {
        "id": "request-1",
        "method": "GET",
        "scheme": "https",
        "host": HOST,
        "path": parsed.path,
        "segments": parsed.segments,
        "raw_query": parsed.raw_query,
        "query": parsed.query,
        "headers": {},
        "body": b"",
        "marker": make_marker(),
        "peer": Peer("10.0.0.7"),
    }
    return Request(**{**fields, **overrides})


def make_call_body(method: str = "tools/call", **params: Any) -> bytes:
    """A JSON-RPC request; ``tools/call`` calls the tool ``customer.get`` unless told."""
    if method == "tools/call":
        params = {"name": "customer.get", "arguments": {"id": "1"}, **params}
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.dumps(call).encode()


def make_mcp_request(
    body: bytes | None = None,
    headers: Mapping[str, tuple[bytes, ...]] = MappingProxyType({}),
    **overrides: Any,
) -> Request:
    """A POST of the MCP route ``tools``; ``headers`` join the content type."""
    fields: dict[str, Any] = {
        "method": "POST",
        "headers": {**_JSON, **headers},
        "body": make_call_body() if body is None else body,
        "marker": make_marker(make_mcp_route()),
    }
    return make_request("/mcp", **{**fields, **overrides})
