"""Where the sidecar listens and what it fetches: parsed strictly, so that nothing opens by typo.

A check's markers are trusted, so only the Envoy of the same host or pod may bring checks: a Unix
socket or a loopback address. A JWKS decides who is trusted, so it comes over TLS, except from this
very host.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from sidecar.config.explain import broken_rule

_SCHEME: Final = "unix:"
_LONGEST_SOCKET_PATH: Final = 107
"""Bytes in ``sockaddr_un.sun_path`` on Linux, less the final NUL (unix(7))."""
_LARGEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class UnixSocket:
    """A Unix socket; a relative path is relative to the working directory."""

    path: PurePosixPath

    def __str__(self) -> str:
        return f"{_SCHEME}{self.path}"


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """An IP address and a port; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


ListenAddress: TypeAlias = UnixSocket | TcpAddress


def parse_listen(text: object) -> ListenAddress:
    """``unix:PATH``, ``127.0.0.1:PORT`` or ``[::1]:PORT``; anything else breaks a rule."""
    return _beside(
        text, "a check's markers are trusted, so only the Envoy beside the sidecar may reach it"
    )


def parse_beside(text: object) -> ListenAddress:
    """As ``parse_listen``, for a program that the sidecar asks without TLS."""
    return _beside(text, "it is asked without TLS, so it has to run beside the sidecar")


def _beside(text: object, why: str) -> ListenAddress:
    if isinstance(text, str) and text.startswith(_SCHEME):
        return UnixSocket(parse_socket_path(text.removeprefix(_SCHEME)))
    address = parse_tcp(text)
    if address.host not in {"127.0.0.1", "::1"}:
        raise broken_rule(f"must be unix:PATH, 127.0.0.1:PORT or [::1]:PORT: {why}")
    return address


def parse_tcp(text: object) -> TcpAddress:
    """``IPv4:PORT`` or ``[IPv6]:PORT``; a name breaks the rule, because it may resolve anywhere."""
    form = broken_rule("must be an IP address and a port, such as 127.0.0.1:10004 or [::1]:10004")
    host, colon, port = str(text).rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise form from None
    digits = port.isascii() and port.isdecimal() and len(port) <= len(str(_LARGEST_PORT))
    if not isinstance(text, str) or not colon or (address.version == 6) != bracketed or not digits:  # noqa: PLR2004 - IPv6
        raise form
    if int(port) > _LARGEST_PORT:
        raise form
    return TcpAddress(str(address), int(port))


def parse_socket_path(text: object) -> PurePosixPath:
    """The path of a Unix socket."""
    if not isinstance(text, str) or not text or "\0" in text:
        raise broken_rule("must be the path of a Unix socket")
    if len(text.encode()) > _LONGEST_SOCKET_PATH:
        raise broken_rule(f"must have at most {_LONGEST_SOCKET_PATH} bytes: longer cannot be bound")
    return PurePosixPath(text)


def parse_file_path(text: object) -> PurePosixPath:
    """The path of a file that the sidecar keeps."""
    if not isinstance(text, str) or not text or not text.isprintable():
        raise broken_rule("must be the path of a file")
    return PurePosixPath(text)


def check_jwks_url(text: str) -> str:
    """An ``https`` URL, or ``http`` to a loopback address; without user, password or fragment."""
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise broken_rule("must be a URL of visible ASCII characters")
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        raise broken_rule("must be a URL") from None
    if url.scheme not in {"http", "https"} or not host or port == 0:
        raise broken_rule("must be an https URL")
    if "@" in url.netloc:
        raise broken_rule("must not hold a user or password")
    if "#" in text:
        raise broken_rule("must not have a fragment")
    if url.scheme == "http" and not is_loopback(host):
        raise broken_rule(
            "must be https, or http to 127.0.0.1 or [::1]: who can change these keys "
            "on their way can sign any token"
        )
    return text


def is_loopback(host: str) -> bool:
    """Whether a host, given as an IP address, is this very machine; a name never is."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
