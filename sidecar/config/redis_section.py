"""The section on Redis: where it is, and how the way there is kept private.

Redis holds no secrets of agents (keys are hashes, the feed is signed), but who can write to it on
the way can make a used token good again. So the way is a Unix socket, this very host, or TLS; an
operator who has another answer, such as a mesh, writes it down.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator, model_validator
from pydantic_settings import NoDecode

from sidecar.config.address import TcpAddress, UnixSocket, is_loopback, parse_socket_path
from sidecar.config.explain import broken_rule, not_empty
from sidecar.config.grammar import Exact, File
from sidecar.config.shape import Shown, StrictModel

_SCHEME: Final = "unix:"
_HOST_AND_PORT: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):([0-9]{1,5})")
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class HostAddress(TcpAddress):
    """A host, by name or by IP address, and a port."""


RedisAddress: TypeAlias = UnixSocket | HostAddress


def parse_host(text: object) -> HostAddress:
    """``NAME:PORT``, ``IPv4:PORT`` or ``[IPv6]:PORT``."""
    found = _HOST_AND_PORT.fullmatch(text) if isinstance(text, str) else None
    if found is None or not 0 < int(found[2]) <= _LARGEST_PORT:
        raise broken_rule("must be a host and a port, such as redis.example:6379 or [::1]:6379")
    return HostAddress(found[1].strip("[]"), int(found[2]))


def parse_redis_address(text: object) -> RedisAddress:
    """``unix:PATH`` or ``HOST:PORT``."""
    if isinstance(text, str) and text.startswith(_SCHEME):
        return UnixSocket(parse_socket_path(text.removeprefix(_SCHEME)))
    return parse_host(text)


_Host: TypeAlias = Annotated[HostAddress, PlainValidator(parse_host), Shown("`HOST:PORT`")]


class SentinelSettings(StrictModel):
    """Redis Sentinel: it says which node is the master now."""

    service: Exact
    """The name that the sentinels know the master by."""
    addresses: Annotated[tuple[_Host, ...], AfterValidator(not_empty)]
    """The sentinels."""
    username: Exact | None = None
    """The user at the sentinels."""
    password_file: File | None = None
    """Its password."""


class TlsSettings(StrictModel):
    """TLS 1.2 or later; the server's certificate and name are always checked."""

    ca: File | None = None
    """Certificates to trust; without it, those of the system."""
    certificate: File | None = None
    """The client's certificate."""
    key: File | None = None
    """Its private key."""
    server_name: Exact | None = None
    """The name in the server's certificate, where it is not the host's."""

    @model_validator(mode="after")
    def _certificate_with_key(self) -> TlsSettings:
        if (self.certificate is None) != (self.key is None):
            raise broken_rule("must have certificate and key, or neither")
        return self


class RedisSettings(StrictModel):
    """Redis, for what several sidecars share; see `redis/README.md` for its own configuration."""

    address: (
        Annotated[
            RedisAddress,
            PlainValidator(parse_redis_address),
            NoDecode,
            Shown("`unix:PATH` or `HOST:PORT`"),
        ]
        | None
    ) = None
    """The master. This or `sentinel`."""
    sentinel: SentinelSettings | None = None
    database: Annotated[int, Field(ge=0, le=15)] = 0
    """The number of the database."""
    username: Exact | None = None
    """The user (Redis ACL)."""
    password_file: File | None = None
    """The file that holds its password; a last line end does not count."""
    tls: TlsSettings | None = None
    plaintext: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Why no TLS is needed on the way to another host."""

    @model_validator(mode="after")
    def _one_way_there(self) -> RedisSettings:
        if (self.address is None) == (self.sentinel is None):
            raise broken_rule("must have address or sentinel, and not both")
        if self.username is not None and self.password_file is None:
            raise broken_rule("is required with username", ("password_file",))
        return self

    @model_validator(mode="after")
    def _kept_private(self) -> RedisSettings:
        on_socket = isinstance(self.address, UnixSocket)
        if on_socket and self.tls is not None:
            raise broken_rule("is not for a Unix socket", ("tls",))
        if self.tls is not None and self.plaintext is not None:
            raise broken_rule("contradicts tls", ("plaintext",))
        # Sentinels say where the master is, and it need not be where they are.
        near = isinstance(self.address, HostAddress) and is_loopback(self.address.host)
        local = on_socket or near
        if not local and self.tls is None and self.plaintext is None:
            raise broken_rule(
                "must have tls: who can change what is said on the way to another host can make "
                "a used token good again (or say in plaintext what else protects it)"
            )
        return self
