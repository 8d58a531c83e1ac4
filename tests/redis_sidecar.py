"""A sidecar's side of the shared ledger for tests: a client and a ledger, and tokens to claim."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from sidecar.adapters.redis_ledger import RedisLedger
from sidecar.adapters.redis_link import RedisTarget
from sidecar.core.model import Claim, Conflict, Dependency, Effects, Unavailable
from tests.redis_server import asking, eventually

TAG: Final = "{t}"
LIFE_S: Final = 600.0
"""How long a token of these tests may be used."""


@dataclass(frozen=True, slots=True)
class ShiftedClock:
    """The machine's clocks, with the wall clock so many seconds ahead."""

    ahead: float = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(slots=True)
class SteppingClock:
    """The same, and a test may step it."""

    ahead: float = 0.0

    def now(self) -> float:
        return time.time() + self.ahead

    def monotonic(self) -> float:
        return time.monotonic()


def token(
    key: str, *, owner: str = "o", issued: float = 0.0, until: float = LIFE_S, tag: str = TAG
) -> Claim:
    """A claim on a token that was issued, and ends, so many seconds from now."""
    now = time.time()
    row = Dependency.REPLAY_OF_SINGLE_USE_TOKEN
    return Claim(f"{tag}:jti:{key}", f"{tag}:agent:{owner}", now + until, row, now + issued)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One sidecar's ledger, over connections of its own."""

    ledger: RedisLedger
    clock: ShiftedClock | SteppingClock

    async def use(self, *claims: Claim, wait: float = 5.0) -> Conflict | None:
        """Commit, and wait at most so many seconds for it."""
        return await self.ledger.commit(
            Effects(claims), now=self.clock.now(), deadline=self.clock.monotonic() + wait
        )

    async def said(self, *claims: Claim, wait: float = 0.3) -> str:
        """What came of it, in a word: ``passed``, a conflict's value or ``unavailable``."""
        try:
            conflict = await self.use(*claims, wait=wait)
        except Unavailable:
            return "unavailable"
        return "passed" if conflict is None else conflict.value

    async def reached(self) -> None:
        """Wait until Redis is found well."""
        await eventually(lambda: self.ledger.reachable, "Redis is found well")


@asynccontextmanager
async def sidecar(
    target: RedisTarget,
    *,
    clock_ahead: float = 0.0,
    clock: SteppingClock | None = None,
    per_owner: int = 10_000,
    pins_per_owner: int = 10_000,
    waiting: int = 512,
    ahead: float = 0.0,
    timeout: float = 0.25,  # noqa: ASYNC109 - redis-py's own
) -> AsyncIterator[Sidecar]:
    """A ledger that has started, for as long as the context lasts."""
    its = clock or ShiftedClock(clock_ahead)
    async with asking(target, timeout=timeout) as redis:
        ledger = RedisLedger(
            redis=redis,
            per_owner=per_owner,
            tags=[TAG],
            clock=its,
            ahead=ahead,
            waiting=waiting,
            pins_per_owner=pins_per_owner,
        )
        try:
            await ledger.start()
            yield Sidecar(ledger, its)
        finally:
            await ledger.close()
