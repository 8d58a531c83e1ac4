"""What a ledger in memory cannot know, and that no kind of effect takes another's room."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.core.model import Claim, Conflict, Dependency, Effects, Pin
from tests.values import NOW

Making: TypeAlias = Callable[[str], Claim]


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


def pin(key: str, until: float = 60) -> Pin:
    return Pin(key, "a", "o", NOW + until, Dependency.REPLAY, Conflict.ANOTHER_PEER)


def token(key: str) -> Claim:
    return Claim(key, "o", NOW + 60, Dependency.REPLAY, NOW)


def proof(key: str) -> Claim:
    return Claim(key, "p", NOW + 60, Dependency.REPLAY, NOW, quota=9)


async def commit(ledger: MemoryLedger, *effects: Claim | Pin, now: float = NOW) -> Conflict | None:
    claims = tuple(one for one in effects if isinstance(one, Claim))
    pins = tuple(one for one in effects if isinstance(one, Pin))
    return await ledger.commit(Effects(claims, pins), now=now, deadline=1e12)


@pytest.mark.parametrize("kinds", [(token, proof), (proof, token)])
@pytest.mark.parametrize("together", [False, True])
async def test_tokens_proofs_and_pins_have_rooms_of_their_own(
    kinds: tuple[Making, Making], *, together: bool
) -> None:
    """However many there are of one kind, the others find room."""
    ledger = MemoryLedger(capacity=2, per_owner=9, pins_capacity=1)
    full, free = kinds
    assert await commit(ledger, full("a"), full("b")) is None
    assert await commit(ledger, full("c")) is Conflict.OVERLOADED

    if together:
        assert await commit(ledger, free("d"), free("e"), pin("s")) is None
    else:
        assert [await commit(ledger, one) for one in (pin("s"), free("d"), free("e"))] == [None] * 3
    assert await commit(ledger, free("f")) is Conflict.OVERLOADED
    assert await commit(ledger, pin("t")) is Conflict.OVERLOADED
    assert len(ledger) == 4


@pytest.mark.parametrize("full", [token, proof])
async def test_commit_claims_nothing_when_one_kind_has_no_room(full: Making) -> None:
    """All or nothing, over both rooms."""
    ledger = MemoryLedger(capacity=1, per_owner=9)
    await commit(ledger, full("a"))

    assert await commit(ledger, token("t"), proof("p")) is Conflict.OVERLOADED
    assert len(ledger) == 1


async def test_claim_is_known_whatever_room_it_is_in() -> None:
    """One key is one claim: also should two kinds ever share it."""
    ledger = MemoryLedger(capacity=9, per_owner=9)
    await commit(ledger, token("a"), proof("b"))

    assert await commit(ledger, proof("a")) is Conflict.CLAIMED_BEFORE
    assert await commit(ledger, token("b")) is Conflict.CLAIMED_BEFORE


@pytest.mark.parametrize(
    ("effect", "room"),
    [(token("k"), "single-use tokens"), (proof("k"), "proofs"), (pin("k"), "pins")],
)
async def test_log_says_what_there_is_no_room_for(effect: Claim | Pin, room: str) -> None:
    """A refusal as overloaded does not say why; a flood of them writes one line."""
    ledger = MemoryLedger(capacity=0, per_owner=9, pins_capacity=0)
    with capture_logs() as logs:
        for _ in range(100):
            assert await commit(ledger, effect) is Conflict.OVERLOADED

    assert [(line["event"], line["room"]) for line in logs] == [("replay_store_full", room)]


async def test_room_is_free_again_when_things_end() -> None:
    """For each kind, by the time of the commit."""
    ledger = MemoryLedger(capacity=1, per_owner=1, pins_capacity=1)
    assert await commit(ledger, token("a"), proof("b"), pin("s")) is None

    assert await commit(ledger, token("c"), proof("d"), pin("t"), now=NOW + 59) is not None
    assert await commit(ledger, token("c"), proof("d"), pin("t", 99), now=NOW + 60) is None
