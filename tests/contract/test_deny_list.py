"""The contracts of ``ports.DenyList`` and ``DenyListAdmin``, over every implementation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.model import Agent, Ancestor
from tests.values import ISSUER, NOW, make_agent

SOON = NOW + 60
Make = Callable[..., MemoryDenyList]


@pytest.fixture(params=["memory"])
def make_deny_list(request: pytest.FixtureRequest) -> Make:
    def memory(*, capacity: int = 100) -> MemoryDenyList:
        return MemoryDenyList(capacity=capacity)

    return {"memory": memory}[request.param]


def entry(kind: DenyKind, value: str, **changes: Any) -> DenyEntry:
    tenant = "" if kind is DenyKind.KID else changes.pop("tenant", "acme")
    key = DenyKey(kind, changes.pop("issuer", ISSUER), tenant, value)
    return DenyEntry(key, changes.pop("until", SOON), **changes)


CHILD = make_agent(
    agent="child", subject="sub", session="s-1", ancestors=(Ancestor("root"), Ancestor("middle"))
)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (DenyKind.JTI, "jti-1"),
        (DenyKind.AGENT, "child"),
        (DenyKind.AGENT, "sub"),
        (DenyKind.AGENT, "middle"),
        (DenyKind.AGENT, "root"),
        (DenyKind.TASK, "task-1"),
        (DenyKind.SESSION, "s-1"),
        (DenyKind.CHAIN, "root"),
        (DenyKind.KID, "key-1"),
    ],
)
def test_find_names_the_entry_for_every_kind(
    make_deny_list: Make, kind: DenyKind, value: str
) -> None:
    """A token falls with its jti, agent, task, session, key, and with any ancestor."""
    deny_list = make_deny_list()
    deny_list.add(entry(kind, value), now=NOW)

    assert deny_list.find(CHILD, now=NOW) == entry(kind, value)


@pytest.mark.parametrize(
    "other",
    [
        entry(DenyKind.TASK, "task-1", tenant="globex"),
        entry(DenyKind.TASK, "task-1", issuer="https://other.example"),
        entry(DenyKind.TASK, "task-2"),
        entry(DenyKind.AGENT, "task-1"),
        entry(DenyKind.CHAIN, "middle"),
    ],
)
def test_find_leaves_others_alone(make_deny_list: Make, other: DenyEntry) -> None:
    """Task 42 of tenant A is not task 42 of tenant B."""
    deny_list = make_deny_list()
    deny_list.add(other, now=NOW)

    assert deny_list.find(CHILD, now=NOW) is None


@pytest.mark.parametrize(
    ("issued_at", "refused"), [(NOW - 11, True), (NOW - 10, False), (NOW, False), (None, True)]
)
def test_find_takes_back_whoever_was_issued_later(
    make_deny_list: Make,
    issued_at: float | None,
    refused: bool,  # noqa: FBT001
) -> None:
    """An agent can be re-admitted; a token without iat counts as older."""
    deny_list = make_deny_list()
    deny_list.add(entry(DenyKind.AGENT, "agent-1", not_before=NOW - 10), now=NOW)
    agent: Agent = make_agent(issued_at=issued_at)

    assert (deny_list.find(agent, now=NOW) is not None) is refused


def test_find_hears_the_stricter_of_two_entries(make_deny_list: Make) -> None:
    """Revoking older tokens later on does not lift the revocation of all."""
    deny_list = make_deny_list()
    deny_list.add(entry(DenyKind.AGENT, "agent-1"), now=NOW)
    deny_list.add(entry(DenyKind.AGENT, "agent-1", not_before=NOW - 100), now=NOW)

    assert deny_list.find(make_agent(), now=NOW) is not None


def test_find_forgets_an_entry_at_its_end(make_deny_list: Make) -> None:
    """An entry lasts until its end, and not beyond."""
    deny_list = make_deny_list()
    deny_list.add(entry(DenyKind.AGENT, "agent-1", until=SOON), now=NOW)

    assert deny_list.find(make_agent(), now=SOON - 0.001) is not None
    assert deny_list.find(make_agent(), now=SOON) is None


def test_remove_lifts_everything_under_the_key(make_deny_list: Make) -> None:
    """Lifted is lifted; lifting nothing says so."""
    deny_list = make_deny_list()
    held = entry(DenyKind.AGENT, "agent-1")
    deny_list.add(held, now=NOW)

    assert deny_list.remove(held.key)
    assert deny_list.find(make_agent(), now=NOW) is None
    assert not deny_list.remove(held.key)


def test_add_refuses_when_full_and_keeps_what_it_holds(make_deny_list: Make) -> None:
    """A full list says so; it never drops a revocation to make room."""
    deny_list = make_deny_list(capacity=1)
    deny_list.add(entry(DenyKind.AGENT, "agent-1"), now=NOW)
    deny_list.add(entry(DenyKind.AGENT, "agent-1"), now=NOW)  # the same one again

    with pytest.raises(ValueError, match="full"):
        deny_list.add(entry(DenyKind.AGENT, "agent-2"), now=NOW)
    assert deny_list.find(make_agent(), now=NOW) is not None


def test_add_makes_room_from_what_has_ended(make_deny_list: Make) -> None:
    """Ended entries do not count."""
    deny_list = make_deny_list(capacity=1)
    deny_list.add(entry(DenyKind.AGENT, "agent-1", until=SOON), now=NOW)
    deny_list.add(entry(DenyKind.AGENT, "agent-2", until=SOON + 60), now=SOON)

    assert [e.key.value for e in deny_list.entries(now=SOON)] == ["agent-2"]
