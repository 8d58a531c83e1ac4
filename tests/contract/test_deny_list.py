"""The contracts of ``ports.DenyList`` and ``DenyListAdmin``, over every implementation.

One that is fresh answers None where no entry refuses; one that is stale raises there, and only
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.fed_deny_list import FedDenyList
from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.model import Agent, Ancestor, Dependency, Unavailable
from sidecar.ports import DenyList
from tests.fakes_deny_list import StaleDenyList, UnloadedDenyList
from tests.feed_source import KEYS, FeedSource
from tests.values import ISSUER, NOW, StillClock, make_agent

SOON = NOW + 60
Holding = Callable[..., DenyList]
Find = Callable[..., DenyEntry | None]
Make = Callable[..., MemoryDenyList]


def memory(*entries: DenyEntry, capacity: int = 100) -> MemoryDenyList:
    deny_list = MemoryDenyList(capacity=capacity)
    for one in entries:
        deny_list.add(one, now=NOW)
    return deny_list


def fed(*entries: DenyEntry, heard: float = NOW, stale_after: float | None = 100) -> FedDenyList:
    """A list that has read all of a feed, and heard at ``heard`` that this is all."""
    source = FeedSource()
    source.deny(*entries)
    clock = StillClock()
    deny_list = FedDenyList(keys=KEYS, capacity=100, stale_after=stale_after, clock=clock)
    clock.wall = heard
    deny_list.take(source.signed())
    deny_list.hear(source.beat(heard))
    return deny_list


def fed_stale(*entries: DenyEntry) -> FedDenyList:
    return fed(*entries, heard=NOW - 101)


def fed_without_beats(*entries: DenyEntry) -> FedDenyList:
    return fed(*entries, stale_after=None)


def fed_never(*entries: DenyEntry) -> FedDenyList:
    """A list that has read all of a feed, and never heard that this is all."""
    source = FeedSource()
    source.deny(*entries)
    deny_list = FedDenyList(keys=KEYS, capacity=100, stale_after=100, clock=StillClock())
    deny_list.take(source.signed())
    return deny_list


def find_in_fresh(deny_list: DenyList, agent: Agent, *, now: float) -> DenyEntry | None:
    """What a fresh list says; it never raises."""
    return deny_list.find(agent, now=now)


def find_in_silent(dependency: Dependency) -> Find:
    """What a list says that knows no more; where a fresh one says nothing, it says so."""

    def find(deny_list: DenyList, agent: Agent, *, now: float) -> DenyEntry | None:
        try:
            found = deny_list.find(agent, now=now)
        except Unavailable as silence:
            if silence.dependency is not dependency:
                raise
            return None
        assert found is not None, "a silent list that has nothing against anybody"
        return found

    return find


find_in_stale = find_in_silent(Dependency.DENY_LIST)
find_in_never_loaded = find_in_silent(Dependency.DENY_LIST_NEVER_LOADED)


@pytest.fixture(
    params=[
        pytest.param((memory, find_in_fresh), id="memory"),
        pytest.param((fed, find_in_fresh), id="fed"),
        pytest.param((fed_without_beats, find_in_fresh), id="fed_without_beats"),
        pytest.param((fed_stale, find_in_stale), id="fed_stale"),
        pytest.param((fed_never, find_in_never_loaded), id="fed_never_complete"),
        pytest.param((StaleDenyList, find_in_stale), id="stale"),
        pytest.param((UnloadedDenyList, find_in_never_loaded), id="unloaded"),
    ]
)
def implementation(request: pytest.FixtureRequest) -> tuple[Holding, Find]:
    """How to make a deny list that holds entries, and how to ask it."""
    made: tuple[Holding, Find] = request.param
    return made


@pytest.fixture
def holding(implementation: tuple[Holding, Find]) -> Holding:
    return implementation[0]


@pytest.fixture
def find(implementation: tuple[Holding, Find]) -> Find:
    return implementation[1]


@pytest.fixture(params=[False, True], ids=["memory", "memory_with_file"])
def make_admin(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[MemoryDenyList] = []

    def make(*, capacity: int = 100) -> MemoryDenyList:
        file = tmp_path / "own" / "deny.jsonl" if request.param else None
        made.append(MemoryDenyList(capacity=capacity, file=file))
        return made[-1]

    yield make
    for deny_list in made:
        deny_list.close()


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
        (DenyKind.CHAIN, "middle"),
        (DenyKind.CHAIN, "child"),
        (DenyKind.KID, "key-1"),
    ],
)
def test_find_names_the_entry_for_every_kind(
    holding: Holding, find: Find, kind: DenyKind, value: str
) -> None:
    """A token falls with its jti, agent, task, session, key, and with any ancestor."""
    assert find(holding(entry(kind, value)), CHILD, now=NOW) == entry(kind, value)


@pytest.mark.parametrize(
    "other",
    [
        entry(DenyKind.TASK, "task-1", tenant="globex"),
        entry(DenyKind.TASK, "task-1", issuer="https://other.example"),
        entry(DenyKind.TASK, "task-2"),
        entry(DenyKind.AGENT, "task-1"),
        entry(DenyKind.CHAIN, "task-1"),
    ],
)
def test_find_leaves_others_alone(holding: Holding, find: Find, other: DenyEntry) -> None:
    """Task 42 of tenant A is not task 42 of tenant B."""
    assert find(holding(other), CHILD, now=NOW) is None


@pytest.mark.parametrize(
    ("issued_at", "refused"), [(NOW - 11, True), (NOW - 10, False), (NOW, False), (None, True)]
)
def test_find_takes_back_whoever_was_issued_later(
    holding: Holding,
    find: Find,
    issued_at: float | None,
    refused: bool,  # noqa: FBT001
) -> None:
    """An agent can be re-admitted; a token without iat counts as older."""
    deny_list = holding(entry(DenyKind.AGENT, "agent-1", not_before=NOW - 10))

    assert (find(deny_list, make_agent(issued_at=issued_at), now=NOW) is not None) is refused


def test_find_hears_the_stricter_of_two_entries(holding: Holding, find: Find) -> None:
    """Revoking older tokens later on does not lift the revocation of all."""
    deny_list = holding(
        entry(DenyKind.AGENT, "agent-1"),
        entry(DenyKind.AGENT, "agent-1", not_before=NOW - 100),
    )

    assert find(deny_list, make_agent(), now=NOW) is not None


def test_find_forgets_an_entry_at_its_end(holding: Holding, find: Find) -> None:
    """An entry lasts until its end, and not beyond."""
    deny_list = holding(entry(DenyKind.AGENT, "agent-1", until=SOON))

    assert find(deny_list, make_agent(), now=SOON - 0.001) is not None
    assert find(deny_list, make_agent(), now=SOON) is None


def test_find_refuses_nobody_when_nothing_is_held(holding: Holding, find: Find) -> None:
    """An empty list is no reason to refuse; whether it is one to wait is the stance's."""
    assert find(holding(), make_agent(), now=NOW) is None


def test_remove_lifts_everything_under_the_key(make_admin: Make) -> None:
    """Lifted is lifted; lifting nothing says so."""
    deny_list = make_admin()
    held = entry(DenyKind.AGENT, "agent-1")
    deny_list.add(held, now=NOW)

    assert deny_list.remove(held.key)
    assert deny_list.find(make_agent(), now=NOW) is None
    assert not deny_list.remove(held.key)


def test_add_refuses_when_full_and_keeps_what_it_holds(make_admin: Make) -> None:
    """A full list says so; it never drops a revocation to make room."""
    deny_list = make_admin(capacity=1)
    deny_list.add(entry(DenyKind.AGENT, "agent-1"), now=NOW)
    deny_list.add(entry(DenyKind.AGENT, "agent-1"), now=NOW)  # the same one again

    with pytest.raises(ValueError, match="full"):
        deny_list.add(entry(DenyKind.AGENT, "agent-2"), now=NOW)
    assert deny_list.find(make_agent(), now=NOW) is not None


def test_add_makes_room_from_what_has_ended(make_admin: Make) -> None:
    """Ended entries do not count."""
    deny_list = make_admin(capacity=1)
    deny_list.add(entry(DenyKind.AGENT, "agent-1", until=SOON), now=NOW)
    deny_list.add(entry(DenyKind.AGENT, "agent-2", until=SOON + 60), now=SOON)

    assert [e.key.value for e in deny_list.entries(now=SOON)] == ["agent-2"]
