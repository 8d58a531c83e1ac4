"""``IssuerKeys`` for tests, with time in the test's hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sidecar.adapters.jwks import IssuerKeys, KeyLimits, KeySetStatus, KeySource
from sidecar.core.model import Key
from tests.fakes_keys import FakeTime
from tests.jwks_server import JwksServer

ISSUER = "https://issuer.example"
EDDSA = frozenset({"EdDSA"})
WELL_KNOWN = "/.well-known/openid-configuration"
LIMITS = KeyLimits(
    refresh_s=60, max_age_s=3600, timeout_s=5, cooldown_s=10, wait_s=5, max_skew_s=None
)


class Client:
    """The adapter over sources; ``find`` and ``status`` mean the source that ``at`` makes."""

    def __init__(self, *sources: KeySource, limits: KeyLimits, random: float) -> None:
        self.time = FakeTime()
        self.keys = IssuerKeys(
            sources, limits, self.time, random=lambda: random, sleep=self.time.sleep
        )

    async def find(
        self, kid: str | None = "a", issuer: str = ISSUER, within: float = 5
    ) -> Key | None:
        return await self.keys.find(issuer, kid, deadline=self.time.monotonic() + within)

    @property
    def status(self) -> KeySetStatus:
        return self.keys.status()["main"]


@asynccontextmanager
async def client_of(
    *sources: KeySource, limits: KeyLimits = LIMITS, random: float = 1.0
) -> AsyncIterator[Client]:
    client = Client(*sources, limits=limits, random=random)
    await client.keys.start()
    try:
        await client.time.asleep(len(sources))
        yield client
    finally:
        await client.keys.close()


def at(server: JwksServer, issuer: str = ISSUER, name: str = "main", **members: Any) -> KeySource:
    place = {} if "discovery" in members else {"url": server.url}
    return KeySource(issuer, name, EDDSA, **(place | members))


def metadata(jwks_uri: Any, issuer: Any = ISSUER, **members: Any) -> bytes:
    """An issuer's discovery document."""
    return json.dumps({"issuer": issuer, "jwks_uri": jwks_uri, **members}).encode()
