"""The ledger that several sidecars share: single use by one atomic script in Redis.

What Redis could have forgotten it does not vouch for: every hash tag has an epoch that is bound to
the node that wrote it, and a token from before the epoch is ``NOT_REMEMBERED``. A pin has no epoch:
one that Redis forgot is taken again by whoever comes next. See ``redis_ledger.lua`` and
``redis_pins.lua`` for the scripts and ``redis/README.md`` for what Redis has to be set up like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from redis.asyncio import Redis

from sidecar.adapters.pin_quota import PinQuota
from sidecar.adapters.redis_health import Watch
from sidecar.adapters.redis_script import Terms, hold, tag_of
from sidecar.adapters.redis_trips import LEAST_WAIT_S, OVERLOADED, RoundTrips
from sidecar.core.model import Claim, Conflict, Dependency, Effects, Unavailable
from sidecar.core.pins import PINS_PER_AGENT, strictest
from sidecar.ports import Clock
from sidecar.tasks import ended

_KNOWN_PINS: Final = 100_000
"""Pins whose owners this sidecar knows, for the quota; about 40 MB when there are so many."""
_HELD: Final = "held"
"""By another, says the pins' script."""
_WORDS: Final = {
    "ok": None,
    "claimed_before": Conflict.CLAIMED_BEFORE,
    "not_remembered": Conflict.NOT_REMEMBERED,
    "quota": Conflict.QUOTA,
    "jumped": Conflict.NOT_REMEMBERED,  # what has expired too early, nobody knows
    OVERLOADED: Conflict.OVERLOADED,
}


class RedisLedger:
    """``ports.Ledger`` in Redis. Commits of one turn of the loop share one round trip.

    One connection carries them all, so no pool can run empty; another looks at Redis' health, and
    while it finds none, commits raise at once. ``redis`` stays its maker's to close.
    """

    def __init__(
        self,
        *,
        redis: Redis,
        per_owner: int,
        tags: Sequence[str],
        clock: Clock,
        ahead: float = 0.0,
        waiting: int = 512,
        pins_per_owner: int = PINS_PER_AGENT,
    ) -> None:
        """Hold at most ``per_owner`` live claims of one agent, and ``pins_per_owner`` pins.

        ``tags`` are the ``{tag}``s (``core.single_use.hash_tag``) of every issuer's tenants here.
        ``ahead``: seconds that a token's ``iat`` may lie ahead of a sidecar's clock when it is
        used, that is the largest leeway of any issuer; so long after a new epoch began, tokens are
        refused that could have been used before it. More than ``waiting`` commits are overload.
        """
        self._terms = Terms(per_owner, ahead)
        self._clock = clock
        self._watch = Watch(redis, [tag_of(tag) for tag in tags], self._terms, clock)
        self._trips = RoundTrips(redis, self._watch, clock, waiting=waiting)
        self._quota = PinQuota(pins_per_owner, _KNOWN_PINS)
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def reachable(self) -> bool:
        """Whether Redis answered when it was last looked at, and is set up as it must be."""
        return not self._watch.fault

    @property
    def skew_s(self) -> float | None:
        """How far ahead of ours Redis' clock was at the last look, in seconds; None before it."""
        return self._watch.skew_s

    async def start(self) -> None:
        """Begin the epochs, and keep looking. A Redis that is down is an outage, not an error."""
        await self._watch.look()
        self._tasks = (asyncio.create_task(self._watch.keep_looking()),)
        self._trips.start()

    async def close(self) -> None:
        """End both tasks; whoever still waits hears ``Unavailable``."""
        self._watch.end("the sidecar is stopping")
        await self._trips.close()
        await ended(self._tasks)

    async def commit(self, effects: Effects, *, now: float, deadline: float) -> Conflict | None:
        """See ``ports.Ledger``.

        ``OVERLOADED`` when too many wait, the caller left no time, or Redis has no memory left.
        """
        if not effects:
            return None
        row, outage = strictest(effects), None
        for pin in effects.pins:  # one after the other: who may not hold one takes no further
            visit = hold(pin, now, new=self._quota.admits(pin, now))
            try:
                word = await self._trips.ask(tag_of(pin.key), visit, row, deadline)
            except Unavailable as silent:
                if deadline - self._clock.monotonic() < LEAST_WAIT_S:
                    raise
                outage = silent
                continue
            if conflict := pin.conflict if word == _HELD else _WORDS[word]:
                return conflict
        # A Redis that cannot hold a pin may still know of a claim, also where silence is open.
        conflict = await self._claim(effects.claims, row, now, deadline)
        if conflict is None and outage is not None:
            raise outage
        return conflict

    async def _claim(
        self, claims: Sequence[Claim], row: Dependency, now: float, deadline: float
    ) -> Conflict | None:
        if not claims:
            return None
        tag = tag_of(claims[0].key)
        visit = self._terms.visit(tag, claims, now)
        return _WORDS[await self._trips.ask(tag, visit, row, deadline)]
