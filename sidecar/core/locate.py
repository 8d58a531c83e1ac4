"""(1) Request -> call: which entry of the operator's catalogue a request asks for.

The marker says which route Envoy took; it is believed only when it fits this generation's
catalogue or the one before. Then path, method and body must name exactly one operation: what the
catalogue does not name is not offered.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.core.access import access_of
from sidecar.core.catalogue import REST, Catalogue, Operation, Route, ScopeTemplate, parameter_of
from sidecar.core.jsonrpc import TOOLS_CALL, parse_call
from sidecar.core.lanes import Lane, accepted_marker, may_be_open
from sidecar.core.model import Call, Protocol, Refused, Request, Scope, ToolCall
from sidecar.core.reasons import Reason

# Neither "*" nor ":": a path cannot widen the scope that it fills.
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.@-]{1,128}")

_PARTIAL_BODY: Final = "x-envoy-auth-partial-body"
_ONE_VALUE_AT_MOST: Final = ("content-type", "content-encoding")


def locate(request: Request, catalogue: Catalogue, markers: frozenset[str]) -> Call | Refused:
    """Find what a request asks for; ``markers`` are accepted ones (``lanes.markers_of``).

    Refused as ``MARKER_REFUSED``, ``PATH_MALFORMED``, ``OPERATION_UNKNOWN`` or a ``BODY_*``.
    """
    route = _route_of(request, catalogue, markers)
    if isinstance(route, Refused):
        return route
    params = _params_of(route.path, request.segments)
    if params is None:
        return Refused(Reason.OPERATION_UNKNOWN, "the path is not the route's")
    tool = _tool_of(request) if route.protocol is Protocol.MCP else None
    if isinstance(tool, Refused):
        return tool
    operation = _operation_of(request, route, tool, catalogue)
    if operation is None:
        return Refused(Reason.OPERATION_UNKNOWN, "not in the catalogue")
    scope = _scope_of(operation.scope, params)
    if isinstance(scope, Refused):
        return scope
    asked = Asked(route, operation, scope, params, tool)
    return call_for(request, asked)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the catalogue says of one request."""

    route: Route
    operation: Operation
    scope: Scope
    """What a token must cover; its identifier is filled in."""
    params: Mapping[str, str]
    tool: ToolCall | None


def call_for(request: Request, asked: Asked) -> Call:
    """Put a request together with what is asked for by it."""
    route, operation = asked.route, asked.operation
    return Call(
        request=request,
        route=route.name,
        protocol=route.protocol,
        access=access_of(request, route, operation, asked.tool),
        audience=route.audience,
        tenant=route.tenant,
        scope=asked.scope,
        single_use=route.single_use or operation.single_use,
        forward_token=route.forward_token,
        rewrite=route.rewrite,
        params=asked.params,
        tool=asked.tool,
        server=route.server,
        outages=route.outages,
        risk=operation.risk,
        bind=route.bind,
        session_header=route.session_header,
        credentials=route.credentials,
    )


def _route_of(request: Request, catalogue: Catalogue, markers: frozenset[str]) -> Route | Refused:
    """Find the route that Envoy took, if Envoy is set up as the catalogue says."""
    marker = request.marker
    route = catalogue.routes.get(marker.route)
    if route is None:
        return Refused(Reason.MARKER_REFUSED, "no such route, or no marker")
    lane = next((lane for lane in Lane if lane.value == marker.lane), None)
    if lane is None:
        return Refused(Reason.MARKER_REFUSED, "no such lane")
    if accepted_marker(route.name, lane, marker.digest) not in markers:
        return Refused(Reason.MARKER_REFUSED, "Envoy was set up from another catalogue")
    if marker.rewrite != route.rewrite.value:
        return Refused(Reason.MARKER_REFUSED, "Envoy rewrites bodies in another way")
    # We are alive and could decide. But an Envoy that is wrong here lets writes pass once we die,
    # and nobody would see it before.
    if lane is Lane.OPEN and not may_be_open(route, request.method):
        return Refused(Reason.MARKER_REFUSED, "the open lane is not for this method")
    return route


def _params_of(template: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    """Take the parameters out of a path; None when it does not fit the template."""
    takes_rest = template[-1:] == (REST,)
    fixed = template[:-1] if takes_rest else template
    if len(segments) < len(fixed) or (len(segments) > len(fixed) and not takes_rest):
        return None
    params: dict[str, str] = {}
    for wanted, segment in zip(fixed, segments, strict=False):
        name = parameter_of(wanted)
        if name is not None and segment:
            params[name] = segment
        elif wanted != segment:
            return None
    return params


def _tool_of(request: Request) -> ToolCall | Refused:
    """Read what an MCP request calls; body and headers must not say two things."""
    if request.method != "POST":
        return Refused(Reason.OPERATION_UNKNOWN, "MCP is spoken by POST")
    if any(value.lower() != b"false" for value in request.headers.get(_PARTIAL_BODY, ())):
        return Refused(Reason.BODY_TOO_LARGE, "Envoy sent a part of the body")
    for name in _ONE_VALUE_AT_MOST:
        if len(request.headers.get(name, ())) > 1:
            return Refused(Reason.BODY_TYPE_REFUSED, f"several {name}")
    content_type, content_encoding = map(request.header, _ONE_VALUE_AT_MOST)
    tool = parse_call(request.body, content_type, content_encoding)
    if isinstance(tool, Refused):
        return tool
    # MCP 2026-07-28 repeats both in headers. A tool that believes those must not hear another call.
    for name, said in (("mcp-method", tool.method), ("mcp-name", tool.name)):
        if request.headers.get(name, (said.encode(),)) != (said.encode(),):
            return Refused(Reason.BODY_MALFORMED, f"{name} is not what the body says")
    return tool


def _operation_of(
    request: Request, route: Route, tool: ToolCall | None, catalogue: Catalogue
) -> Operation | None:
    if tool is None:
        return route.operation_for(request.method)
    if tool.method == TOOLS_CALL:
        return catalogue.servers.get(route.server, {}).get(tool.name)
    return catalogue.methods.get(route.server, {}).get(tool.method)


def _scope_of(template: ScopeTemplate, params: Mapping[str, str]) -> Scope | Refused:
    if template.parameter is None:
        return template.with_identifier(template.identifier)
    # A name that is no parameter of the path cannot get here (Route); if one did, it is refused.
    identifier = params.get(template.parameter, "")
    if not _IDENTIFIER.fullmatch(identifier):
        return Refused(Reason.PATH_MALFORMED, f"{{{template.parameter}}} is no identifier")
    return template.with_identifier(identifier)
