"""The sections of the settings file that stand for themselves, and the types of their values."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, model_validator
from pydantic_settings import NoDecode

from sidecar.config.address import TcpAddress, parse_socket_path, parse_tcp
from sidecar.config.explain import broken_rule, not_empty
from sidecar.config.grammar import Entrypoint, File, HeaderName
from sidecar.config.shape import Shown, StrictModel

ROOM_FOR_HEADERS: Final = 64 * 1024
"""Bytes of a check beside the request's body."""

Seconds = Annotated[float, Field(gt=0, le=86_400), Shown("number", "seconds")]
SecondsOrZero = Annotated[float, Field(ge=0, le=86_400), Shown("number", "seconds")]
Bytes = Annotated[int, Field(gt=0, le=64 * 1024 * 1024), Shown("whole number", "bytes")]
Count = Annotated[int, Field(gt=0, le=100_000_000), Shown("whole number")]


def _check_store(kind: object) -> object:
    if kind == "redis":
        raise broken_rule("must be memory: Redis comes with a later version")
    return kind


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


class PolicySettings(StrictModel):
    """Which policy decides."""

    engine: Literal["embedded"] = "embedded"
    """The policy engine; `embedded` runs Rego inside the sidecar."""
    paths: Annotated[tuple[File, ...], AfterValidator(not_empty)]
    """Files and folders with Rego and data."""
    entrypoint: Entrypoint = "data.scopegate.ruling"
    """The rule that holds the ruling."""


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
    wait: SecondsOrZero = 0.3
    """Longest time that a call waits for a fetch."""
    max_bytes: Bytes = 262_144
    """Largest JWK Set."""

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
    """Largest request body. Envoy refuses a larger one: its `max_request_bytes` must say the same.
    The sidecar leaves room for it in `message_bytes`."""
    decision_timeout: Annotated[float, Field(gt=0, le=60), Shown("number", "seconds")] = 0.4
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
    """What is written: records to standard output, everything else to standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged, on standard error."""
    decisions: bool = True
    """A record of every decision, on standard output."""
