"""The table of what silence means, and which exceptions to it there can be."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.model import Access, Dependency, Stance, StanceException
from sidecar.core.reasons import Reason
from sidecar.core.stance import FIXED, OUTAGE_REASON, STANCE, ended, faults_of, stance_of
from tests.requests import make_route

NOW = 1_800_000_000.0
OPEN_CELLS = {
    (Dependency.DENY_LIST, Access.READ),
    (Dependency.POLICY, Access.READ),
    (Dependency.REPLAY, Access.READ),
    (Dependency.SIDECAR, Access.READ),
}
MAY_BE_CLOSED = OPEN_CELLS
MAY_BE_OPENED = {
    (Dependency.DENY_LIST, Access.SENSITIVE),
    (Dependency.POLICY, Access.SENSITIVE),
    (Dependency.REPLAY, Access.SENSITIVE),
}


def exception(
    dependency: Dependency = Dependency.POLICY, access: Access = Access.SENSITIVE, **changes: Any
) -> StanceException:
    """An opening until ``NOW``, unless told otherwise."""
    fields: dict[str, Any] = {"stance": Stance.OPEN, "until": NOW, "reason": "", **changes}
    return StanceException(dependency, access, **fields)


def every_exception() -> Iterator[StanceException]:
    """Each form that an exception can have."""
    for cell in itertools.product(Dependency, Access, Stance, (None, NOW), ("", " ", "why")):
        yield StanceException(*cell)


# --- the table -----------------------------------------------------------------------------------


def test_the_table_is_open_in_these_cells_only() -> None:
    """Whoever opens another cell changes this test, too."""
    assert {cell for cell, stance in STANCE.items() if stance is Stance.OPEN} == OPEN_CELLS
    assert set(STANCE) == set(itertools.product(Dependency, Access))


def test_every_silence_inside_the_sidecar_has_its_reason() -> None:
    """A dead sidecar says nothing; everything else that is down has a word for it."""
    assert set(OUTAGE_REASON) == set(Dependency) - {Dependency.SIDECAR}
    assert OUTAGE_REASON[Dependency.DENY_LIST_NEVER_LOADED] is Reason.DENY_LIST_UNAVAILABLE


# --- exceptions that hold, and end ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "stance"),
    [
        (0.0, Stance.OPEN),
        (NOW - 0.001, Stance.OPEN),
        (NOW, Stance.CLOSED),
        (NOW + 1e9, Stance.CLOSED),
    ],
)
def test_an_opening_ends_at_its_moment(now: float, stance: Stance) -> None:
    """``until`` itself is the first moment at which the table holds again."""
    cell = (Dependency.POLICY, Access.SENSITIVE)

    assert stance_of(*cell, [exception()], now) is stance


def test_a_closing_ends_too_when_it_has_an_end() -> None:
    """What ends is the exception, whichever way it goes."""
    cell = (Dependency.POLICY, Access.READ)
    dated = exception(*cell, stance=Stance.CLOSED)
    endless = exception(*cell, stance=Stance.CLOSED, until=None, reason="why")

    assert stance_of(*cell, [dated], NOW - 1) is Stance.CLOSED
    assert stance_of(*cell, [dated], NOW) is Stance.OPEN
    assert stance_of(*cell, [endless], NOW * 2) is Stance.CLOSED


def test_an_exception_changes_its_own_cell_only() -> None:
    """Every other cell is what the table says."""
    one = exception()
    changed = {cell for cell in STANCE if stance_of(*cell, [one], NOW - 1) is not STANCE[cell]}

    assert changed == {(one.dependency, one.access)}


def test_the_second_exception_counts_when_the_first_is_for_another_cell() -> None:
    """The order of a route's exceptions says nothing."""
    both = (exception(Dependency.REPLAY), exception())
    for order in (both, both[::-1]):
        assert stance_of(Dependency.POLICY, Access.SENSITIVE, order, NOW - 1) is Stance.OPEN


def test_ended_lists_what_holds_no_more() -> None:
    """In the order of the route; what has no end never ends."""
    gone, holds = exception(), exception(Dependency.REPLAY, until=NOW + 1)
    endless = exception(Dependency.POLICY, Access.READ, stance=Stance.CLOSED, until=None)

    assert ended((gone, holds, endless), NOW) == (gone,)
    assert ended((gone, holds, endless), NOW - 1) == ()
    assert ended((gone, holds, endless), NOW * 2) == (gone, holds)


# --- exceptions that there can be ----------------------------------------------------------------


def test_these_exceptions_can_be_and_no_others() -> None:
    """Of all forms: an opening has an end; a closing an end or a reason; a lane a reason only."""
    allowed = {one for one in every_exception() if not list(faults_of([one]))}

    def stance(one: StanceException) -> bool:
        cell = (one.dependency, one.access)
        return cell in (MAY_BE_OPENED if one.stance is Stance.OPEN else MAY_BE_CLOSED)

    def explained(one: StanceException) -> bool:
        if one.dependency is Dependency.SIDECAR:
            return one.until is None and one.reason == "why"
        return one.until is not None or (one.stance is Stance.CLOSED and one.reason == "why")

    assert allowed == {one for one in every_exception() if stance(one) and explained(one)}
    assert {(one.dependency, one.access) for one in allowed} == MAY_BE_OPENED | MAY_BE_CLOSED


@pytest.mark.parametrize(
    ("changes", "field", "fragment"),
    [
        ({"dependency": Dependency.KEYS}, "when", "nothing of its tokens can be verified"),
        ({"dependency": Dependency.DENY_LIST_NEVER_LOADED}, "when", "may miss every revocation"),
        ({"dependency": Dependency.REPLAY_OF_SINGLE_USE_TOKEN}, "when", "serves one call"),
        ({"access": Access.WRITE}, "stance", "a write is never opened"),
        ({"dependency": Dependency.SIDECAR}, "stance", "sidecar dead nobody asks"),
        ({"stance": Stance.CLOSED}, "stance", "is closed in the table anyway"),
        ({"access": Access.READ}, "stance", "is open in the table anyway"),
        ({"until": None, "reason": "why"}, "until", "is required"),
        (
            {"access": Access.READ, "stance": Stance.CLOSED, "until": None, "reason": "\n "},
            "reason",
            "is required without until",
        ),
        (
            {"dependency": Dependency.SIDECAR, "access": Access.READ, "stance": Stance.CLOSED},
            "until",
            "lanes are static",
        ),
    ],
)
def test_a_fault_names_the_field_and_why(
    changes: dict[str, Any], field: str, fragment: str
) -> None:
    """One fault each, for the one thing to put right."""
    [fault] = faults_of([exception(**changes)])

    assert (fault.index, fault.field) == (0, field)
    assert fragment in fault.text


def test_two_exceptions_for_one_cell_are_a_fault_of_the_second() -> None:
    """Otherwise it would be their order that decides."""
    one = exception()
    [fault] = faults_of([exception(Dependency.REPLAY), one, exception(until=NOW + 1)])

    assert (fault.index, fault.field) == (2, "when")
    assert "the same cell as outages[1]" in fault.text


def test_a_route_cannot_be_built_with_an_exception_that_cannot_be() -> None:
    """Not from a file, and not past it: the core holds the rules itself."""
    with pytest.raises(ValueError, match=r"route 'data': outages\[0\] must be closed: a write"):
        make_route(outages=(exception(access=Access.WRITE),))

    assert make_route(outages=(exception(),)).outages == (exception(),)


@given(
    st.lists(st.sampled_from(list(every_exception())), max_size=6), st.sampled_from([0, NOW, 1e12])
)
def test_no_route_opens_what_is_never_open(exceptions: list[StanceException], now: float) -> None:
    """Whatever a route could be built with: writes, fixed rows and sensitive lanes stay closed."""
    if list(faults_of(exceptions)):
        return
    never = {cell for cell in STANCE if cell[0] in FIXED or cell[1] is Access.WRITE}
    never.add((Dependency.SIDECAR, Access.SENSITIVE))

    assert {stance_of(*cell, exceptions, now) for cell in never} == {Stance.CLOSED}
