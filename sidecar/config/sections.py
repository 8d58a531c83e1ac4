"""The sections of the settings file that stand for themselves, and the types of their values."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import Field, PlainValidator, model_validator
from pydantic_settings import NoDecode

from sidecar.config.address import (
    ListenAddress,
    TcpAddress,
    parse_beside,
    parse_file_path,
    parse_socket_path,
    parse_tcp,
)
from sidecar.config.explain import broken_rule
from sidecar.config.grammar import Entrypoint, Exact, File, HeaderName
from sidecar.config.shape import Shown, StrictModel

ROOM_FOR_HEADERS: Final = 64 * 1024
"""Bytes of a check beside the request's body."""

_A_DAY: Final = 86_400

Seconds = Annotated[float, Field(gt=0, le=_A_DAY), Shown("number", "seconds")]
SecondsOrZero = Annotated[float, Field(ge=0, le=_A_DAY), Shown("number", "seconds")]
Bytes = Annotated[int, Field(gt=0, le=64 * 1024 * 1024), Shown("whole number", "bytes")]
Count = Annotated[int, Field(gt=0, le=100_000_000), Shown("whole number")]


def _seconds_or_off(value: object) -> float | None:
    """A variable's value arrives as text."""
    if value == "off":
        return None
    rule = broken_rule(f"must be a number above 0 and at most {_A_DAY}, or off")
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise rule
    try:
        seconds = float(value)
    except ValueError:
        raise rule from None
    if not 0 < seconds <= _A_DAY:
        raise rule
    return seconds


class AdminSettings(StrictModel):
    """Where operators and probes reach the sidecar."""

    http: Annotated[
        TcpAddress, PlainValidator(parse_tcp), NoDecode, Shown("IP address and port")
    ] = TcpAddress("127.0.0.1", 10004)
    """`/metrics`, `/healthz`, `/readyz`, `/jwks/{issuer}`. In a pod the host may be `0.0.0.0`."""
    socket: Annotated[
        PurePosixPath,
        PlainValidator(parse_socket_path),
        Shown("path, relative to the working directory"),
    ] = PurePosixPath("admin.sock")
    """The Unix socket of the deny list commands."""


class OpaSettings(StrictModel):
    """A local OPA that the sidecar asks; `opa/README.md` says how to start it."""

    address: Annotated[
        ListenAddress,
        PlainValidator(parse_beside),
        NoDecode,
        Shown("`unix:PATH`, `127.0.0.1:PORT` or `[::1]:PORT`"),
    ]
    """Where OPA listens; a relative path is relative to the working directory."""
    token_file: File | None = None
    """The file that holds the bearer token which OPA's own policy asks for."""
    concurrency: Count = 64
    """Questions at once; more are refused."""


class PolicySettings(StrictModel):
    """Which policy decides."""

    engine: Literal["embedded", "opa"] = "embedded"
    """The policy engine; `embedded` runs Rego inside the sidecar, `opa` asks a local OPA."""
    paths: tuple[File, ...] = ()
    """`embedded`: files and folders with Rego and data. An OPA has its own."""
    opa: OpaSettings | None = None
    entrypoint: Entrypoint = "data.scopegate.ruling"
    """The rule that holds the ruling."""

    @model_validator(mode="after")
    def _one_engine(self) -> PolicySettings:
        if self.engine == "embedded":
            if not self.paths:
                raise broken_rule("must not be empty: engine embedded reads policies", ("paths",))
            if self.opa is not None:
                raise broken_rule("is for engine: opa only", ("opa",))
            return self
        if self.opa is None:
            raise broken_rule("is required: engine opa asks a local OPA", ("opa",))
        if self.paths:
            raise broken_rule("is for engine: embedded only: OPA reads its own", ("paths",))
        return self


class KeysSettings(StrictModel):
    """How issuers' keys are fetched and kept."""

    refresh: Seconds = 60
    """Time between two fetches."""
    max_age: Seconds = 3600
    """Keys older than this are not used."""
    timeout: Seconds = 2
    """Longest time of one request; a fetch that must discover first is two."""
    cooldown: Seconds = 10
    """Time after a fetch that an unknown `kid` caused in which none causes another."""
    wait: SecondsOrZero = 0.3
    """Longest time that a call waits for a fetch."""
    max_bytes: Bytes = 262_144
    """Largest JWK Set."""
    max_skew: Annotated[
        float | None, PlainValidator(_seconds_or_off), NoDecode, Shown("number, seconds, or `off`")
    ] = 5
    """How far an issuer's clock (the `Date` of its answers) and ours may differ: beyond it, its
    tokens are refused, for their dates mean nothing here."""

    @model_validator(mode="after")
    def _outlive_a_refresh(self) -> KeysSettings:
        if self.max_age <= self.refresh:
            raise broken_rule("must be more than refresh", ("max_age",))
        return self


class IdentityHeaders(StrictModel):
    """Who calls; a client's own copies never reach the tool: Envoy removes both families first."""

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
    """What the sidecar remembers of tokens."""

    kind: Literal["memory", "redis"] = "memory"
    """Where used single-use tokens are kept: in this process, or in Redis for several sidecars."""
    single_use_capacity: Count = 100_000
    """`memory`: single-use tokens in flight, and as many proofs again; one more is refused as
    `overloaded`, and none is forgotten for it."""
    single_use_per_agent: Count = 1000
    """Of them, for one agent."""
    verified_tokens: Count = 10_000
    """Tokens whose signature need not be checked again."""

    @model_validator(mode="after")
    def _one_agent_cannot_fill_it(self) -> StoreSettings:
        if self.kind == "memory" and self.single_use_per_agent > self.single_use_capacity:
            raise broken_rule("must not exceed single_use_capacity", ("single_use_per_agent",))
        return self


class DenyListSettings(StrictModel):
    """Who has been revoked, and where this sidecar hears of it."""

    source: Literal["memory", "redis"] = "memory"
    """`memory`: fed through the admin socket. `redis`: fed by a signed feed."""
    file: Annotated[
        PurePosixPath,
        PlainValidator(parse_file_path),
        Shown("path, relative to the working directory"),
    ] = PurePosixPath("scopegate-state/deny-list")
    """What is known, kept for the next start, in a folder that is nobody else's: whoever can write
    there can lift a revocation. A missing folder is made."""
    feed: Exact = "scopegate:deny"
    """`redis`: the feed's name."""
    keys: File | None = None
    """`redis`: the public keys of who signs the feed, a JWK Set."""
    stale_after: Annotated[
        float | None, PlainValidator(_seconds_or_off), NoDecode, Shown("number, seconds, or `off`")
    ] = 5
    """`redis`: a list for which nobody has vouched so long is stale; `off` only where nobody sends
    heartbeats."""
    capacity: Count = 1_000_000
    """Entries; one more is never taken instead of another."""

    @model_validator(mode="after")
    def _keys_for_a_feed(self) -> DenyListSettings:
        if self.source == "redis" and self.keys is None:
            raise broken_rule("is required: a feed that nobody signed is nobody's", ("keys",))
        if self.source == "memory" and self.keys is not None:
            raise broken_rule("is for source: redis only", ("keys",))
        return self


class LimitSettings(StrictModel):
    """Bounds of one check, and of all at once."""

    message_bytes: Bytes = 1_048_576
    """Largest check; leaves at least 65536 bytes beside the body."""
    body_bytes: Bytes = 65_536
    """Largest request body. Envoy refuses a larger one: its `max_request_bytes` must say the same.
    The sidecar leaves room for it in `message_bytes`."""
    decision_timeout: Annotated[float, Field(gt=0, le=60), Shown("number", "seconds")] = 0.4
    """Time for one decision; at most a quarter of the timeout of Envoy's filter."""
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
    """What is written: records to standard output, everything else to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged, on standard error."""
    decisions: bool = True
    """A record of every decision, on standard output."""
