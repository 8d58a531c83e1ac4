"""Keys for tests: time that a test moves, JWKs made on the spot, and a ``ports.Keys`` in memory."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from contextlib import suppress
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.adapters.jwks import KeyLimits
from sidecar.core.keyring import BadKeySet, KeyRing, parse_jwks
from sidecar.core.model import Dependency, Key, Unavailable
from sidecar.ports import Clock

ALL_ALGORITHMS = frozenset({"EdDSA", "ES256", "RS256", "PS256"})


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def private_key(seed: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(seed.encode()).digest())


def jwk(kid: str | None, seed: str = "", **members: Any) -> dict[str, Any]:
    """A public Ed25519 JWK; the same kid or seed makes the same key."""
    raw = private_key(seed or str(kid)).public_key().public_bytes_raw()
    made = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "x": base64url(raw)}
    return made | ({} if kid is None else {"kid": kid}) | members


def jwks(*keys: dict[str, Any] | str) -> bytes:
    """A JWK Set; a string stands for ``jwk`` of that kid."""
    published = [jwk(key) if isinstance(key, str) else key for key in keys]
    return json.dumps({"keys": published}).encode()


class FakeTime:
    """A clock, and a ``sleep`` that ends when a test says so."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        """Every duration that somebody asked to sleep, in order."""
        self._seconds = 1_000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self._somebody_fell_asleep = asyncio.Condition()

    def now(self) -> float:
        return 1_800_000_000.0 + self._seconds

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        sleeper = asyncio.get_running_loop().create_future()
        self.slept.append(seconds)
        self._sleepers.append((self._seconds + seconds, sleeper))
        async with self._somebody_fell_asleep:
            self._somebody_fell_asleep.notify_all()
        await sleeper

    async def asleep(self, count: int) -> None:
        """Wait until so many tasks sleep."""
        async with self._somebody_fell_asleep:
            await self._somebody_fell_asleep.wait_for(lambda: len(self._sleepers) >= count)

    def pass_by(self, seconds: float) -> None:
        """Move the clock and wake nobody: the schedule is late."""
        self._seconds += seconds

    async def advance(self, seconds: float) -> None:
        """Move the clock, and wait until everybody whom that wakes sleeps again."""
        self._seconds += seconds
        asleep = len(self._sleepers)
        due = [sleeper for until, sleeper in self._sleepers if until <= self._seconds]
        self._sleepers = [one for one in self._sleepers if one[1] not in due]
        for sleeper in due:
            sleeper.set_result(None)
        await self.asleep(asleep)


class FakeKeys:
    """``ports.Keys`` over documents that a test publishes; an issuer without one is down."""

    def __init__(self, clock: Clock, limits: KeyLimits | None = None) -> None:
        self._clock = clock
        self._limits = limits or KeyLimits()
        self._published: dict[str, bytes | None] = {}
        self._rings: dict[str, tuple[KeyRing, float]] = {}
        self._cool_at: dict[str, float] = {}

    def publish(self, issuer: str, document: bytes | None) -> None:
        """From the next fetch on, this is what the issuer answers; None: nothing."""
        self._published[issuer] = document

    def refresh(self, issuer: str) -> None:
        """Fetch, as the schedule would."""
        before = self._rings[issuer][0] if issuer in self._rings else None
        with suppress(BadKeySet):
            ring = parse_jwks(self._published[issuer] or b"", issuer, ALL_ALGORITHMS, before)
            self._rings[issuer] = (ring, self._clock.monotonic())

    async def find(self, issuer: str, kid: str | None, *, deadline: float) -> Key | None:
        """See ``ports.Keys``; nothing here takes time, so no deadline passes."""
        del deadline
        if issuer not in self._published:
            return None
        key = self._ring(issuer).find(kid)
        now = self._clock.monotonic()
        if key is None and kid is not None and now >= self._cool_at.get(issuer, now):
            self._cool_at[issuer] = now + self._limits.cooldown_s
            self.refresh(issuer)
        return self._ring(issuer).find(kid)

    def _ring(self, issuer: str) -> KeyRing:
        ring, confirmed_at = self._rings.get(issuer, (None, 0.0))
        if ring is None or self._clock.monotonic() - confirmed_at > self._limits.max_age_s:
            raise Unavailable(Dependency.KEYS, f"no usable keys of {issuer}")
        return ring
