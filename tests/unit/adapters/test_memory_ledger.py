"""What a ledger in memory cannot know."""

from __future__ import annotations

import pytest

from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.core.model import Claim, Conflict, Dependency, Effects, Pin, Unavailable
from tests.values import NOW


@pytest.mark.parametrize(
    ("issued_at", "conflict"),
    [
        (NOW - 1, Conflict.NOT_REMEMBERED),
        (None, Conflict.NOT_REMEMBERED),
        (NOW, None),
        (NOW + 1, None),
    ],
)
async def test_commit_refuses_a_token_from_before_it_began(
    issued_at: float | None, conflict: Conflict | None
) -> None:
    """A restart forgets what was used: whoever could have been used then is refused."""
    ledger = MemoryLedger(capacity=9, per_owner=9, since=NOW)
    claim = Claim("k", "o", NOW + 60, Dependency.REPLAY, issued_at)

    assert await ledger.commit(Effects((claim,)), now=NOW + 2, deadline=1e12) is conflict
    assert len(ledger) == (0 if conflict else 1)


def pin(key: str, holder: str = "a", until: float = 60) -> Pin:
    return Pin(key, holder, NOW + until, Dependency.REPLAY, Conflict.ANOTHER_PEER)


async def test_pins_have_a_room_of_their_own() -> None:
    """However many pins there are, a claim finds room, and the other way round."""
    ledger = MemoryLedger(capacity=1, per_owner=9, pins_capacity=1)
    claim = Claim("k", "o", NOW + 60, Dependency.REPLAY, NOW)

    assert await ledger.commit(Effects((claim,), (pin("s"),)), now=NOW, deadline=1e12) is None
    with pytest.raises(Unavailable, match="full"):
        await ledger.commit(
            Effects((Claim("l", *("o", NOW, claim.dependency)),)), now=NOW, deadline=0
        )
    with pytest.raises(Unavailable, match="room for another pin"):
        await ledger.commit(Effects((), (pin("t"),)), now=NOW, deadline=1e12)


async def test_claims_are_committed_when_pins_have_no_room() -> None:
    """Who fills the room for pins cannot use a token twice where that outage is open."""
    ledger = MemoryLedger(capacity=9, per_owner=9, pins_capacity=0)
    effects = Effects((Claim("k", "o", NOW + 60, Dependency.REPLAY, NOW),), (pin("s"),))

    with pytest.raises(Unavailable, match="room for another pin"):
        await ledger.commit(effects, now=NOW, deadline=1e12)
    assert await ledger.commit(effects, now=NOW, deadline=1e12) is Conflict.CLAIMED_BEFORE


async def test_pins_leave_nothing_behind_when_they_end() -> None:
    """Their room is free again, and using one often takes no more of it."""
    ledger = MemoryLedger(capacity=1, per_owner=1, pins_capacity=3)
    for use in range(100):
        for key in ("s", "t", "u"):
            effects = Effects((), (pin(key, until=60 + use),))
            assert await ledger.commit(effects, now=NOW + use, deadline=1e12) is None
        assert len(ledger._pins_by_end) == 3

    assert (
        await ledger.commit(Effects((), (pin("v", until=999),)), now=NOW + 159, deadline=0) is None
    )
    assert list(ledger._pins) == ["v"]
    assert len(ledger._pins_by_end) == 1
