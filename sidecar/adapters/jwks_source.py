"""Where issuers publish their keys, and what asking for them may cost."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from sidecar.core.jwk import SIGNATURES


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where one issuer publishes its keys: exactly one of ``url``, ``file`` and ``discovery``.

    Raises ``ValueError`` for no place or two, and for a way on which others could read the token
    or choose the keys.
    """

    issuer: str
    """The exact ``iss``."""
    name: str
    """The operator's short name, for metrics and messages."""
    algorithms: frozenset[str]
    url: str | None = None
    file: Path | None = None
    discovery: str | None = None
    """The URL of the document that names the keys' URL as ``jwks_uri`` (RFC 8414, section 3;
    OpenID Connect Discovery 1.0, section 4)."""
    hosts: frozenset[str] = frozenset()
    """Where that URL may lead to besides the host of ``discovery``: names or IP addresses."""
    ca_file: Path | None = None
    """PEM certificates, read at each fetch: TLS then trusts these authorities and no others."""
    token_file: Path | None = None
    """A bearer token for whoever is asked (RFC 6750), read at each fetch because it rotates."""
    uses: frozenset[str] = SIGNATURES
    """The ``use`` of the keys that count; SPIFFE publishes ``jwt-svid``."""

    def __post_init__(self) -> None:
        if [self.url, self.file, self.discovery].count(None) != 2:  # noqa: PLR2004 - of three
            raise ValueError(f"issuer {self.name}: give its keys either a url, file or discovery")
        if self.file is not None and (self.ca_file or self.token_file):
            raise ValueError(f"issuer {self.name}: a file needs neither a ca_file nor a token_file")
        asked = self.url if self.token_file else None
        asked = asked if self.discovery is None else self.discovery
        if asked is not None:
            try:
                private_url(asked)
            except ValueError as error:
                raise ValueError(f"issuer {self.name}: {error}") from None


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How long keys are trusted, and what a fetch of them may cost; times in seconds."""

    refresh_s: float = 60.0
    """The longest time between two fetches: a withdrawn key is trusted no longer."""
    max_age_s: float = 3600.0
    """For how long keys hold that could not be fetched again. An hour is time enough to repair an
    issuer, and bounds what is won by one who has stolen a key and keeps us from its withdrawal."""
    timeout_s: float = 2.0
    """For one whole request, from the look-up of the name to the last byte. A fetch is one; where
    the place of the keys must be discovered it is two."""
    cooldown_s: float = 10.0
    """The time after a fetch that callers brought about in which they bring about no other."""
    wait_s: float = 0.3
    """How long a caller waits for such a fetch; 0 or less: it goes on for the next one."""
    max_bytes: int = 262_144
    max_skew_s: float | None = 5.0
    """How far an issuer's clock and ours may surely differ before its tokens' dates mean nothing;
    None: as far as they like."""

    def __post_init__(self) -> None:
        if min(self.refresh_s, self.timeout_s, self.cooldown_s, self.max_bytes) <= 0:
            raise ValueError("refresh_s, timeout_s, cooldown_s and max_bytes must be above zero")
        if self.max_age_s <= self.refresh_s:
            raise ValueError("max_age_s must be above refresh_s: keys would expire while in order")
        if self.max_skew_s is not None and self.max_skew_s <= 0:
            raise ValueError("max_skew_s must be above zero, or None")


def private_url(text: str) -> URL:
    """Read a URL on whose way nobody reads or changes anything: ``https``, or our own loopback.

    Raises ``ValueError``, without the URL, for every other one; also for one with a user, a
    password or a fragment. A name is never taken for loopback: whoever answers for it decides.
    """
    try:
        url = URL(text)
    except ValueError:
        raise ValueError("not a URL") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise ValueError("not an https URL")
    if url.user is not None or url.password is not None or "#" in text:
        raise ValueError("a URL with a user, a password or a fragment")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise ValueError("a URL that is neither https nor http to a loopback address")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
