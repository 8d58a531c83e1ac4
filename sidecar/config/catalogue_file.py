"""The catalogue file: what an operator may write of routes, servers and tools.

Only the form is checked here; whether the parts fit each other, and the issuers, is
``config.checks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator

from sidecar.config.explain import not_empty
from sidecar.config.grammar import (
    Changeable,
    Day,
    Exact,
    McpMethod,
    McpTool,
    Method,
    Name,
    read_path,
    read_scope_template,
)
from sidecar.config.names import LowerHeader, SessionHeader
from sidecar.config.shape import Shown, StrictModel
from sidecar.core.catalogue import ScopeTemplate
from sidecar.core.model import Access, Binding, Protocol, Rewrite, Risk, Stance


class OperationFile(StrictModel):
    """One thing that a caller may ask for: an HTTP method, an MCP method or a tool."""

    scope: Annotated[ScopeTemplate, PlainValidator(read_scope_template), Shown("scope")]
    """What a token must hold; for HTTP the identifier may be a `{parameter}` of the path."""
    access: Access | None = None
    """What it may do to the world: only a `read` passes during an outage (`docs/stance.md`).
    Without it, what the protocol says: GET, HEAD, OPTIONS and MCP's own reads are reads, everything
    else a write."""
    single_use: bool = False
    """Wants a token that has not been used before."""
    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Why a method that writes by HTTP's rules is a `read` here; required in that case."""
    risk: Risk | None = None
    """What a mistake could cost; `lifetimes` says how old a token may be for it."""


class OutageFile(StrictModel):
    """One exception of a route to the stance table; `docs/stance.md` says which there may be."""

    when: Changeable
    """What is down."""
    access: Access
    """Of which calls."""
    stance: Stance
    """What becomes of them: `open` passes them, marked; `closed` refuses them."""
    until: Day | None = None
    """The last day, in UTC, on which it holds; required for what opens, at most 366 days ahead."""
    reason: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    """Why; required without an end."""


class RouteFile(StrictModel):
    """One route of Envoy."""

    name: Name
    """Envoy names the route by it."""
    protocol: Protocol = Protocol.HTTP
    """How its calls are spoken."""
    path: Annotated[tuple[str, ...], PlainValidator(read_path), Shown("path template")]
    """Segments, literal or `{parameter}`; a last `**` takes the rest."""
    audience: Exact
    """What a token's `aud` must hold."""
    tenant: Exact | None = None
    """The only tenant whose tokens it takes."""
    access: Access | None = None
    """No operation of it counts as less."""
    single_use: bool = False
    """Every operation wants a token that has not been used before."""
    forward_token: bool = False
    """Let the tool see the token."""
    rewrite: Rewrite = Rewrite.NONE
    """How Envoy can replace a body here."""
    operations: Mapping[Method, OperationFile] = Field(default_factory=dict)
    """HTTP: by method."""
    server: Name | None = None
    """MCP: whose tools are called."""
    outages: tuple[OutageFile, ...] = ()
    """What silence means here otherwise than in the stance table (`docs/stance.md`)."""
    bind: frozenset[Binding] = frozenset()
    """The caller must show at least one of these; then it has no open lane."""
    session_header: SessionHeader | None = None
    """A header that names a session of the tool: only the agent that used it first may use it.
    `off` for none; left out, `mcp-session-id`."""
    credentials: frozenset[LowerHeader] = frozenset()
    """Headers and query parameters that look like credentials and may reach the tool, such as
    `cookie`; others are taken away, in a query refused."""


class ServerFile(StrictModel):
    """One MCP server."""

    methods: Mapping[McpMethod, OperationFile] = Field(default_factory=dict)
    """What it offers beside `tools/call`, by method."""
    tools: Mapping[McpTool, OperationFile] = Field(default_factory=dict)
    """By the tool's name."""


class CatalogueFile(StrictModel):
    """The whole file."""

    version: Literal[1]
    """Version of this file's format."""
    routes: Annotated[tuple[RouteFile, ...], AfterValidator(not_empty)]
    """The routes."""
    servers: Mapping[Name, ServerFile] = Field(default_factory=dict)
    """The MCP servers, by the name that routes use."""
