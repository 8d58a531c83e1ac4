"""What a ledger in memory cannot know."""

from __future__ import annotations

import pytest

from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.core.model import Claim, Conflict, Dependency, Effects
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
