"""One fetch of one issuer's JWK Set, over HTTP or from a file: bounded in time and in size.

What comes back is bytes that nobody has parsed. A redirect is never followed, because whoever
answers would choose where our keys come from, or which inner address we ask.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

_HTTP_OK: Final = 200
_HTTP_NOT_MODIFIED: Final = 304
_FILE_FRESH_S: Final = 1.0  # a local read costs microseconds: an operator's edit counts at once
_MAX_AGE: Final = re.compile(r"""(?:^|[\s,])max-age="?([0-9]{1,9})""", re.IGNORECASE)
_NO_STORE: Final = re.compile(r"(?:^|[\s,])no-store\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where one issuer publishes its keys: exactly one of ``url`` and ``file``."""

    issuer: str
    """The exact ``iss``."""
    name: str
    """The operator's short name, for metrics and messages."""
    algorithms: frozenset[str]
    url: str | None = None
    file: Path | None = None

    def __post_init__(self) -> None:
        if (self.url is None) == (self.file is None):
            raise ValueError(f"issuer {self.name}: give its keys either a url or a file")


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How long keys are trusted, and what a fetch of them may cost; times in seconds."""

    refresh_s: float = 60.0
    """The longest time between two fetches: a withdrawn key is trusted no longer."""
    max_age_s: float = 3600.0
    """For how long keys hold that could not be fetched again. An hour is time enough to repair an
    issuer, and bounds what is won by one who has stolen a key and keeps us from its withdrawal."""
    timeout_s: float = 2.0
    """For one whole fetch, from the look-up of the name to the last byte."""
    cooldown_s: float = 10.0
    """The time after a fetch that callers brought about in which they bring about no other."""
    wait_s: float = 0.3
    """How long a caller waits for such a fetch; 0 or less: it goes on for the next one."""
    max_bytes: int = 262_144

    def __post_init__(self) -> None:
        if min(self.refresh_s, self.timeout_s, self.cooldown_s, self.max_bytes) <= 0:
            raise ValueError("refresh_s, timeout_s, cooldown_s and max_bytes must be above zero")
        if self.max_age_s <= self.refresh_s:
            raise ValueError("max_age_s must be above refresh_s: keys would expire while in order")


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source answered."""

    document: bytes | None
    """None when it is the one that ``version`` was sent for."""
    version: str | None
    """The source's name for this state of the document (RFC 9110, section 8.8.3), if it has one."""
    fresh_s: float | None = None
    """For how long the source says that the answer holds, at least 1; None when it does not say."""


class FetchFailed(Exception):  # noqa: N818 - it says what happened
    """No document. The message says why, without the URL: that may hold a password."""


def open_session() -> aiohttp.ClientSession:
    """Make a session that remembers nothing between two fetches; call it in a running loop.

    It keeps no connections (at one fetch a minute, a kept one is mostly a dead one) and no
    cookies, takes no proxy from the environment, and lets no issuer wait for another.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True, limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


async def fetch_url(
    session: aiohttp.ClientSession, url: str, version: str | None, limits: KeyLimits
) -> Fetched:
    """Ask for the document, unless it is still ``version``. Raises ``FetchFailed``."""
    headers = {
        "Accept": "application/jwk-set+json, application/json",
        "Accept-Encoding": "identity",
    }
    if version is not None:
        headers["If-None-Match"] = version
    asking = session.get(
        url,
        headers=headers,
        allow_redirects=False,
        auto_decompress=False,
        middlewares=(_ask_once,),
        timeout=aiohttp.ClientTimeout(total=limits.timeout_s),
    )
    try:
        async with asking as response:
            return await _read(response, version, limits.max_bytes)
    except TimeoutError:
        raise FetchFailed(f"no answer within {limits.timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchFailed(_reason(error)) from None


async def _ask_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # The session asks a second time when a server hangs up, but not after an error of ours.
    try:
        return await handler(request)
    except aiohttp.ClientError as error:
        raise FetchFailed(_reason(error)) from None


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error}"
    return type(error).__name__  # their texts hold URLs


async def _read(response: aiohttp.ClientResponse, version: str | None, max_bytes: int) -> Fetched:
    fresh_s = _fresh_s(", ".join(response.headers.getall("Cache-Control", [])))
    if response.status == _HTTP_NOT_MODIFIED and version is not None:
        return Fetched(None, version, fresh_s)
    if response.status != _HTTP_OK:
        raise FetchFailed(f"status {response.status}")
    # What unpacks to more than it weighs would get past the limit on bytes.
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchFailed("a compressed answer, which was not asked for")
    document = bytearray()
    async for chunk in response.content.iter_any():
        document += chunk
        if len(document) > max_bytes:
            raise FetchFailed(f"more than {max_bytes} bytes")
    return Fetched(bytes(document), _version(response.headers.get("ETag")), fresh_s)


def _version(etag: str | None) -> str | None:
    """Take an ETag only if it can be sent back as it is."""
    return etag if etag and etag.isascii() and etag.isprintable() else None


def _fresh_s(cache_control: str) -> float | None:
    """Read ``max-age`` (RFC 9111, section 5.2.2.1); what may not be stored has none."""
    stated = _MAX_AGE.search(cache_control)
    if stated is None or _NO_STORE.search(cache_control):
        return None
    return float(stated[1]) or None


async def fetch_file(path: Path, version: str | None, limits: KeyLimits) -> Fetched:
    """Read the file, whatever its modification time says. Raises ``FetchFailed``."""
    try:
        async with asyncio.timeout(limits.timeout_s):
            document = await asyncio.to_thread(_read_file, path, limits.max_bytes)
    except OSError as error:  # a timeout is one
        raise FetchFailed(f"{path}: {error.strerror or type(error).__name__}") from None
    digest = hashlib.sha256(document).hexdigest()
    return Fetched(None if digest == version else document, digest, _FILE_FRESH_S)


def _read_file(path: Path, max_bytes: int) -> bytes:
    # Opening a pipe would hold this thread until somebody writes, beyond any timeout.
    if not stat.S_ISREG(path.stat().st_mode):
        raise FetchFailed(f"{path}: not a regular file")
    with path.open("rb") as file:
        document = file.read(max_bytes + 1)
    if len(document) > max_bytes:
        raise FetchFailed(f"{path}: more than {max_bytes} bytes")
    return document
