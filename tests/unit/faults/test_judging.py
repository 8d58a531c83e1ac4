"""The judge of the faults table: what it must notice, on results made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from examples.demo.issuer import Issuer
from examples.demo.processes import SIDECAR_CONFIG
from sidecar.config.build import load_configuration
from sidecar.core.model import Access, Dependency, Stance
from sidecar.core.stance import STANCE
from tests.faults.client import Client, _status
from tests.faults.expected import ENVOYS_OWN, PASSED, UNASKED, expected, possible
from tests.faults.faults import FAULTS
from tests.faults.kinds import GUARD, KINDS, STRICT, Kind
from tests.faults.load import Load, Result, Tokens
from tests.faults.play import Played
from tests.faults.tool import Arrival, Tool
from tests.faults.windows import CALM_S, Times, broken_rules, cells_of, healed_at, windows_of

CATALOGUE = load_configuration(SIDECAR_CONFIG, {}).catalogue
BY_NAME = {kind.name: kind for kind in KINDS}
TIMES = Times(began=100, returned=110, healed=111, ended=113, before=2)
OK = Arrival((), unasked=False, named=True)
MARKED = replace(OK, skipped=("policy",))
BY_ENVOY = Arrival((), unasked=True, named=False)


def load_with(*results: Result, arrivals: dict[int, Arrival] | None = None) -> Load:
    tool = Tool(0)
    tool.arrivals = arrivals or {}
    load = Load(Client(0, 0), tool, Tokens(Issuer(0), ()))
    load.results.extend(results)
    return load


def result(kind: str, sent: float, *, number: int = 1, status: int = 200, word: str = "") -> Result:
    return Result(number, BY_NAME[kind], sent, sent, sent + 0.01, status, word)


@pytest.mark.parametrize("access", list(Access))
@pytest.mark.parametrize(
    "dependency", [Dependency.KEYS, Dependency.DENY_LIST, Dependency.POLICY, Dependency.SIDECAR]
)
def test_expectation_is_the_tables(dependency: Dependency, access: Access) -> None:
    """A plain good call passes exactly where OPEN stands, and is marked there."""
    name = {Access.READ: "read", Access.SENSITIVE: "sensitive read", Access.WRITE: "write"}[access]
    said = expected(BY_NAME[name], {dependency}, CATALOGUE)

    assert said.startswith(PASSED) is (STANCE[dependency, access] is Stance.OPEN)
    assert said != PASSED


@pytest.mark.parametrize(
    ("kind", "down", "said"),
    [
        ("forged read", {Dependency.SIDECAR}, GUARD),
        ("forged write", {Dependency.KEYS}, "keys_unavailable"),
        ("revoked agent's read", {Dependency.DENY_LIST}, "revoked"),
        ("read, single-use token", {Dependency.SIDECAR}, STRICT),
        ("revoked agent's read", {Dependency.SIDECAR}, UNASKED),
        ("revoked agent's write", {Dependency.SIDECAR}, ENVOYS_OWN),
        ("read out of scope", {Dependency.POLICY}, "insufficient_scope"),
        ("write that policy holds", {Dependency.POLICY}, "policy_unavailable"),
        ("replayed write", {Dependency.REPLAY}, "replay_unavailable"),
        ("single-use write", {Dependency.SIDECAR}, ENVOYS_OWN),
        ("single-use write", {Dependency.REPLAY_OF_SINGLE_USE_TOKEN}, PASSED),
        ("read, single-use token", {Dependency.REPLAY_OF_SINGLE_USE_TOKEN}, "replay_unavailable"),
        ("read", {Dependency.DENY_LIST, Dependency.POLICY}, "passed without deny_list, policy"),
    ],
)
def test_bad_and_single_use_calls_end_at_their_step(
    kind: str, down: set[Dependency], said: str
) -> None:
    """The step that refuses, or the row that is closed, whichever comes first."""
    assert expected(BY_NAME[kind], down, CATALOGUE) == said


def test_every_outcome_is_possible_while_a_part_may_be_down() -> None:
    """Either state, and no third one."""
    perhaps = {Dependency.POLICY}

    assert possible(BY_NAME["read"], set(), perhaps, CATALOGUE) == {
        PASSED,
        "passed without policy",
    }


@pytest.mark.parametrize(
    ("kind", "arrival"),
    [
        ("write", MARKED), ("write", BY_ENVOY), ("sensitive read", MARKED), ("forged read", OK),
        ("revoked agent's read", OK), ("revoked agent's read", BY_ENVOY),
        ("read out of scope", MARKED), ("replayed write", OK), ("write that policy holds", OK),
        ("write", replace(OK, times=2)), ("write", replace(OK, named=False)),
    ],
)  # fmt: skip
def test_what_may_never_be_is_noticed(kind: str, arrival: Arrival) -> None:
    """Whatever the table says: a marked write, a bad call that arrived, one that arrived twice."""
    load = load_with(result(kind, 105), arrivals={1: arrival})

    assert len(broken_rules(load, load.results, dead=False)) > 0


@pytest.mark.parametrize(
    ("kind", "noticed"),
    [("revoked agent's read", False), ("read out of scope", False), ("forged read", True),
     ("revoked agent's write", True), ("write that policy holds", True)],
)  # fmt: skip
def test_only_reads_are_given_up_while_the_sidecar_is_dead(kind: str, *, noticed: bool) -> None:
    """Revoked and out of scope, as README says; nothing forged, and no write."""
    load = load_with(result(kind, 105), arrivals={1: BY_ENVOY})

    assert bool(broken_rules(load, load.results, dead=True)) is noticed


def test_call_without_an_answer_in_time_is_noticed() -> None:
    """No answer, and one that came after Envoy's own timeout."""
    late = replace(result("read", 105), answered=120.0)
    load = load_with(result("read", 105, status=0), late, arrivals={})

    assert len(broken_rules(load, load.results, dead=False)) == 2


def test_write_that_arrived_and_was_refused_is_noticed() -> None:
    """An agent that is told no must not have acted."""
    load = load_with(result("write", 105, status=503, word="overloaded"), arrivals={1: OK})

    assert broken_rules(load, load.results, dead=False) != []


def test_unexpected_outcome_is_wrong_in_its_window_only() -> None:
    """A write that passes while OPA is down; the same before is right."""
    opa = next(fault for fault in FAULTS if fault.part == "OPA")
    load = load_with(result("write", 99), result("write", 105, number=2), arrivals={1: OK, 2: OK})
    cells = cells_of(load, opa, TIMES, CATALOGUE)

    assert cells["write", "before"].right
    assert not cells["write", "down"].right


@pytest.mark.parametrize(
    ("change", "window"), [(TIMES.began, "first second"), (TIMES.returned, "healing")]
)
def test_call_that_a_change_overtook_counts_after_it(change: float, window: str) -> None:
    """It may have seen either state."""
    under_way = replace(result("read", change - 0.1), answered=change + 0.1)
    cells = cells_of(load_with(under_way, arrivals={1: OK}), FAULTS[0], TIMES, CATALOGUE)

    assert cells["read", window].counts == {PASSED: 1}


def test_healed_is_only_what_stays_well() -> None:
    """A mark, or a refusal that is not the call's own, starts the waiting again."""
    well = [result("read", 110 + number / 10, number=number) for number in range(10)]
    odd = result("revoked agent's write", 110.35, number=99, status=503, word="x_unavailable")
    arrivals = dict.fromkeys(range(10), OK)

    assert healed_at(load_with(*well, arrivals=arrivals), CATALOGUE, 110, 110.9) == 110
    healed = healed_at(load_with(*well, odd, arrivals=arrivals), CATALOGUE, 110, 110.9)
    assert healed == pytest.approx(110.35)
    assert healed_at(load_with(*well, odd), CATALOGUE, 110, 110.3 + CALM_S) is None


@pytest.mark.parametrize(
    ("block", "status"),
    [(b"\x88", 200), (b"\x20\x88\x5f", 200), (b"\x48\x03503", 503), (b"\x08\x82\x68\x01", 401),
     (b"\x8c", 400)],
)  # fmt: skip
def test_status_is_read_as_rfc_7541_writes_it(block: bytes, status: int) -> None:
    """Indexed, literal, with and without Huffman, after a table size update."""
    assert _status(block) == status


def kinds_of(share: int) -> list[Kind]:
    return [kind for kind in KINDS if kind.share < share]


def test_every_kind_comes_often_enough() -> None:
    """At 200 a second each kind comes ten times a second at least."""
    assert kinds_of(2) == []
    assert sum(kind.share for kind in KINDS) == 40


@pytest.mark.parametrize(("refused", "right"), [(1, True), (3, False)])
def test_few_refusals_for_lack_of_time_are_the_machines(refused: int, *, right: bool) -> None:
    """One in a hundred calls: harmless. More is a gate that cannot keep up."""
    slow = [
        result("write", 105, number=number, status=503, word="overloaded")
        for number in range(refused)
    ]
    rest = [result("forged read", 105, number=500 + number, status=401) for number in range(200)]
    relay = FAULTS[0]
    cells = cells_of(load_with(*slow, *rest), relay, TIMES, CATALOGUE)
    played = Played(relay, TIMES, windows_of(relay, TIMES), cells, [], 0.0, 0.0)

    assert (played.wrong == []) is right
