"""One source's document, wherever it stands: in a file, at a URL, or where its issuer says.

An issuer's discovery document names the URL of its keys. It may lead to its own host and to those
that the operator lists, and nowhere else: whoever could change it would choose our keys, or make
us ask an inner address. It is read at the first fetch, after one that failed, and every tenth
refresh period. While it cannot be had, the place that it named last holds for as long as keys do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import aiohttp
import structlog

from sidecar.adapters.jwks_access import Access, read_access
from sidecar.adapters.jwks_fetch import Ask, Fetched, FetchFailed, ask_url, fetch_file
from sidecar.adapters.jwks_source import KeyLimits, KeySource, private_url
from sidecar.core.strict_json import parse_object
from sidecar.ports import Clock

_REFRESHES_TO_A_DISCOVERY: Final = 10
_MAX_DEPTH: Final = 8
_MAX_URL: Final = 2048


class KeyFetcher:
    """Fetches one source's JWK Set, again and again; one fetch at a time.

    ``session`` gives what is asked with; ``open_session`` makes one.
    """

    def __init__(
        self,
        source: KeySource,
        limits: KeyLimits,
        clock: Clock,
        session: Callable[[], aiohttp.ClientSession],
    ) -> None:
        self._source = source
        self._limits = limits
        self._clock = clock
        self._session = session
        self._log = structlog.get_logger().bind(issuer=source.name)
        self._place: str | None = None
        self._placed_at = 0.0
        self._place_in_doubt = False
        self._version_of = ""

    async def fetch(self, version: str | None = None, *, past_caches: bool = False) -> Fetched:
        """Get the document, unless it is still ``version``. Raises ``FetchFailed``."""
        source = self._source
        if source.file is not None:
            return await fetch_file(source.file, version, self._limits)
        access = await read_access(source, timeout_s=self._limits.timeout_s)
        url = source.url or await self._discover(access)
        if url != self._version_of:
            version = None  # equal names for the states of two documents mean nothing
        fetched = await self._ask(url, access, version, past_caches=past_caches)
        self._version_of = url
        return fetched

    def doubt(self) -> None:
        """What was fetched last was nothing, or no good: the issuer may say another place now."""
        self._place_in_doubt = True

    async def _ask(
        self, url: str, access: Access, version: str | None = None, *, past_caches: bool
    ) -> Fetched:
        ask = Ask(url, version, past_caches, access.tls, access.token)
        return await ask_url(self._session(), ask, self._limits, self._clock)

    async def _discover(self, access: Access) -> str:
        now = self._clock.monotonic()
        period = _REFRESHES_TO_A_DISCOVERY * self._limits.refresh_s
        place, age = self._place, now - self._placed_at
        if place is not None and not self._place_in_doubt and age < period:
            return place
        try:
            answer = await self._ask(
                self._source.discovery or "", access, past_caches=self._place_in_doubt
            )
            named = read_discovery(answer.document or b"", self._source)
        except FetchFailed as failed:
            if place is None or age > period + self._limits.max_age_s:
                raise FetchFailed(f"discovery: {failed}") from None
            self._log.warning("keys_not_discovered", why=str(failed))
            return place
        self._place, self._placed_at, self._place_in_doubt = named, now, False
        return named


def read_discovery(document: bytes, source: KeySource) -> str:
    """Return the ``jwks_uri`` of an issuer's metadata (RFC 8414, sections 2 and 3.3).

    Raises ``FetchFailed`` when the metadata are another issuer's, and when the URL is one that
    this source does not lead to.
    """
    try:
        metadata = parse_object(document, max_depth=_MAX_DEPTH)
    except ValueError as error:
        raise FetchFailed(f"not a JSON object: {error}") from None
    if metadata.get("issuer") != source.issuer:
        raise FetchFailed("'issuer' is not the one that this source is for")
    place = metadata.get("jwks_uri")
    if not isinstance(place, str) or len(place) > _MAX_URL:
        raise FetchFailed(f"'jwks_uri' is not a string of at most {_MAX_URL} characters")
    try:
        host = private_url(place).raw_host
    except ValueError as error:
        raise FetchFailed(f"'jwks_uri' is {error}") from None
    own = private_url(source.discovery or "").raw_host
    if host is None or host not in {own, *map(str.lower, source.hosts)}:
        raise FetchFailed("'jwks_uri' leads to a host that is neither its own nor a listed one")
    return place
