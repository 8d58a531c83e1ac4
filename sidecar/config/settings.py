"""The settings file: every key that an operator may set, what it means and what it may be.

The manual (``docs/configuration.md``) is printed from these models and from ``config.sections``.
What can be told of one section alone is checked in it; what needs several, in ``config.checks``.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, model_validator
from pydantic_settings import NoDecode

from sidecar.config.address import ListenAddress, UnixSocket, check_jwks_url, parse_listen
from sidecar.config.explain import broken_rule, not_empty
from sidecar.config.grammar import Algorithm, Exact, File, HeaderName, Name, TokenType, read_scope
from sidecar.config.redis_section import RedisSettings
from sidecar.config.sections import (
    AdminSettings,
    DenyListSettings,
    IdentityHeaders,
    KeysSettings,
    LimitSettings,
    LogSettings,
    PolicySettings,
    Seconds,
    SecondsOrZero,
    StoreSettings,
)
from sidecar.config.shape import Shown, StrictModel
from sidecar.core.model import Scope


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
        frozenset[Algorithm],
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


class Settings(StrictModel):
    """The whole file."""

    version: Literal[1]
    """Version of this file's format."""
    listen: Annotated[
        ListenAddress,
        PlainValidator(parse_listen),
        NoDecode,
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
    """Headers that a ruling may set; a client's own copies never reach the tool: Envoy removes both
    families first."""
    stores: StoreSettings = StoreSettings()
    deny_list: DenyListSettings = DenyListSettings()
    redis: RedisSettings | None = None
    replicas: Annotated[int, Field(ge=1)] = 1
    """How many sidecars share the traffic; what is in memory serves one."""
    limits: LimitSettings = LimitSettings()
    drain_timeout: SecondsOrZero = 10
    """Time for checks to end when the sidecar stops."""
    log: LogSettings = LogSettings()
