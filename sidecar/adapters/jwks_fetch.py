"""One fetch of one document, over HTTP or from a file: bounded in time and in size.

What comes back is bytes that nobody has parsed. A redirect is never followed, because whoever
answers would choose where our keys come from, or which inner address we ask.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import ssl
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from sidecar.adapters.jwks_skew import clock_skew
from sidecar.adapters.jwks_source import KeyLimits
from sidecar.ports import Clock

_HTTP_OK: Final = 200
_HTTP_NOT_MODIFIED: Final = 304
_FILE_FRESH_S: Final = 1.0  # a local read costs microseconds: an operator's edit counts at once
_MAX_AGE: Final = re.compile(r"""(?:^|[\s,])max-age="?([0-9]{1,9})""", re.IGNORECASE)
_NO_STORE: Final = re.compile(r"(?:^|[\s,])no-store\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked over HTTP, and how."""

    url: str = field(repr=False)
    version: str | None = None
    """What we have already: it need not be sent again."""
    past_caches: bool = False
    """Caches on the way are to make sure first (RFC 9111, section 5.2.1.4)."""
    tls: ssl.SSLContext | None = None
    """None: the authorities of the system."""
    token: str = field(default="", repr=False)
    """Sent as a bearer token; empty: none."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source answered."""

    document: bytes | None
    """None when it is the one that ``version`` was sent for."""
    version: str | None
    """The source's name for this state of the document (RFC 9110, section 8.8.3), if it has one."""
    fresh_s: float | None = None
    """For how long the source says that the answer holds, at least 1; None when it does not say."""
    skew_s: float | None = None
    """How far our clock is surely ahead of the source's; None when the source does not say."""


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


async def ask_url(
    session: aiohttp.ClientSession, ask: Ask, limits: KeyLimits, clock: Clock
) -> Fetched:
    """Ask for the document, unless it is still ``ask.version``. Raises ``FetchFailed``."""
    asking = session.get(
        ask.url,
        headers=_headers(ask),
        allow_redirects=False,
        auto_decompress=False,
        middlewares=(_ask_once,),
        ssl=True if ask.tls is None else ask.tls,
        timeout=aiohttp.ClientTimeout(total=limits.timeout_s),
    )
    asked_at = clock.monotonic()
    try:
        async with asking as response:
            received_at, round_trip_s = clock.now(), clock.monotonic() - asked_at
            skew_s = clock_skew(
                response.headers, received_at=received_at, round_trip_s=round_trip_s
            )
            return await _read(response, ask.version, limits.max_bytes, skew_s)
    except TimeoutError:
        raise FetchFailed(f"no answer within {limits.timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise FetchFailed(_reason(error)) from None


def _headers(ask: Ask) -> dict[str, str]:
    headers = {
        "Accept": "application/jwk-set+json, application/json",
        "Accept-Encoding": "identity",
    }
    if ask.version is not None:
        headers["If-None-Match"] = ask.version
    if ask.past_caches:
        headers["Cache-Control"] = "no-cache"
    if ask.token:
        headers["Authorization"] = f"Bearer {ask.token}"
    return headers


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


async def _read(
    response: aiohttp.ClientResponse, version: str | None, max_bytes: int, skew_s: float | None
) -> Fetched:
    fresh_s = _fresh_s(", ".join(response.headers.getall("Cache-Control", [])))
    etag = _version(response.headers.get("ETag"))
    if response.status == _HTTP_NOT_MODIFIED and version is not None:
        # It confirms another document than the one we have (RFC 9111, section 4.3.4).
        if etag is not None and etag.removeprefix("W/") != version.removeprefix("W/"):
            raise FetchFailed("status 304 for another version")
        return Fetched(None, version, fresh_s, skew_s)
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
    return Fetched(bytes(document), etag, fresh_s, skew_s)


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
            document = await asyncio.to_thread(read_file, path, limits.max_bytes)
    except OSError as error:  # a timeout is one
        raise FetchFailed(f"{path}: {error.strerror or type(error).__name__}") from None
    digest = hashlib.sha256(document).hexdigest()
    return Fetched(None if digest == version else document, digest, _FILE_FRESH_S)


def read_file(path: Path, max_bytes: int) -> bytes:
    """Read a regular file in a thread. Raises ``FetchFailed`` for others, and ``OSError``."""
    # Opening a pipe would hold this thread until somebody writes, beyond any timeout.
    if not stat.S_ISREG(path.stat().st_mode):
        raise FetchFailed(f"{path}: not a regular file")
    with path.open("rb") as file:
        document = file.read(max_bytes + 1)
    if len(document) > max_bytes:
        raise FetchFailed(f"{path}: more than {max_bytes} bytes")
    return document
