"""(1) What a call may do to the world, decided once: only a read can ever pass during an outage.

Whatever could do more than its method says is a write: it then waits for every answer, which
costs a caller nothing while all is well. The operator's word on an operation stands above the
protocol's own meaning, the route's floor above both, and a hidden effect above everything.
"""

from __future__ import annotations

from typing import Final

from sidecar.core.catalogue import Catalogue, Operation, Route
from sidecar.core.model import Access, Protocol, Request, ToolCall

_FROM_MILD_TO_STRICT: Final = (Access.READ, Access.SENSITIVE, Access.WRITE)

HTTP_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The safe methods (RFC 9110, section 9.2.1) that are ever offered."""

# The protocol's own reads. Not among them: logging/setLevel and resources/subscribe, which change
# what the server does next, and tools/call, whose effect only the operator knows.
_MCP_READS: Final = frozenset(
    {
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "prompts/list",
        "prompts/get",
        "completion/complete",
    }
)
_MCP_NOTIFICATIONS: Final = "notifications/"

# Frameworks that let a request name another method than its own take it from these headers, or
# from a query parameter.
_METHOD_OVERRIDES: Final = frozenset(
    {"x-http-method-override", "x-http-method", "x-method-override", "_method"}
)


def access_of(
    request: Request, route: Route, operation: Operation, tool: ToolCall | None
) -> Access:
    """Decide the access of one call; ``tool`` is what an MCP body asks for, None for plain HTTP."""
    if _hides_its_effect(request):
        return Access.WRITE
    usual = _usual_http(request.method) if tool is None else _usual_mcp(tool.method)
    return _as_declared(route, operation, usual)


def http_access(route: Route, operation: Operation, method: str) -> Access:
    """Decide the access of a plain HTTP method, before anybody has seen a request's content."""
    return _as_declared(route, operation, _usual_http(method))


def accesses_of(route: Route, catalogue: Catalogue) -> frozenset[Access]:
    """Collect what calls of a route can count as; a write always, since any call may hide one."""
    offered = route.operations.items()
    found = {_as_declared(route, one, _usual_http(method)) for method, one in offered}
    if route.protocol is Protocol.MCP:
        tools = catalogue.servers.get(route.server, {}).values()
        methods = catalogue.methods.get(route.server, {}).items()
        found |= {_as_declared(route, one, Access.WRITE) for one in tools}
        found |= {_as_declared(route, one, _usual_mcp(method)) for method, one in methods}
    return frozenset({*found, Access.WRITE})


def is_graphql(segments: tuple[str, ...]) -> bool:
    """Whether this is where GraphQL is served by convention: ``.../graphql``, in any case."""
    return bool(segments) and segments[-1].casefold() == "graphql"


def _as_declared(route: Route, operation: Operation, usual: Access) -> Access:
    access = operation.access or usual
    return max(access, route.access or access, key=_FROM_MILD_TO_STRICT.index)


def _usual_http(method: str) -> Access:
    return Access.READ if method in HTTP_READS else Access.WRITE


def _usual_mcp(method: str) -> Access:
    reads = method in _MCP_READS or method.startswith(_MCP_NOTIFICATIONS)
    return Access.READ if reads else Access.WRITE


def _hides_its_effect(request: Request) -> bool:
    return _opens_a_tunnel(request) or _overrides_method(request) or _is_graphql_get(request)


def _opens_a_tunnel(request: Request) -> bool:
    """One check, then any number of frames."""
    headers = request.headers
    return (
        request.method == "CONNECT"
        or "upgrade" in headers
        or any(b"upgrade" in value.lower() for value in headers.get("connection", ()))
    )


def _overrides_method(request: Request) -> bool:
    return not _METHOD_OVERRIDES.isdisjoint(request.headers) or any(
        name.casefold() in _METHOD_OVERRIDES for name, _ in request.query
    )


def _is_graphql_get(request: Request) -> bool:
    """GraphQL over GET, which may carry a mutation whatever the specification says.

    Narrow, so that a search for ``?query=mutation`` stays a read: GraphQL's usual path, which
    persisted queries need too, or a ``query`` with a brace, which every GraphQL operation has.
    A POST is a write already, unless the operator knows better.
    """
    return request.method in ("GET", "HEAD") and (
        is_graphql(request.segments)
        or any(name == "query" and "{" in value for name, value in request.query)
    )
