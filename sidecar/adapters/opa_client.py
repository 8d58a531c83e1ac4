"""HTTP to one local OPA, bounded in size, with four outcomes that callers can tell apart.

Built on opa-python-client, which brings the address, the token's header and one request without
retries; docs/adr/0010 says what of it is not used, and why. Two clients exist side by side: one
keeps its connections, one makes a fresh connection for every request.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp
from opa_client.opa_async import AsyncOpaClient

MAX_ANSWER: Final = 256 * 1024
"""Bytes of an answer; what is larger is not read to its end."""

HTTP_OK: Final = 200

_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {"Accept-Encoding": "identity", "Content-Type": "application/json"}
)

# What the kernel says when nobody listens there. Anything else that keeps us from connecting (no
# free file descriptor, no memory) is our own trouble, and callers can bring that about.
_NOBODY_LISTENS: Final = frozenset(
    {errno.ECONNREFUSED, errno.ENOENT, errno.ENOTDIR, errno.ENOTSOCK, errno.EACCES, errno.EPERM}
)


class NobodyListensError(Exception):
    """The kernel refused the connection: no socket, or nobody behind it."""


class DisconnectedError(Exception):
    """The connection ended before the answer did, or what came back was no HTTP."""


class CannotConnectError(Exception):
    """This process could not open a connection; that says nothing about OPA."""


@dataclass(frozen=True, slots=True)
class OpaAddress:
    """Where OPA listens: a Unix socket, or ``host`` and ``port`` on loopback."""

    socket: Path | None = None
    host: str = "127.0.0.1"
    """An IPv4 or IPv6 address of loopback; questions and token travel in clear text."""
    port: int = 8181

    def __post_init__(self) -> None:
        if self.socket is None and not ip_address(self.host).is_loopback:
            raise ValueError(f"{self.host} is not loopback: OPA is asked in clear text")

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else f"http://{self.url_host}:{self.port}"

    @property
    def url_host(self) -> str:
        """The host as it stands in a URL (RFC 3986, section 3.2.2); a socket needs any name."""
        if self.socket is not None:
            return "opa"
        return f"[{self.host}]" if isinstance(ip_address(self.host), IPv6Address) else self.host


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. ``body`` is None when it is larger than ``MAX_ANSWER`` or compressed."""

    status: int
    body: bytes | None


class OpaClient(AsyncOpaClient):  # type: ignore[misc] # the library ships no types
    """One HTTP session to ``address``; ``keep`` says whether connections outlive a request.

    ``token`` is sent as bearer token; empty sends none. Time limits are the caller's.
    """

    _session: aiohttp.ClientSession | None

    def __init__(self, address: OpaAddress, *, token: str, keep: bool) -> None:
        port = 80 if address.socket is not None else address.port
        super().__init__(host=address.url_host, port=port, token=token or None, retries=0)
        self._address = address
        self._keep = keep

    async def open(self) -> None:
        """Make the session, once; nothing is sent. Needs a running loop."""
        if self._session is None:
            await self._init_session()

    async def close(self) -> None:
        """Close the session and its connections."""
        await self.close_connection()

    async def ask(self, path: str, body: bytes) -> Answer:
        """POST ``body`` to ``/v1/<path>``, a path with its query. Raises as ``_send``."""
        return await self._send("POST", f"{self.root_url}/{path}", body)

    async def knock(self) -> None:
        """``GET /health``: returns when OPA answers at all, whatever it says.

        An OPA that refuses or reports trouble is there, and its answers are refusals. Raises as
        ``_send``.
        """
        await self._send("GET", self.root_url.removesuffix("/v1") + "/health", None)

    async def _init_session(self) -> None:
        """Override for Unix sockets, and for a session that remembers nothing of its answers."""
        socket, closing = self._address.socket, not self._keep
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=closing)
            if socket is None
            else aiohttp.UnixConnector(str(socket), limit=0, force_close=closing),
            headers=self.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
        )

    async def _send(self, method: str, url: str, body: bytes | None) -> Answer:
        """One request. Raises the three exceptions of this module, none of which quotes it."""
        sending = self._request(method, url, data=body, headers=_HEADERS, allow_redirects=False)
        try:
            async with sending as response:
                return await _read(response)
        except aiohttp.ClientConnectorError as error:
            if error.os_error.errno in _NOBODY_LISTENS:
                raise NobodyListensError from None
            raise CannotConnectError from None
        except (aiohttp.ClientError, OSError, ValueError):
            raise DisconnectedError from None


async def _read(response: aiohttp.ClientResponse) -> Answer:
    body = bytearray()
    if response.headers.get("Content-Encoding", "identity") != "identity":
        response.close()
        return Answer(response.status, None)
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            response.close()  # the rest stays unread, and the connection is of no more use
            return Answer(response.status, None)
    return Answer(response.status, bytes(body))
