"""The public keys of any number of issuers, fetched from where each publishes them.

A known kid is a dictionary look-up. Issuers share nothing but the HTTP session: one that is slow,
down or hostile costs the tokens of the others nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import aiohttp

from sidecar.adapters.jwks_fetch import open_session
from sidecar.adapters.jwks_locate import KeyFetcher
from sidecar.adapters.jwks_ring import IssuerRing, KeySetStatus
from sidecar.adapters.jwks_source import KeyLimits, KeySource
from sidecar.core.model import Key
from sidecar.ports import Clock

__all__ = ["IssuerKeys", "KeyLimits", "KeySetStatus", "KeySource"]


class IssuerKeys:
    """``ports.Keys`` over JWK Sets (RFC 7517) at URLs and in files.

    ``random`` gives floats in [0, 1) that spread the refreshes; ``sleep`` is the schedule's only
    way to wait. Raises ``ValueError`` when two sources share an issuer or a name.
    """

    def __init__(
        self,
        sources: Sequence[KeySource],
        limits: KeyLimits,
        clock: Clock,
        *,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        session: Callable[[], aiohttp.ClientSession] = open_session,
    ) -> None:
        self._limits = limits
        self._sleep = sleep
        self._open_session = session
        self._session: aiohttp.ClientSession | None = None
        self._refreshers: list[asyncio.Task[None]] = []
        self._by_issuer: dict[str, IssuerRing] = {}
        self._by_name: dict[str, IssuerRing] = {}
        for source in sources:
            if source.issuer in self._by_issuer or source.name in self._by_name:
                raise ValueError(f"issuer {source.name}: its name or its issuer stands there twice")
            fetcher = KeyFetcher(source, self._limits, clock, self._started)
            ring = IssuerRing(source, limits, clock, fetcher, random)
            self._by_issuer[source.issuer] = self._by_name[source.name] = ring

    async def start(self) -> None:
        """Fetch all keys once, at the same time, and keep them fresh from then on.

        An issuer that fails is tried again soon; until then its tokens are ``Unavailable``. One
        whose clock seems to differ from ours is asked a second time before anybody is answered.
        """
        self._session = self._open_session()
        rings = self._by_name.values()
        if rings:
            await asyncio.wait({ring.fly() for ring in rings})
        if doubted := {ring.fly() for ring in rings if ring.in_doubt}:
            await asyncio.wait(doubted)
        self._refreshers = [asyncio.create_task(ring.keep_fresh(self._sleep)) for ring in rings]

    async def close(self) -> None:
        """End every task and connection."""
        flights = [ring.fly() for ring in self._by_name.values() if ring.in_flight()]
        tasks = [*self._refreshers, *flights]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def find(self, issuer: str, kid: str | None, *, deadline: float) -> Key | None:
        """See ``ports.Keys``."""
        ring = self._by_issuer.get(issuer)
        if ring is None:
            return None
        key = ring.find(kid)
        if key is not None or kid is None:
            return key
        await ring.ask_again(deadline=deadline)
        return ring.find(kid)

    def ready(self) -> Mapping[str, bool]:
        """Whether there are usable keys and a clock like ours, by the issuers' names."""
        return {name: ring.ready for name, ring in self._by_name.items()}

    def status(self) -> Mapping[str, KeySetStatus]:
        """Measure every issuer's keys, by the issuers' names."""
        return {name: ring.status for name, ring in self._by_name.items()}

    def document(self, name: str) -> bytes | None:
        """Return the issuer's JWK Set as it was published, for Envoy's guard.

        None for an unknown name, and when the keys are not usable here either.
        """
        ring = self._by_name.get(name)
        return None if ring is None else ring.document

    def _started(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("not started")
        return self._session
