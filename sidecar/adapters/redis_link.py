"""The way to Redis: one client for a node, a Unix socket or whoever Sentinel says is the master.

Nothing is retried here: redis-py's own retries would spend a check's time twice and could claim
twice. A connection that fails is dropped, and the next use makes a new one, through Sentinel where
there is one. No text made here holds an address, a password or what a caller sent.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from redis.asyncio import ConnectionPool, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import Connection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    MasterNotFoundError,
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

CLIENT_NAME: Final = "scopegate"
"""What ``CLIENT LIST`` shows; set by ``CLIENT SETNAME``."""
_CODE: Final = re.compile(r"[A-Z]{2,24}")


@dataclass(frozen=True, slots=True)
class RedisTls:
    """TLS 1.2 or later; the server's certificate and its name are always checked."""

    ca: Path | None = None
    """PEM certificates to trust, and no others; without them, those of the system."""
    certificate: Path | None = None
    """The client's certificate, PEM; with ``key`` or not at all."""
    key: Path | None = None
    server_name: str = ""
    """The name in the server's certificate, where it is not the host that is connected to."""


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """Where Redis is: exactly one of ``socket``, ``host`` and ``sentinels``."""

    socket: Path | None = None
    host: str = ""
    port: int = 6379
    sentinels: tuple[tuple[str, int], ...] = ()
    """Host and port of each sentinel; they know the master under the name ``service``."""
    service: str = ""
    db: int = 0
    username: str = ""
    """An ACL user (Redis ``AUTH username password``); empty with a password is ``default``."""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    tls: RedisTls | None = None

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for a target that is none, or several."""
        if [self.socket is not None, bool(self.host), bool(self.sentinels)].count(True) != 1:
            raise ValueError("exactly one of socket, host and sentinels says where Redis is")
        if bool(self.sentinels) != bool(self.service):
            raise ValueError("sentinels and service go together")
        if self.socket is not None and self.tls is not None:
            raise ValueError("there is no TLS on a Unix socket")
        if self.tls is not None and (self.tls.certificate is None) != (self.tls.key is None):
            raise ValueError("certificate and key go together")


class _Tls(SSLConnection):
    """redis-py's TLS connection, with our context, and a name that need not be the host's.

    redis-py's own context trusts every public authority beside the one that is named.
    """

    def __init__(self, *, context: ssl.SSLContext, server_name: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._context = context
        self._server_name = server_name

    def _connection_arguments(self) -> Mapping[str, Any]:
        named = {"server_hostname": self._server_name or self.host}
        return {"host": self.host, "port": self.port, "ssl": self._context} | named


class _ManagedTls(SentinelManagedSSLConnection, _Tls):
    """The same, for the master that Sentinel names."""


def connect(target: RedisTarget, *, timeout: float) -> Redis:
    """Make a client for the master of ``target``; ``hang_up`` ends it. Nothing is sent yet.

    Raises ``OSError`` (``ssl.SSLError`` too is one) for certificates that cannot be loaded.

    ``timeout`` (seconds) bounds each step: to connect, to send, to be answered. Sentinels share
    it, so that the last one is still asked in time when the others hang.
    """
    settings = _common(target, timeout) | _login(target.username, target.password)
    settings |= {"db": target.db, "client_name": CLIENT_NAME}
    if target.sentinels:
        managed = SentinelManagedConnection if target.tls is None else _ManagedTls
        master: Redis = _sentinels(target, settings, timeout).master_for(
            target.service, connection_class=managed
        )
        return master
    if target.socket is not None:
        path = str(target.socket)
        return Redis.from_pool(ConnectionPool(UnixDomainSocketConnection, path=path, **settings))
    kind = Connection if target.tls is None else _Tls
    return Redis.from_pool(ConnectionPool(kind, host=target.host, port=target.port, **settings))


def _sentinels(target: RedisTarget, settings: Mapping[str, Any], timeout: float) -> Sentinel:
    """Sentinels that are reached by the same kind of connection as the master."""
    patience = timeout / (len(target.sentinels) + 1)
    asking = _common(target, patience) | _login(target.sentinel_username, target.sentinel_password)
    kind = Connection if target.tls is None else _Tls
    make: Callable[..., Sentinel] = Sentinel
    sentinels = make([], **settings)
    sentinels.sentinels = [
        Redis.from_pool(ConnectionPool(kind, host=host, port=port, **asking))
        for host, port in target.sentinels
    ]
    return sentinels


async def hang_up(redis: Redis) -> None:
    """Close every connection of a client that ``connect`` made, those to sentinels too."""
    pool = redis.connection_pool
    await redis.aclose()
    if isinstance(pool, SentinelConnectionPool):
        await pool.sentinel_manager.aclose()


async def forget_node(redis: Redis) -> None:
    """Drop the idle connections: whoever is connected to next is looked up again."""
    await redis.connection_pool.disconnect(inuse_connections=False)


def by_sentinel(redis: Redis) -> bool:
    """Whether Sentinel says who the master is."""
    return isinstance(redis.connection_pool, SentinelConnectionPool)


def silence(error: BaseException) -> str:
    """Why Redis gave no answer, in a few words of ours."""
    chain = list(_chain(error))
    for kinds, words in _WORDS:
        if any(isinstance(one, kinds) for one in chain):
            return words
    if isinstance(error, ResponseError):
        code = _CODE.match(str(error))
        return f"redis refused the command: {code[0] if code else 'ERR'}"
    return "redis is not reachable"


_WORDS: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    ((ssl.SSLCertVerificationError,), "redis has a certificate that is not trusted"),
    ((ssl.SSLError,), "redis and we could not agree on TLS"),
    ((MasterNotFoundError,), "no sentinel knows the master"),
    ((AuthenticationError,), "redis refused our user or password"),
    ((NoPermissionError,), "redis does not let our user do this"),
    ((OutOfMemoryError,), "redis has no memory left"),
    ((BusyLoadingError,), "redis is loading its data"),
    ((ReadOnlyError,), "redis is a replica"),
    ((RedisTimeoutError, TimeoutError), "redis gave no answer in time"),
)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from; redis-py wraps what the socket said."""
    following: BaseException | None = error
    while following is not None:
        yield following
        following = following.__cause__ or following.__context__


def _common(target: RedisTarget, timeout: float) -> dict[str, Any]:
    """Settings of every connection, as redis-py names them."""
    settings: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": Retry(NoBackoff(), 0),
        # RESP 2 has no push messages, and needs no HELLO: fewer commands to grant, fewer states.
        "protocol": 2,
        "driver_info": None,
    }
    if target.socket is not None:
        return settings
    settings["socket_keepalive"] = True
    settings["maint_notifications_config"] = MaintNotificationsConfig(enabled=False)
    if target.tls is not None:
        settings |= {"context": _context(target.tls), "server_name": target.tls.server_name}
    return settings


def _context(tls: RedisTls) -> ssl.SSLContext:
    """Checks certificate and name: so do the defaults of Python's ``create_default_context``."""
    context = ssl.create_default_context(cafile=tls.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.certificate is not None:
        context.load_cert_chain(tls.certificate, tls.key)
    return context


def _login(username: str, password: str) -> dict[str, Any]:
    return {"username": username or None, "password": password or None}
