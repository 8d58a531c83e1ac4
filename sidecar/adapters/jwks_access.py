"""What an issuer must show to be believed, and what we show to be let in: read at each fetch.

Both rotate under a running sidecar: Kubernetes puts a new token and, at times, a new authority
into the same files.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sidecar.adapters.jwks_fetch import FetchFailed, read_file
from sidecar.adapters.jwks_source import KeySource

_MAX_CA_BYTES: Final = 1_048_576
_MAX_TOKEN_BYTES: Final = 16_384
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1


@dataclass(frozen=True, slots=True)
class Access:
    """How to ask one source now."""

    tls: ssl.SSLContext | None = None
    """None: the authorities of the system."""
    token: str = field(default="", repr=False)


async def read_access(source: KeySource, *, timeout_s: float) -> Access:
    """Read the source's files. Raises ``FetchFailed``, which names the file and nothing in it."""
    if source.ca_file is None and source.token_file is None:
        return Access()
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.to_thread(_read, source)
    except TimeoutError:
        raise FetchFailed("no ca_file or token_file in time") from None


def _read(source: KeySource) -> Access:
    return Access(
        tls=None if source.ca_file is None else _tls(source.ca_file),
        token="" if source.token_file is None else _token(source.token_file),
    )


def _tls(file: Path) -> ssl.SSLContext:
    # Not ``create_default_context``: given an empty file, that trusts the system's authorities.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # What stands between certificates is for people, and may be in any language.
        context.load_verify_locations(
            cadata=_content(file, _MAX_CA_BYTES).decode("ascii", "ignore")
        )
    except (ssl.SSLError, ValueError):
        raise FetchFailed(f"ca_file {file}: no PEM certificate, or a broken one") from None
    return context


def _token(file: Path) -> str:
    token = _content(file, _MAX_TOKEN_BYTES).strip().decode("ascii", "replace")
    if not _TOKEN.fullmatch(token):
        raise FetchFailed(f"token_file {file}: not a bearer token")
    return token


def _content(file: Path, max_bytes: int) -> bytes:
    try:
        return read_file(file, max_bytes)
    except OSError as error:
        raise FetchFailed(f"{file}: {error.strerror or type(error).__name__}") from None
