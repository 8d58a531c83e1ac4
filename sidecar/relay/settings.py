"""The relay's settings file: every key that an operator may set; ``docs/revocation.md`` has one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, PlainValidator

from sidecar.config.address import parse_socket_path
from sidecar.config.explain import not_empty, validated
from sidecar.config.files import RedisPasswords, read_passwords
from sidecar.config.grammar import Exact, File
from sidecar.config.problem import ConfigurationError, Loc, Problem
from sidecar.config.redis_section import RedisSettings
from sidecar.config.shape import Shown, StrictModel
from sidecar.config.yaml_source import Document, read_yaml
from sidecar.core.feed_wire import FeedKeys
from sidecar.relay.keys import KeyFileError, Signer, read_public, read_signer

T = TypeVar("T")

_Here = Annotated[
    PurePosixPath,
    PlainValidator(parse_socket_path),
    Shown("path, relative to the working directory"),
]


class RelayIssuer(StrictModel):
    """An issuer whose tokens may be revoked here."""

    issuer: Exact
    """The exact `iss`."""
    tenants: Annotated[frozenset[Exact], AfterValidator(not_empty)]
    """Its tenants."""


class RelaySettings(StrictModel):
    """The whole file."""

    version: Literal[1]
    """Version of this file's format."""
    socket: _Here = PurePosixPath("relay.sock")
    """The Unix socket of the deny commands."""
    journal: _Here
    """What was revoked; must survive restarts. Whoever can write it can lift a revocation."""
    key: File
    """The private key that signs the feed, from `scopegate deny keygen`."""
    keys: File
    """The public keys that the sidecars have, a JWK Set; the one of `key` is among them."""
    feed: Exact = "scopegate:deny"
    """The feed's name."""
    redis: RedisSettings
    """Where it is published."""
    issuers: Annotated[tuple[RelayIssuer, ...], AfterValidator(not_empty)]
    """Of whom tokens may be revoked; anything else is a typo."""
    capacity: Annotated[int, Field(gt=0, le=1_000_000)] = 100_000
    """Entries; not more than `deny_list.capacity` of any sidecar."""
    log: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged, on standard error."""


@dataclass(frozen=True, slots=True)
class RelayConfiguration:
    """Settings, and what stands in the files that they name."""

    settings: RelaySettings
    folder: Path
    """Where the settings file is: the files that it names are relative to this."""
    signer: Signer
    keys: FeedKeys
    passwords: RedisPasswords = field(repr=False)

    @property
    def tenants(self) -> Mapping[str, frozenset[str]]:
        """Of each issuer, by exact ``iss``."""
        return MappingProxyType({one.issuer: one.tenants for one in self.settings.issuers})


def load_relay(path: Path) -> RelayConfiguration:
    """Read the settings at ``path``. Raises ``ConfigurationError`` with every problem."""
    document = _document(path)
    settings = validated(RelaySettings, document.data, document.origin)
    misfits: list[tuple[Loc, str]] = list(_repeated_issuers(settings))
    signer = _read(misfits, "key", lambda: read_signer(path.parent / settings.key))
    keys = _read(misfits, "keys", lambda: read_public(path.parent / settings.keys))
    passwords, unread = read_passwords(settings.redis, path.parent)
    misfits += unread
    if signer is not None and keys is not None:
        if signer.kid in keys and not misfits:
            return RelayConfiguration(settings, path.parent, signer, keys, passwords)
        if signer.kid not in keys:
            misfits.append((("keys",), "does not hold the key that signs: nobody would believe it"))
    raise ConfigurationError(tuple(document.origin.problem(*one) for one in misfits))


def _document(path: Path) -> Document:
    try:
        return read_yaml(path, str(path))
    except OSError as error:
        said = f"cannot be read: {error.strerror or type(error).__name__}"
        raise ConfigurationError((Problem(str(path), None, "", said),)) from error


def _read(misfits: list[tuple[Loc, str]], setting: str, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except KeyFileError as error:
        misfits.append(((setting,), str(error)))
        return None


def _repeated_issuers(settings: RelaySettings) -> Iterator[tuple[Loc, str]]:
    seen: set[str] = set()
    for index, one in enumerate(settings.issuers):
        if one.issuer in seen:
            yield ("issuers", index, "issuer"), "is given twice"
        seen.add(one.issuer)
