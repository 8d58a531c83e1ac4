"""The settings file: every key that an operator may set, what it means and what it may be.

The manual (``docs/configuration.md``) is printed from these models and from ``config.sections``.
What can be told of one section alone is checked in it; what needs several, in ``config.checks``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator
from pydantic_settings import NoDecode

from sidecar.config.address import ListenAddress, UnixSocket, parse_listen
from sidecar.config.caller_section import CallerSettings, DpopSettings, TenantSettings
from sidecar.config.explain import not_empty
from sidecar.config.grammar import Exact, File, HeaderName
from sidecar.config.issuer_section import IssuerSettings
from sidecar.config.lifetime_section import LifetimeSettings
from sidecar.config.redis_section import RedisSettings
from sidecar.config.sections import (
    AdminSettings,
    DenyListSettings,
    IdentityHeaders,
    KeysSettings,
    LimitSettings,
    LogSettings,
    PolicySettings,
    SecondsOrZero,
    StoreSettings,
)
from sidecar.config.shape import Shown, StrictModel


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
    lifetimes: LifetimeSettings = LifetimeSettings()
    tenants: Mapping[Exact, TenantSettings] = Field(default_factory=dict)
    """What is asked of one tenant's callers, by the tenant."""
    callers: CallerSettings = CallerSettings()
    dpop: DpopSettings = DpopSettings()
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
