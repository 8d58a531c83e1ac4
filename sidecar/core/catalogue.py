"""The operator's catalogue: routes and tools, and the scope that each operation requires.

The catalogue is checked in pure code before any policy is asked. What it does not name is not
offered: an unknown route, method or tool is a refusal. A catalogue that contradicts itself cannot
be built: the ``ValueError`` names the route, the tool or the method.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from sidecar.core.model import (
    Access,
    Binding,
    Protocol,
    Rewrite,
    Risk,
    Scope,
    StanceException,
)
from sidecar.core.stance import faults_of

REST: Final = "**"
"""The last segment of a template that takes whatever follows, also nothing."""

PARAMETER: Final = re.compile(r"\{[A-Za-z_][A-Za-z0-9_]*\}")
METHOD: Final = re.compile(r"[A-Z]+(?:-[A-Z]+)*")


@dataclass(frozen=True, slots=True)
class ScopeTemplate:
    """A scope whose identifier may be a ``{parameter}`` of the route's path."""

    action: str
    resource: str
    identifier: str
    """Literal text, ``*`` or ``{name}``."""

    def __post_init__(self) -> None:
        if has_brace(self.identifier) and not PARAMETER.fullmatch(self.identifier):
            raise ValueError(f"scope identifier {self.identifier!r} is no whole {{parameter}}")

    def __str__(self) -> str:
        return f"{self.action}:{self.resource}:{self.identifier}"

    @property
    def parameter(self) -> str | None:
        """The path parameter that fills the identifier, or None when it is literal."""
        return parameter_of(self.identifier)

    def with_identifier(self, identifier: str) -> Scope:
        """Make the scope that a call with this identifier requires."""
        return Scope(self.action, self.resource, identifier)


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that a caller may ask for: an HTTP method of a route, or a tool of a server."""

    scope: ScopeTemplate
    access: Access | None = None
    """None: decided by the protocol and the method (``core.access``)."""
    single_use: bool = False
    risk: Risk | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One route of Envoy, named by the marker that Envoy sends along."""

    name: str
    protocol: Protocol
    path: tuple[str, ...]
    """Segments, literal (decoded) or ``{name}``; a last ``**`` takes the rest, also nothing. ``/``
    is ``()``; a last empty segment is a trailing slash (``core.target.split_path``)."""
    audience: str
    """A token's ``aud`` must hold exactly this member."""
    operations: Mapping[str, Operation]
    """By HTTP method, upper-case; empty for MCP."""
    tenant: str | None = None
    access: Access | None = None
    """A floor: no operation of the route counts as less."""
    single_use: bool = False
    forward_token: bool = False
    rewrite: Rewrite = Rewrite.NONE
    server: str = ""
    """MCP: whose tools are called here."""
    outages: tuple[StanceException, ...] = ()
    """What silence means here otherwise than in the stance table."""
    bind: frozenset[Binding] = frozenset()
    """The caller must show at least one of these; empty: what the token itself asks for."""
    session_header: str = ""
    """Lower-case; the session of the tool that it names may be used by one agent only."""
    credentials: frozenset[str] = frozenset()
    """Lower-case names of headers and query parameters that look like credentials and may pass."""

    def __post_init__(self) -> None:
        outage_faults = (f"outages[{one.index}] {one.text}" for one in faults_of(self.outages))
        for fault in (*_path_faults(self.path), *_operation_faults(self), *outage_faults):
            raise ValueError(f"route {self.name!r}: {fault}")

    def operation_for(self, method: str) -> Operation | None:
        """Find what a method asks for; HEAD is GET without the body (RFC 9110, section 9.3.2)."""
        operation = self.operations.get(method)
        if operation is None and method == "HEAD":
            return self.operations.get("GET")
        return operation


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every route and tool there is; immutable, swapped whole."""

    routes: Mapping[str, Route]
    """By ``Route.name``."""
    servers: Mapping[str, Mapping[str, Operation]]
    """MCP server name to tool name to operation: what ``tools/call`` may name."""
    methods: Mapping[str, Mapping[str, Operation]]
    """MCP server name to every other MCP method that it offers (``tools/list``,
    ``notifications/initialized``, ...) to operation. A method that is not here is refused."""

    def __post_init__(self) -> None:
        for name, route in self.routes.items():
            if name != route.name:
                raise ValueError(f"route {route.name!r} stands under the name {name!r}")
            if route.protocol is Protocol.MCP and not self._knows(route.server):
                raise ValueError(f"route {name!r}: unknown server {route.server!r}")
        for fault in (*_literal_faults("tool", self.servers), *_literal_faults("", self.methods)):
            raise ValueError(fault)
        for server, methods in self.methods.items():
            if "tools/call" in methods:
                raise ValueError(f"server {server!r}: tools/call is offered tool by tool")

    def _knows(self, server: str) -> bool:
        return server in self.servers or server in self.methods


def parameter_of(segment: str) -> str | None:
    """Take the name out of ``{name}``; None for literal text."""
    return segment[1:-1] if segment.startswith("{") else None


def has_brace(text: str) -> bool:
    """Whether text holds a brace, and so has to be a whole ``PARAMETER``."""
    return "{" in text or "}" in text


def _path_faults(path: tuple[str, ...]) -> Iterator[str]:
    names = [segment for segment in path if PARAMETER.fullmatch(segment)]
    if len(names) != len(set(names)):
        yield "a path parameter stands twice"
    last = len(path) - 1
    for index, segment in enumerate(path):
        if has_brace(segment) and segment not in names:
            yield f"path segment {segment!r} is no whole {{parameter}}"
        if REST in segment and (segment != REST or index != last):
            yield f"{REST!r} stands only as the last path segment"
        if "/" in segment or (not segment and (index == 0 or index != last)):
            yield f"path segment {segment!r} can never match"


def _operation_faults(route: Route) -> Iterator[str]:
    if route.protocol is Protocol.MCP and route.operations:
        yield "an MCP route's operations are its server's tools and methods"
    if route.protocol is Protocol.MCP and not route.server:
        yield "an MCP route names its server"
    if route.protocol is Protocol.HTTP and route.server:
        yield "only an MCP route names a server"
    for method, operation in route.operations.items():
        if not METHOD.fullmatch(method):
            yield f"{method!r} is no upper-case HTTP method"
        wanted = operation.scope.parameter
        if wanted is not None and f"{{{wanted}}}" not in route.path:
            yield f"{method} requires a scope of {{{wanted}}}, which is not in the path"


def _literal_faults(kind: str, servers: Mapping[str, Mapping[str, Operation]]) -> Iterator[str]:
    for server, operations in servers.items():
        for name, operation in operations.items():
            if operation.scope.parameter is not None:
                yield f"server {server!r}: the scope of {kind or 'method'} {name!r} is not literal"
