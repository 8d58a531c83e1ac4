"""The small files that settings name: passwords, tokens, and the keys of who signs the feed.

Read once, at load, so that a missing one is told with the place that names it and not by a refused
connection at night. What they hold is in no message and no ``repr``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecar.config.problem import Loc
from sidecar.config.redis_section import RedisSettings
from sidecar.config.settings import Settings
from sidecar.core.keyring import BadKeySet, parse_jwks

_LONGEST_SECRET: Final = 4096
_EDDSA: Final = frozenset({"EdDSA"})


@dataclass(frozen=True, slots=True)
class RedisPasswords:
    """Empty where there is none."""

    redis: str = field(default="", repr=False)
    sentinel: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Files:
    """What stands in the files that the settings name."""

    opa_token: str = field(default="", repr=False)
    redis: RedisPasswords = RedisPasswords()
    feed_keys: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)
    """By ``kid``."""


class _Reader:
    """Reads what is named; collects what cannot be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.misfits: list[tuple[Loc, str]] = []

    def secret(self, loc: Loc, name: str | None) -> str:
        """One line of visible ASCII; "" where nothing is named or it cannot be used."""
        raw = self.content(loc, name)
        text = raw.decode("ascii", "replace").removesuffix("\n").removesuffix("\r")
        if name is None or not raw:
            return ""
        if not text or len(text) > _LONGEST_SECRET or any(not "!" <= one <= "~" for one in text):
            self.misfits.append((loc, "must hold one line of visible ASCII characters"))
            return ""
        return text

    def feed_keys(self, loc: Loc, name: str | None) -> Mapping[str, Ed25519PublicKey]:
        """The Ed25519 keys of a JWK Set, by kid."""
        raw = self.content(loc, name)
        if not raw:
            return MappingProxyType({})
        try:
            ring = parse_jwks(raw, "feed", _EDDSA, None)
        except BadKeySet as error:
            self.misfits.append((loc, f"cannot be used: {error}"))
            return MappingProxyType({})
        if not ring.keys:
            self.misfits.append((loc, "cannot be used: its key has no kid"))
        return MappingProxyType({kid: key.public for kid, key in ring.keys.items()})

    def readable(self, loc: Loc, name: str | None) -> None:
        """Whether somebody else will be able to read it."""
        self.content(loc, name)

    def content(self, loc: Loc, name: str | None) -> bytes:
        if name is None:
            return b""
        try:
            content = (self._folder / name).read_bytes()
        except OSError as error:
            self.misfits.append((loc, f"cannot be read: {error.strerror}"))
            return b""
        if not content:
            self.misfits.append((loc, "must not be an empty file"))
        return content


def read_files(settings: Settings, folder: Path) -> tuple[Files, list[tuple[Loc, str]]]:
    """Read what ``settings`` name; paths are relative to ``folder``. What is wrong comes along."""
    reader, opa = _Reader(folder), settings.policy.opa
    files = Files(
        opa_token=reader.secret(("policy", "opa", "token_file"), opa.token_file if opa else None),
        redis=_passwords(settings.redis, reader),
        feed_keys=reader.feed_keys(("deny_list", "keys"), settings.deny_list.keys),
    )
    return files, reader.misfits


def read_passwords(
    redis: RedisSettings, folder: Path
) -> tuple[RedisPasswords, list[tuple[Loc, str]]]:
    """The same for a section ``redis`` alone."""
    reader = _Reader(folder)
    return _passwords(redis, reader), reader.misfits


def _passwords(redis: RedisSettings | None, reader: _Reader) -> RedisPasswords:
    if redis is None:
        return RedisPasswords()
    for loc, name in _certificates(redis):
        reader.readable(loc, name)
    sentinel = redis.sentinel
    return RedisPasswords(
        reader.secret(("redis", "password_file"), redis.password_file),
        reader.secret(
            ("redis", "sentinel", "password_file"), sentinel.password_file if sentinel else None
        ),
    )


def _certificates(redis: RedisSettings) -> Iterator[tuple[Loc, str | None]]:
    if redis.tls is not None:
        yield ("redis", "tls", "ca"), redis.tls.ca
        yield ("redis", "tls", "certificate"), redis.tls.certificate
        yield ("redis", "tls", "key"), redis.tls.key
