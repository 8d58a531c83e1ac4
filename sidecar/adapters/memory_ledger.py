"""The ledger of one process: right for one sidecar, and refused by configuration for more.

Bounded, but never by forgetting: a live claim that made room for another would reopen its replay.
A full ledger is an outage, a full quota is one agent's own refusal. What a process before this one
knew is lost, so a token from before this ledger began may have been used, and is refused.
"""

from __future__ import annotations

import math
from collections import Counter
from heapq import heappop, heappush

from sidecar.core.model import Claim, Conflict, Effects, Unavailable


class MemoryLedger:
    """``ports.Ledger`` in a dictionary. Atomic because nothing in ``commit`` awaits."""

    def __init__(self, *, capacity: int, per_owner: int, since: float = -math.inf) -> None:
        """Hold at most ``capacity`` live claims, at most ``per_owner`` of them of one agent.

        ``since`` (seconds since the epoch): a token issued before may have been used before this
        ledger began to remember, whose beginning it is, later by what issuers' clocks are ahead.
        """
        self._since = since
        self._capacity = capacity
        self._per_owner = per_owner
        self._live: dict[str, Claim] = {}
        self._by_end: list[tuple[float, str]] = []
        self._held: Counter[str] = Counter()

    async def commit(self, effects: Effects, *, now: float, deadline: float) -> Conflict | None:
        """See ``ports.Ledger``; ``deadline`` is met by never waiting."""
        del deadline
        self._forget_ended(now)
        claims = effects.claims
        if any(_issued_at(claim) < self._since for claim in claims):
            return Conflict.NOT_REMEMBERED
        if any(claim.key in self._live for claim in claims):
            return Conflict.CLAIMED_BEFORE
        wanted = Counter(claim.owner for claim in claims)
        if any(self._held[owner] + more > self._per_owner for owner, more in wanted.items()):
            return Conflict.QUOTA
        if len(self._live) + len(claims) > self._capacity:
            raise Unavailable(claims[0].dependency, "memory ledger is full")
        for claim in claims:
            self._live[claim.key] = claim
            self._held[claim.owner] += 1
            heappush(self._by_end, (claim.until, claim.key))
        return None

    def __len__(self) -> int:
        return len(self._live)

    def _forget_ended(self, now: float) -> None:
        while self._by_end and self._by_end[0][0] <= now:
            _, key = heappop(self._by_end)
            owner = self._live.pop(key).owner
            self._held[owner] -= 1
            if not self._held[owner]:
                del self._held[owner]


def _issued_at(claim: Claim) -> float:
    return -math.inf if claim.issued_at is None else claim.issued_at
