"""The contract of ``ports.Ledger``, over every implementation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.core.model import Claim, Conflict, Dependency, Effects, Unavailable
from sidecar.ports import Ledger
from tests.values import NOW

SOON = NOW + 60
LATER = NOW + 3600
Make = Callable[..., Ledger]


@pytest.fixture(params=["memory"])
def make_ledger(request: pytest.FixtureRequest) -> Make:
    def memory(*, capacity: int = 1000, per_owner: int = 1000) -> Ledger:
        return MemoryLedger(capacity=capacity, per_owner=per_owner)

    return {"memory": memory}[request.param]


def claim(
    key: str, *, owner: str = "o", until: float = SOON, row: Dependency = Dependency.REPLAY
) -> Claim:
    return Claim(key, owner, until, row)


async def commit(ledger: Ledger, *claims: Claim, now: float = NOW) -> Conflict | None:
    return await ledger.commit(Effects(claims), now=now, deadline=1e12)


async def test_commit_has_one_winner_when_fifty_claim_at_once(make_ledger: Make) -> None:
    """Of fifty concurrent claims of one key exactly one is won."""
    ledger = make_ledger()
    answers = await asyncio.gather(*(commit(ledger, claim("j1")) for _ in range(50)))

    assert answers.count(None) == 1
    assert answers.count(Conflict.CLAIMED_BEFORE) == 49


async def test_commit_takes_nothing_when_one_claim_was_taken(make_ledger: Make) -> None:
    """All or nothing: the free claim of a lost commit stays free."""
    ledger = make_ledger()
    await commit(ledger, claim("taken"))

    assert await commit(ledger, claim("free"), claim("taken")) is Conflict.CLAIMED_BEFORE
    assert await commit(ledger, claim("free")) is None


async def test_commit_remembers_until_the_end(make_ledger: Make) -> None:
    """A claim holds to its last moment, and not beyond."""
    ledger = make_ledger()
    await commit(ledger, claim("j1", until=SOON))

    assert await commit(ledger, claim("j1", until=LATER), now=SOON - 0.001) is not None
    assert await commit(ledger, claim("j1", until=LATER), now=SOON) is None


async def test_commit_refuses_over_an_owners_quota(make_ledger: Make) -> None:
    """One agent's flood is its own refusal, and nobody else's."""
    ledger = make_ledger(per_owner=2)
    await commit(ledger, claim("a"))
    await commit(ledger, claim("b"))

    assert await commit(ledger, claim("c")) is Conflict.QUOTA
    assert await commit(ledger, claim("c", owner="other")) is None


async def test_commit_frees_the_quota_when_claims_end(make_ledger: Make) -> None:
    """What has ended no longer counts."""
    ledger = make_ledger(per_owner=1)
    await commit(ledger, claim("a", until=SOON))

    assert await commit(ledger, claim("b", until=LATER), now=SOON) is None


async def test_commit_never_forgets_a_live_claim_to_make_room(make_ledger: Make) -> None:
    """A full ledger is an outage; the claims in it still hold."""
    ledger = make_ledger(capacity=2)
    await commit(ledger, claim("a", owner="1"))
    await commit(ledger, claim("b", owner="2"))

    with pytest.raises(Unavailable) as outage:
        await commit(ledger, claim("c", owner="3"))
    assert outage.value.dependency is Dependency.REPLAY
    assert await commit(ledger, claim("a")) is Conflict.CLAIMED_BEFORE


@pytest.mark.parametrize("row", [Dependency.REPLAY, Dependency.REPLAY_OF_SINGLE_USE_TOKEN])
async def test_commit_names_the_row_of_the_first_claim(make_ledger: Make, row: Dependency) -> None:
    """What its silence means is the claim's own: a single-use token passes during no outage."""
    ledger = make_ledger(capacity=0)

    with pytest.raises(Unavailable) as outage:
        await commit(ledger, claim("a", row=row), claim("b"))
    assert outage.value.dependency is row
