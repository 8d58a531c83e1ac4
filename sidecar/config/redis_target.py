"""The section on Redis as what an adapter connects to; needs the extra ``redis``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sidecar.adapters.redis_link import RedisTarget, RedisTls
from sidecar.config.address import UnixSocket
from sidecar.config.files import RedisPasswords
from sidecar.config.redis_section import HostAddress, RedisSettings, SentinelSettings, TlsSettings


def redis_target(settings: RedisSettings, passwords: RedisPasswords, folder: Path) -> RedisTarget:
    """Where to connect, and as whom; files are relative to ``folder``."""
    as_whom = partial(
        RedisTarget,
        db=settings.database,
        username=settings.username or "",
        password=passwords.redis,
        tls=None if settings.tls is None else _tls(settings.tls, folder),
    )
    match settings:
        case RedisSettings(address=UnixSocket(path)):
            return as_whom(socket=Path(path))
        case RedisSettings(address=HostAddress(host, port)):
            return as_whom(host=host, port=port)
        case RedisSettings(sentinel=SentinelSettings() as sentinel):
            return as_whom(
                sentinels=tuple((one.host, one.port) for one in sentinel.addresses),
                service=sentinel.service,
                sentinel_username=sentinel.username or "",
                sentinel_password=passwords.sentinel,
            )
        case _:
            raise ValueError("neither an address nor a sentinel")  # the section's own rule


def _tls(settings: TlsSettings, folder: Path) -> RedisTls:
    def found(name: str | None) -> Path | None:
        return None if name is None else folder / name

    return RedisTls(
        ca=found(settings.ca),
        certificate=found(settings.certificate),
        key=found(settings.key),
        server_name=settings.server_name or "",
    )
