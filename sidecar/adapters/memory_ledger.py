"""The ledger of one process: right for one sidecar, and refused by configuration for more.

Bounded, but never by forgetting: a live claim that made room for another would reopen its replay.
Callers fill it, so a full ledger is a refusal and no outage, which would let reads pass; a full
quota is one agent's own. What a process before this one knew is lost, so a token from before this
ledger began may have been used, and is refused. A pin that is lost is taken again by whoever comes
next.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sidecar.adapters.room import FullAlarm, Room
from sidecar.core.model import Claim, Conflict, Effects, Pin
from sidecar.core.pins import PINS_PER_AGENT


class MemoryLedger:
    """``ports.Ledger`` in dictionaries. Atomic because nothing in ``commit`` awaits."""

    def __init__(
        self,
        *,
        capacity: int,
        per_owner: int,
        since: float = -math.inf,
        pins_capacity: int = 100_000,
        pins_per_owner: int = PINS_PER_AGENT,
    ) -> None:
        """Hold at most ``capacity`` live single-use tokens, ``per_owner`` of them of one agent.

        ``since`` (seconds since the epoch): a token issued before may have been used before this
        ledger began to remember, whose beginning it is, later by what issuers' clocks are ahead.
        Claims with a quota of their own have as much room again, and pins have room for
        ``pins_capacity`` of them, ``pins_per_owner`` of one agent: no kind takes another's.
        """
        self._since = since
        self._per_owner = per_owner
        self._pins_per_owner = pins_per_owner
        self._tokens: Room[Claim] = Room(capacity)
        self._others: Room[Claim] = Room(capacity)
        self._pins: Room[Pin] = Room(pins_capacity)
        self._alarm = FullAlarm()

    async def commit(self, effects: Effects, *, now: float, deadline: float) -> Conflict | None:
        """See ``ports.Ledger``; ``deadline`` is met by never waiting, and nothing is an outage."""
        del deadline
        for room in (self._tokens, self._others, self._pins):
            room.forget_ended(now)
        for pin in effects.pins:
            if conflict := self._hold(pin, now):
                return conflict
        return self._claim(effects.claims, now)

    def __len__(self) -> int:
        """Count the live claims."""
        return len(self._tokens) + len(self._others)

    def _hold(self, pin: Pin, now: float) -> Conflict | None:
        held = self._pins.find(pin.key)
        if held is not None:
            if held.holder != pin.holder:
                return pin.conflict
            self._pins.keep(replace(held, until=max(held.until, pin.until)))
            return None
        if self._pins.held_by(pin.owner) >= self._pins_per_owner:
            return Conflict.QUOTA
        if not self._pins.has_place_for(1):
            return self._full("pins", now)
        self._pins.keep(pin)
        return None

    def _claim(self, claims: Sequence[Claim], now: float) -> Conflict | None:
        rooms = (self._tokens, self._others)
        if any(_issued_at(claim) < self._since for claim in claims):
            return Conflict.NOT_REMEMBERED
        if any(room.find(claim.key) for claim in claims for room in rooms):
            return Conflict.CLAIMED_BEFORE
        wanted = Counter(claim.owner for claim in claims)
        for one in claims:
            held = sum(room.held_by(one.owner) for room in rooms)
            if held + wanted[one.owner] > self._quota(one):
                return Conflict.QUOTA
        tokens = [claim for claim in claims if claim.quota is None]
        if not self._tokens.has_place_for(len(tokens)):
            return self._full("single-use tokens", now)
        if not self._others.has_place_for(len(claims) - len(tokens)):
            return self._full("proofs", now)
        for claim in claims:
            (self._tokens if claim.quota is None else self._others).keep(claim)
        return None

    def _quota(self, claim: Claim) -> int:
        return self._per_owner if claim.quota is None else claim.quota

    def _full(self, room: str, now: float) -> Conflict:
        self._alarm.ring(room, now)
        return Conflict.OVERLOADED


def _issued_at(claim: Claim) -> float:
    return -math.inf if claim.issued_at is None else claim.issued_at
