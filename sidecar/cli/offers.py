"""What the catalogue offers, one operation at a time, and the call that asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sidecar.core.catalogue import Catalogue, Operation, Route
from sidecar.core.jsonrpc import TOOLS_CALL
from sidecar.core.lanes import Lane, lane_digest
from sidecar.core.locate import Asked, call_for
from sidecar.core.model import Call, Marker, Peer, Protocol, Request, Scope, ToolCall


@dataclass(frozen=True, slots=True)
class Offer:
    """One operation of one route."""

    route: Route
    operation: Operation
    method: str
    """The HTTP method, or the MCP method."""
    tool: str = ""
    """MCP: the tool of a ``tools/call``."""

    @property
    def name(self) -> str:
        """``GET``, ``tools/list`` or ``tool balance``."""
        return f"tool {self.tool}" if self.tool else self.method


def offers_of(route: Route, catalogue: Catalogue) -> Iterator[Offer]:
    """List what a route offers, in the catalogue's order."""
    for method, operation in route.operations.items():
        yield Offer(route, operation, method)
    if route.protocol is Protocol.MCP:
        for name, operation in catalogue.servers.get(route.server, {}).items():
            yield Offer(route, operation, TOOLS_CALL, name)
        for method, operation in catalogue.methods.get(route.server, {}).items():
            yield Offer(route, operation, method)


def reached_by(scopes: Iterable[Scope], operation: Operation) -> Scope | None:
    """Find the scope that covers an operation, for some identifier at least."""
    wanted = operation.scope
    for scope in scopes:
        identifier = scope.identifier if wanted.parameter is not None else wanted.identifier
        if scope.covers(wanted.with_identifier(identifier)):
            return scope
    return None


def call_of(offer: Offer, scopes: Iterable[Scope]) -> Call:
    """Make the call that asks for ``offer``, with the identifier that ``scopes`` are for, if any.

    Its request has no headers and no body, and stands for all that ask for the same.
    """
    route, operation = offer.route, offer.operation
    wanted, held = operation.scope, reached_by(scopes, operation)
    is_open = held is not None and wanted.parameter is not None
    scope = wanted.with_identifier(held.identifier if held and is_open else wanted.identifier)
    mcp = route.protocol is Protocol.MCP
    path = "/" + "/".join(route.path)
    request = request_of(route, "POST" if mcp else offer.method, path, route.path)
    tool = ToolCall(offer.method, offer.tool, {}, 1) if mcp else None
    return call_for(request, Asked(route, operation, scope, {}, tool))


def request_of(
    route: Route, method: str, path: str, segments: tuple[str, ...], tool: ToolCall | None = None
) -> Request:
    """Make a request as Envoy, set up from this catalogue, sends it; ``path`` has no query."""
    body = b""
    if tool is not None:
        params = {"params": {"name": tool.name, "arguments": {}}} if tool.name else {}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": tool.method, **params}).encode()
    return Request(
        id="",
        method=method,
        scheme="https",
        host="",
        path=path,
        segments=segments,
        raw_query="",
        query=(),
        headers={"content-type": (b"application/json",)} if body else {},
        body=body,
        marker=Marker(
            route.name,
            Lane.CLOSED.value,
            route.rewrite.value,
            lane_digest(route, Lane.CLOSED),
        ),
        peer=Peer(),
    )
