"""The index that every deny list looks into: exact, and cheap for each call."""

from __future__ import annotations

import gc

from hypothesis import given
from hypothesis import strategies as st

from sidecar.adapters.deny_index import DenyIndex, name_of, row_of
from sidecar.core.deny import DenyEntry, DenyKey
from tests.feed_source import agent_key, denial
from tests.values import NOW


def put(index: DenyIndex, *entries: DenyEntry, now: float = NOW) -> None:
    for entry in entries:
        name = name_of(entry.key)
        index.put(name, (*index.under(name), row_of(entry)), now=now)


@given(
    st.lists(
        st.builds(agent_key, st.sampled_from("abc"))
        | st.builds(
            denial,
            st.sampled_from("abc"),
            until=st.integers(0, 30).map(lambda n: NOW + n),
            reason=st.sampled_from("xyz"),
        ),
        max_size=40,
    )
)
def test_index_holds_what_was_put_and_has_not_ended(said: list[DenyEntry | DenyKey]) -> None:
    """Whatever is put and lifted while time passes; its length never says less."""
    index, held = DenyIndex(), set[DenyEntry]()
    for tick, one in enumerate(said):
        now = NOW + tick
        if isinstance(one, DenyKey):
            index.put(name_of(one), (), now=now)
            held = {entry for entry in held if entry.key != one}
        elif row_of(one) not in index.under(name_of(one.key)):
            put(index, one, now=now)
            held.add(one)
        held = {entry for entry in held if now < entry.until}

        assert set(index.entries(now=now)) == held
        assert len(index) >= len(held)

    index.forget(1000, now=NOW + len(said))
    assert len(index) == len([entry for entry in held if NOW + len(said) < entry.until])


def test_put_forgets_a_few_ended_entries_and_no_more() -> None:
    """Ten thousand that end at once hold up no single call, and do not stay for ever."""
    index = DenyIndex()
    put(index, *(denial(str(n), until=NOW + 1) for n in range(100)))

    put(index, denial("late", until=NOW + 9), now=NOW + 2)
    assert len(index) == 93

    put(index, *(denial(f"later {n}", until=NOW + 9) for n in range(20)), now=NOW + 2)
    assert len(index) == 21


def test_put_keeps_no_trace_of_what_was_lifted_long_before_its_end() -> None:
    """Denying and lifting in turns for a year costs no memory."""
    index = DenyIndex()
    for _ in range(5000):
        put(index, denial("a", until=NOW + 1e9))
        index.put(name_of(agent_key("a")), (), now=NOW)
    put(index, denial("b", until=NOW + 1))

    assert len(index._ends) < 1100
    index.forget(1, now=NOW + 2)
    assert len(index) == 0


def test_index_holds_nothing_that_the_garbage_collector_walks_through() -> None:
    """Every full collection holds up every check, the longer the more objects there are."""
    index = DenyIndex()
    put(index, *(denial(f"gc-{n}") for n in range(1000)))
    gc.collect()
    gc.collect()

    held = [*index._rows, *index._rows.values(), *index._ends]
    assert not any(map(gc.is_tracked, held))
