"""The ledger of one process: right for one sidecar, and refused by configuration for more.

Bounded, but never by forgetting: a live claim that made room for another would reopen its replay.
A full ledger is an outage, a full quota is one agent's own refusal. What a process before this one
knew is lost, so a token from before this ledger began may have been used, and is refused. A pin
that is lost is taken again by whoever comes next.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from heapq import heappop, heappush

from sidecar.core.model import Claim, Conflict, Dependency, Effects, Pin, Unavailable
from sidecar.core.pins import strictest


class MemoryLedger:
    """``ports.Ledger`` in a dictionary. Atomic because nothing in ``commit`` awaits."""

    def __init__(
        self,
        *,
        capacity: int,
        per_owner: int,
        since: float = -math.inf,
        pins_capacity: int = 100_000,
    ) -> None:
        """Hold at most ``capacity`` live claims, at most ``per_owner`` of them of one agent.

        ``since`` (seconds since the epoch): a token issued before may have been used before this
        ledger began to remember, whose beginning it is, later by what issuers' clocks are ahead.
        Pins have a room of their own, for ``pins_capacity`` of them.
        """
        self._since = since
        self._capacity = capacity
        self._per_owner = per_owner
        self._live: dict[str, Claim] = {}
        self._by_end: list[tuple[float, str]] = []
        self._held: Counter[str] = Counter()
        self._pins_capacity = pins_capacity
        self._pins: dict[str, Pin] = {}
        self._pins_by_end: list[tuple[float, str]] = []

    async def commit(self, effects: Effects, *, now: float, deadline: float) -> Conflict | None:
        """See ``ports.Ledger``; ``deadline`` is met by never waiting."""
        del deadline
        self._forget_ended(now)
        self._forget_ended_pins(now)
        if not effects:
            return None
        row, room = strictest(effects), True
        for pin in effects.pins:
            held = self._pins.get(pin.key)
            if held is not None and held.holder != pin.holder:
                return pin.conflict
            room = self._hold(pin, held) and room
        # A full room for pins hides no claim, also where an outage is open.
        conflict = self._claim(effects.claims, row)
        if conflict is None and not room:
            raise Unavailable(row, "memory ledger has no room for another pin")
        return conflict

    def __len__(self) -> int:
        """Count the live claims."""
        return len(self._live)

    def _claim(self, claims: Sequence[Claim], row: Dependency) -> Conflict | None:
        if any(_issued_at(claim) < self._since for claim in claims):
            return Conflict.NOT_REMEMBERED
        if any(claim.key in self._live for claim in claims):
            return Conflict.CLAIMED_BEFORE
        wanted = Counter(claim.owner for claim in claims)
        if any(self._held[one.owner] + wanted[one.owner] > self._quota(one) for one in claims):
            return Conflict.QUOTA
        if len(self._live) + len(claims) > self._capacity:
            raise Unavailable(row, "memory ledger is full")
        for claim in claims:
            self._live[claim.key] = claim
            self._held[claim.owner] += 1
            heappush(self._by_end, (claim.until, claim.key))
        return None

    def _quota(self, claim: Claim) -> int:
        return self._per_owner if claim.quota is None else claim.quota

    def _hold(self, pin: Pin, held: Pin | None) -> bool:
        """Whether there was room for it."""
        if held is not None:
            self._pins[pin.key] = replace(held, until=max(held.until, pin.until))
            return True
        if len(self._pins) >= self._pins_capacity:
            return False
        self._pins[pin.key] = pin
        heappush(self._pins_by_end, (pin.until, pin.key))
        return True

    def _forget_ended(self, now: float) -> None:
        while self._by_end and self._by_end[0][0] <= now:
            _, key = heappop(self._by_end)
            owner = self._live.pop(key).owner
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]

    def _forget_ended_pins(self, now: float) -> None:
        while self._pins_by_end and self._pins_by_end[0][0] <= now:
            _, key = heappop(self._pins_by_end)
            until = self._pins[key].until
            if until <= now:
                del self._pins[key]
            else:  # only now, not with each use: one entry a pin, however often it is used
                heappush(self._pins_by_end, (until, key))


def _issued_at(claim: Claim) -> float:
    return -math.inf if claim.issued_at is None else claim.issued_at
