"""The settings file: every key that an operator may set, what it means and what it may be.

The manual (``docs/configuration.md``) is printed from these models. Whatever can be told of one
section alone is checked here; what needs several is in ``config.checks``.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator

from sidecar.config.address import (
    ListenAddress,
    TcpAddress,
    UnixSocket,
    check_jwks_url,
    parse_listen,
    parse_socket_path,
    parse_tcp,
)
from sidecar.config.explain import broken_rule, not_empty
from sidecar.config.grammar import Entrypoint, Exact, HeaderName, Name, TokenType, read_scope
from sidecar.config.shape import Shown, StrictModel
from sidecar.core.model import Scope

ROOM_FOR_HEADERS = 64 * 1024
"""Bytes of a check beside the request's body."""


def _check_replicas(count: int) -> int:
    if count > 1:
        raise broken_rule(
            "must be 1: the memory store cannot be shared; Redis, for several sidecars, "
            "comes with a later version"
        )
    return count


def _check_store(kind: object) -> object:
    if kind == "redis":
        raise broken_rule("must be memory: Redis comes with a later version")
    return kind


Seconds = Annotated[float, Field(gt=0, le=86_400), Shown("number", "seconds")]
SecondsOrNone = Annotated[float, Field(ge=0, le=86_400), Shown("number", "seconds")]
Bytes = Annotated[int, Field(gt=0, le=64 * 1024 * 1024), Shown("whole number", "bytes")]
Count = Annotated[int, Field(gt=0, le=100_000_000), Shown("whole number")]
File = Annotated[str, Field(min_length=1), Shown("path, relative to this file")]


class AdminSettings(StrictModel):
    """Where operators and probes reach the sidecar."""

    http: Annotated[TcpAddress, PlainValidator(parse_tcp), Shown("IP address and port")] = (
        TcpAddress("127.0.0.1", 10004)
    )
    """`/metrics`, `/healthz` and `/readyz`. In a pod the host may be `0.0.0.0`."""
    socket: Annotated[
        PurePosixPath,
        PlainValidator(parse_socket_path),
        Shown("path, relative to the working directory"),
    ] = PurePosixPath("admin.sock")
    """The Unix socket of the deny list commands."""


class PolicySettings(StrictModel):
    """Which policy decides."""

    engine: Literal["embedded"] = "embedded"
    """The policy engine; `embedded` runs Rego inside the sidecar."""
    paths: Annotated[tuple[File, ...], AfterValidator(not_empty)]
    """Files and folders with Rego and data."""
    entrypoint: Entrypoint = "data.scopegate.ruling"
    """The rule that holds the ruling."""


class JwksSettings(StrictModel):
    """Where an issuer's public keys are; exactly one of the two."""

    url: Annotated[str, AfterValidator(check_jwks_url), Shown("URL")] | None = None
    """`https`, or `http` to a loopback address."""
    file: File | None = None
    """A JWK Set (RFC 7517)."""

    @model_validator(mode="after")
    def _exactly_one(self) -> JwksSettings:
        if (self.url is None) == (self.file is None):
            raise broken_rule("must have url or file, and not both")
        return self


class ClaimSettings(StrictModel):
    """Which claim of the issuer's tokens carries what."""

    agent: Exact = "agent_id"
    """The agent; a token without it is its subject's (`sub`)."""
    tenant: Exact = "tenant"
    """The tenant."""
    scope: Exact = "scope"
    """The scopes, as an array or as one string."""
    task: Exact = "task_id"
    """The task."""
    session: Exact = "sid"
    """The session."""
    single_use: Exact = "single_use"
    """True in a token that serves one call."""


class IssuerSettings(StrictModel):
    """One trusted issuer: the ceiling that holds even when the issuer is taken over."""

    name: Name
    """Short name for metrics and messages."""
    issuer: Exact
    """The exact `iss` of its tokens."""
    jwks: JwksSettings
    algorithms: Annotated[
        frozenset[Literal["EdDSA", "Ed25519", "ES256", "RS256", "PS256"]],
        AfterValidator(not_empty),
    ]
    """Accepted `alg` values."""
    types: Annotated[frozenset[TokenType], AfterValidator(not_empty)] = frozenset({"JWT", "at+jwt"})
    """Accepted `typ` values, in any case; `""` takes tokens without one."""
    tenants: Annotated[frozenset[Exact], AfterValidator(not_empty)]
    """The tenants that it may speak for."""
    ceiling: Annotated[
        tuple[Annotated[Scope, PlainValidator(read_scope), Shown("scope")], ...],
        AfterValidator(not_empty),
    ]
    """A token with a scope that none of these covers is refused. Only an identifier may be `*`."""
    max_lifetime: Seconds
    """Longest time from `iat` to `exp`."""
    leeway: Annotated[float, Field(ge=0, le=60), Shown("number", "seconds")] = 5
    """Clock difference forgiven in `exp`, `nbf` and `iat`."""
    claims: ClaimSettings = ClaimSettings()


class KeysSettings(StrictModel):
    """How issuers' keys are fetched and kept."""

    refresh: Seconds = 60
    """Time between two fetches."""
    max_age: Seconds = 3600
    """Keys older than this are not used."""
    timeout: Seconds = 2
    """Longest time of one fetch."""
    cooldown: Seconds = 10
    """Time after a fetch that an unknown `kid` caused in which none causes another."""
    wait: SecondsOrNone = 0.3
    """Longest time that a call waits for a fetch."""
    max_bytes: Bytes = 262_144
    """Largest JWK Set."""

    @model_validator(mode="after")
    def _outlive_a_refresh(self) -> KeysSettings:
        if self.max_age <= self.refresh:
            raise broken_rule("must be more than refresh", ("max_age",))
        return self


class IdentityHeaders(StrictModel):
    """Headers that tell the tool who calls; a client's own copies never reach it."""

    agent: HeaderName = "x-agent-id"
    """The agent."""
    tenant: HeaderName = "x-agent-tenant"
    """Its tenant."""
    scopes: HeaderName = "x-agent-scopes"
    """The token's scopes, separated by spaces."""
    task: HeaderName = "x-agent-task"
    """Its task."""
    decision: HeaderName = "x-authz-decision-id"
    """The id of the decision, also in records."""


class StoreSettings(StrictModel):
    """What the sidecar remembers."""

    kind: Annotated[Literal["memory"], BeforeValidator(_check_store)] = "memory"
    """Where it is kept."""
    single_use_capacity: Count = 100_000
    """Single-use tokens in flight; one more is an outage of the store, never a forgotten one."""
    single_use_per_agent: Count = 1000
    """Of them, for one agent."""
    deny_capacity: Count = 100_000
    """Entries of the deny list."""
    verified_tokens: Count = 10_000
    """Tokens whose signature need not be checked again."""

    @model_validator(mode="after")
    def _one_agent_cannot_fill_it(self) -> StoreSettings:
        if self.single_use_per_agent > self.single_use_capacity:
            raise broken_rule("must not exceed single_use_capacity", ("single_use_per_agent",))
        return self


class LimitSettings(StrictModel):
    """Bounds of one check, and of all at once."""

    message_bytes: Bytes = 1_048_576
    """Largest check; leaves at least 65536 bytes beside the body."""
    body_bytes: Bytes = 65_536
    """Largest request body; Envoy's `max_request_bytes` must be the same."""
    decision_timeout: Annotated[Seconds, Field(le=60)] = 0.4
    """Time for one decision; below the timeout of Envoy's filter."""
    concurrency: Count = 512
    """Checks at once; more are refused."""

    @model_validator(mode="after")
    def _leave_room_for_headers(self) -> LimitSettings:
        if self.message_bytes < self.body_bytes + ROOM_FOR_HEADERS:
            raise broken_rule(
                f"must exceed body_bytes by at least {ROOM_FOR_HEADERS}, for the headers",
                ("message_bytes",),
            )
        return self


class LogSettings(StrictModel):
    """What is logged, on standard output."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    decisions: bool = True
    """A record of every decision."""


class Settings(StrictModel):
    """The whole file."""

    version: Literal[1]
    """Version of this file's format."""
    listen: Annotated[
        ListenAddress,
        PlainValidator(parse_listen),
        Shown("`unix:PATH`, `127.0.0.1:PORT` or `[::1]:PORT`"),
    ] = UnixSocket(PurePosixPath("sidecar.sock"))
    """Where Envoy reaches the sidecar; a relative path is relative to the working directory."""
    admin: AdminSettings = AdminSettings()
    catalogue: File
    """The catalogue of routes and tools."""
    policy: PolicySettings
    issuers: Annotated[tuple[IssuerSettings, ...], AfterValidator(not_empty)]
    """The trusted issuers."""
    keys: KeysSettings = KeysSettings()
    identity_headers: IdentityHeaders = IdentityHeaders()
    policy_headers: frozenset[HeaderName] = frozenset()
    """Headers that a ruling may set; a client's own copies never reach the tool."""
    stores: StoreSettings = StoreSettings()
    replicas: Annotated[int, Field(ge=1), AfterValidator(_check_replicas)] = 1
    """How many sidecars share the traffic; the memory store serves one."""
    limits: LimitSettings = LimitSettings()
    drain_timeout: SecondsOrNone = 10
    """Time for checks to end when the sidecar stops."""
    log: LogSettings = LogSettings()
