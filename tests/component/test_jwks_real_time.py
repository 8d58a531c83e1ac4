"""The JWKS client under load, in real time: keys that rotate, and kids that nobody knows."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from aiohttp import web

from sidecar.adapters.jwks import IssuerKeys, KeyLimits, KeySource
from sidecar.adapters.verified_tokens import VerifiedTokens
from sidecar.clock import SystemClock
from sidecar.core import jws as compact
from sidecar.core import signature
from sidecar.core.model import Jws, SignedClaims
from tests.jwks_server import JwksServer
from tests.measured import Tell
from tests.tokens import ISSUER, Signer, make_token, signer

EDDSA = frozenset({"EdDSA"})
PER_SECOND = 500
REFRESH_S = 1.0
ROTATIONS = 4
LIMITS = KeyLimits(refresh_s=REFRESH_S, max_age_s=60, timeout_s=1, cooldown_s=0.5, wait_s=0.3)


@asynccontextmanager
async def keys_of(server: JwksServer, limits: KeyLimits) -> AsyncIterator[IssuerKeys]:
    source = KeySource(ISSUER, "main", EDDSA, url=server.url)
    keys = IssuerKeys([source], limits, SystemClock(), random=random.random)
    await keys.start()
    try:
        yield keys
    finally:
        await keys.close()


def published(*signers: Signer) -> bytes:
    return json.dumps({"keys": [one.jwk for one in signers]}).encode()


@dataclass(slots=True)
class Gate:
    """The way of a token: parsed, its key found, its signature checked; with and without memory."""

    keys: IssuerKeys
    tokens: VerifiedTokens = field(default_factory=lambda: VerifiedTokens(100, SystemClock().now))

    async def takes(self, token: bytes) -> bool:
        jws = self.tokens.parse(token)
        plain = compact.parse(token)
        assert isinstance(jws, Jws)
        assert isinstance(plain, Jws)
        key = await self.keys.find(ISSUER, jws.kid, deadline=time.monotonic() + 1)
        if key is None:
            return False
        proven = isinstance(signature.prove(plain, key), SignedClaims)
        assert proven == isinstance(self.tokens.prove(jws, key), SignedClaims)
        return proven


@dataclass(slots=True)
class Load:
    """Checks of every valid token in turn, at a steady rate, and of a removed one beside them."""

    gate: Gate
    valid: list[bytes]
    removed: bytes = b""
    """A token of a key that the issuer has removed; empty: none yet."""
    refreshed: bool = False
    """Whether the client has read the document since."""
    checked: int = 0
    refused: int = 0
    trusted_before_refresh: int = 0
    trusted_after_refresh: int = 0
    removed_checked: int = 0

    async def check_valid(self) -> None:
        began = time.monotonic()
        while True:
            due = int((time.monotonic() - began) * PER_SECOND)
            while self.checked < due:
                self.checked += 1
                token = self.valid[self.checked % len(self.valid)]
                self.refused += not await self.gate.takes(token)
            await asyncio.sleep(0.002)

    async def check_removed(self) -> None:
        while True:
            await asyncio.sleep(0.005)
            if self.removed:
                self.removed_checked += 1
                refreshed = self.refreshed  # before the check: what it waits for may change that
                trusted = await self.gate.takes(self.removed)
                self.trusted_after_refresh += trusted and refreshed
                self.trusted_before_refresh += trusted and not refreshed


async def read(keys: IssuerKeys, document: bytes) -> float:
    """Wait until the client has read the document; return for how long."""
    began = time.monotonic()
    while keys.document("main") != document:  # noqa: ASYNC110 - the client tells nobody
        await asyncio.sleep(0.002)
    return time.monotonic() - began


async def test_rotation_with_overlap_refuses_no_valid_token_and_trusts_no_removed_key(
    tell: Tell,
) -> None:
    """Through four rotations at 500 checks a second: a key counts when, and while, it should.

    Every valid token passes, by its own signature; a removed key is trusted for one refresh.
    """
    waits: list[float] = []
    old = signer(name="rotation-0")
    async with JwksServer(published(old)) as server, keys_of(server, LIMITS) as keys:
        load = Load(Gate(keys), [make_token(by=old)])
        began = time.monotonic()
        running = asyncio.gather(load.check_valid(), load.check_removed())
        for number in range(1, ROTATIONS + 1):
            new = signer(name=f"rotation-{number}")
            server.document = published(old, new)  # published ahead of its first use
            waits.append(await read(keys, server.document))
            load.valid = [make_token(by=old), make_token(by=new)]
            await asyncio.sleep(0.5)
            load.valid = [make_token(by=new)]
            load.refreshed = False
            server.document = published(new)
            load.removed = make_token(by=old)
            waits.append(await read(keys, server.document))
            load.refreshed = True
            await asyncio.sleep(0.5)
            old = new
        rate = load.checked / (time.monotonic() - began)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    tell("checks of valid tokens", load.checked)
    tell("of these in a second", round(rate))
    tell("of these refused", load.refused)
    tell("checks of removed keys' tokens", load.removed_checked)
    tell("of these passed before the refresh", load.trusted_before_refresh)
    tell("of these passed after the refresh", load.trusted_after_refresh)
    tell("longest time to the refresh, s", round(max(waits), 3))
    assert rate > 0.8 * PER_SECOND
    assert load.refused == 0
    assert load.removed_checked > 0
    assert load.trusted_after_refresh == 0
    assert max(waits) <= REFRESH_S + LIMITS.timeout_s


async def test_storm_of_random_kids_costs_one_fetch_in_a_cooldown_and_delays_nobody(
    tell: Tell,
) -> None:
    """10,000 kids from 50 callers, a slow issuer: fetches keep their distance, all others pass.

    Whoever has a valid kid is answered without giving way once.
    """
    limits = KeyLimits(refresh_s=60, max_age_s=3600, timeout_s=5, cooldown_s=0.1, wait_s=0.3)
    good = signer(name="storm")
    arrived: list[float] = []

    async def slow(_: web.Request) -> web.StreamResponse:
        arrived.append(time.monotonic())
        await asyncio.sleep(0.05)
        return web.Response(body=published(good))

    async def guess(keys: IssuerKeys) -> int:
        found = 0
        for _ in range(200):
            kid = secrets.token_hex(16)
            found += await keys.find(ISSUER, kid, deadline=time.monotonic() + 1) is not None
            await asyncio.sleep(0.005)
        return found

    async with JwksServer() as server:
        server.answer = slow
        async with keys_of(server, limits) as keys:
            began = time.monotonic()
            storm = asyncio.gather(*(guess(keys) for _ in range(50)))
            took: list[float] = []
            while not storm.done():
                took.append(answer_at_once(keys, good.kid))
                await asyncio.sleep(0.001)
            lasted = time.monotonic() - began
            found = await storm

    gaps = [after - before for before, after in pairwise(arrived[1:])]
    tell("fetches", len(arrived) - 1)
    tell("storm, s", round(lasted, 2))
    tell("shortest time between two fetches, s", round(min(gaps), 3))
    tell("valid kids answered meanwhile", len(took))
    tell("longest of these answers, ms", round(max(took) * 1e3, 3))
    assert sum(found) == 0
    assert min(gaps) >= limits.cooldown_s
    assert len(arrived) - 2 <= lasted / limits.cooldown_s
    assert len(took) > 0


def answer_at_once(keys: IssuerKeys, kid: str) -> float:
    """Seconds that the answer took; the coroutine must end at its first step."""
    began = time.perf_counter()
    with pytest.raises(StopIteration) as answer:
        keys.find(ISSUER, kid, deadline=0).send(None)
    took = time.perf_counter() - began
    assert answer.value.value.kid == kid
    return took
