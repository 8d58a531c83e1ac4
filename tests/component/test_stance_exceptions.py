"""A route's exceptions to the stance table, through the whole pipeline, before and after their end.

One route has every exception that there can be, so that none can reach another's cell.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client import generate_latest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from sidecar.adapters.decision_log import line_of
from sidecar.adapters.metrics import Metrics
from sidecar.cli import app
from sidecar.config.build import load_configuration
from sidecar.core.catalogue import Catalogue, Operation, Route, ScopeTemplate
from sidecar.core.model import Access, Dependency, Protocol, Stance, StanceException
from sidecar.core.stance import OUTAGE_REASON, STANCE
from sidecar.outages import tell_ended
from tests.assembled import settings_in
from tests.assembled import written as written_settings
from tests.fakes_deny_list import StaleDenyList, UnloadedDenyList
from tests.fakes_policy import FakePolicy
from tests.gate import (
    Gate,
    SkewedKeys,
    check,
    silent_ledger,
    unreachable_keys,
    unreachable_policy,
)
from tests.tokens import AUDIENCE, NOW
from tests.values import StillClock

GOOD: Final = Path(__file__).parents[1] / "vectors" / "config_broken" / "good"
END: Final = NOW + 10
CHANGEABLE: Final = (Dependency.DENY_LIST, Dependency.POLICY, Dependency.REPLAY)
READ: Final = ScopeTemplate("read", "orders", "{order}")


def closing(dependency: Dependency, until: float | None = END) -> StanceException:
    return StanceException(dependency, Access.READ, Stance.CLOSED, until, "answers feed a payment")


def opening(dependency: Dependency) -> StanceException:
    return StanceException(dependency, Access.SENSITIVE, Stance.OPEN, END)


def route_with(*exceptions: StanceException) -> Route:
    """A route with an operation of each access."""
    return Route(
        name="cells",
        protocol=Protocol.HTTP,
        path=("cells", "{order}"),
        audience=AUDIENCE,
        operations={
            "GET": Operation(READ),
            "OPTIONS": Operation(READ, access=Access.SENSITIVE),
            "PUT": Operation(ScopeTemplate("write", "orders", "{order}")),
        },
        outages=exceptions,
    )


DATED: Final = route_with(*map(closing, CHANGEABLE), *map(opening, CHANGEABLE))
ENDLESS: Final = route_with(*(closing(one, until=None) for one in CHANGEABLE))
METHODS: Final = {Access.READ: "GET", Access.SENSITIVE: "OPTIONS", Access.WRITE: "PUT"}
PARTS: Final[dict[Dependency, dict[str, Any]]] = {
    Dependency.KEYS: {"keys": unreachable_keys()},
    Dependency.CLOCK: {"keys": SkewedKeys()},
    Dependency.DENY_LIST: {"deny_list": StaleDenyList()},
    Dependency.DENY_LIST_NEVER_LOADED: {"deny_list": UnloadedDenyList()},
    Dependency.POLICY: {"policy": unreachable_policy()},
    Dependency.REPLAY: {
        "ledger": silent_ledger(),
        "policy": FakePolicy('{"action": "allow", "single_use": true}'),
    },
    Dependency.REPLAY_OF_SINGLE_USE_TOKEN: {"ledger": silent_ledger()},
}
CELLS: Final = [cell for cell in STANCE if cell[0] is not Dependency.SIDECAR]


def gate_for(route: Route, now: float = NOW, **parts: Any) -> Gate:
    gate = Gate(catalogue=Catalogue({route.name: route}, {}, {}), **parts)
    gate.clock.wall = now
    return gate


async def outcome(gate: Gate, route: Route, access: Access, **claims: Any) -> str:
    """``open`` with every mark, or the reason of a refusal."""
    answer = await gate.answer(check(METHODS[access], "/cells/o-1", route=route, **claims))
    if answer.status.code:
        word: str = json.loads(answer.denied_response.body)["reason"]
        return word
    [mark] = [h.header.value for h in answer.ok_response.headers if b"skipped" in h.header.key]
    assert answer.dynamic_metadata.fields["skipped"].string_value == mark.decode()
    assert [one.value for one in gate.seen[-1].verdict.skipped] == [mark.decode()]
    return "open"


def said(dependency: Dependency, stance: Stance) -> str:
    return "open" if stance is Stance.OPEN else OUTAGE_REASON[dependency].word


@pytest.mark.parametrize(("dependency", "access"), CELLS, ids=lambda part: part.value)
async def test_every_cell_is_the_exceptions_until_its_end_and_then_the_tables(
    dependency: Dependency, access: Access
) -> None:
    """Reads closed and sensitive reads opened, each to the very moment; nothing else moved."""
    claims = {"single_use": dependency is Dependency.REPLAY_OF_SINGLE_USE_TOKEN}
    turned = {Access.READ: Stance.CLOSED, Access.SENSITIVE: Stance.OPEN}
    table = STANCE[dependency, access]
    held = turned.get(access, table) if dependency in CHANGEABLE else table
    for now, stance in ((NOW, held), (END - 0.001, held), (END, table), (END + 1, table)):
        gate = gate_for(DATED, now, **PARTS[dependency])

        assert await outcome(gate, DATED, access, **claims) == said(dependency, stance), now


@pytest.mark.parametrize("dependency", CHANGEABLE, ids=lambda part: part.value)
async def test_a_closing_with_a_reason_holds_for_good(dependency: Dependency) -> None:
    """A year from now reads are still refused, and sensitive ones as ever."""
    later = NOW + 366 * 86400
    for access in (Access.READ, Access.SENSITIVE):
        gate = gate_for(ENDLESS, later, **PARTS[dependency])
        word = await outcome(gate, ENDLESS, access, now=later)

        assert word == OUTAGE_REASON[dependency].word


async def test_an_exception_is_its_routes_alone() -> None:
    """Another route of the same catalogue keeps the table."""
    other = replace(route_with(), name="other", path=("other", "{order}"))
    gate = Gate(
        catalogue=Catalogue({"cells": DATED, "other": other}, {}, {}), policy=unreachable_policy()
    )
    raw = {access: check(METHODS[access], "/other/o-1", route=other) for access in Access}

    assert (await gate.answer(raw[Access.READ])).status.code == 0
    assert (await gate.answer(raw[Access.SENSITIVE])).status.code != 0
    assert (await gate.answer(raw[Access.WRITE])).status.code != 0


async def test_a_disguised_write_is_not_opened() -> None:
    """What counts as a write is judged as one, whatever is open to the reads around it."""
    gate = gate_for(DATED, policy=unreachable_policy())
    raw = check("OPTIONS", "/cells/o-1?_method=DELETE", route=DATED)
    answer = await gate.answer(raw)

    assert json.loads(answer.denied_response.body)["reason"] == "policy_unavailable"


async def test_an_opening_skips_one_question_and_no_check() -> None:
    """Scope, revocation and everything before them hold as ever."""
    gate = gate_for(DATED, policy=unreachable_policy())

    assert await outcome(gate, DATED, Access.SENSITIVE, scope=["read:orders:o-2"]) == (
        "insufficient_scope"
    )
    assert await outcome(gate, DATED, Access.SENSITIVE, exp=int(NOW)) == "token_expired"


async def test_the_time_that_counts_is_the_one_at_which_the_check_began() -> None:
    """An exception that ends while policy is silent ends for the next call."""
    clock = StillClock()

    class Slow(FakePolicy):
        async def rule_on(self, *args: Any, **others: Any) -> Any:
            clock.wall = END
            return await super().rule_on(*args, **others)

    policy = Slow()
    policy.reachable = False
    gate = gate_for(DATED, policy=policy, clock=clock)

    assert await outcome(gate, DATED, Access.SENSITIVE) == "open"
    assert await outcome(gate, DATED, Access.SENSITIVE) == "policy_unavailable"


# --- records, metrics, logs ----------------------------------------------------------------------


async def recorded(route: Route, access: Access) -> dict[str, Any]:
    gate = gate_for(route, policy=unreachable_policy())
    await outcome(gate, route, access)
    record: dict[str, Any] = json.loads(line_of(gate.seen[0]))
    return record


async def test_a_record_tells_a_pass_by_exception_from_one_by_the_table() -> None:
    """Who reviews what passed finds what the table would not have let pass."""
    by_exception = await recorded(DATED, Access.SENSITIVE)
    by_table = await recorded(route_with(), Access.READ)

    assert (by_exception["skipped"], by_exception["stance"]) == (["policy"], "exception")
    assert by_table["skipped"] == ["policy"]
    assert "stance" not in by_table


async def test_a_record_says_when_an_exception_closed_the_call() -> None:
    """Whoever looks for the cause of a refused read finds the route's own exception."""
    by_exception = await recorded(DATED, Access.READ)
    by_table = await recorded(DATED, Access.WRITE)

    assert by_exception["reason"] == by_table["reason"] == "policy_unavailable"
    assert by_exception["detail"].endswith("closed by an exception of the route")
    assert "exception" not in str(by_table.get("detail"))


async def test_a_pass_by_exception_is_counted() -> None:
    """The table passes no sensitive read: whatever is counted as one passed by exception."""
    metrics, gate = Metrics(), gate_for(DATED, policy=unreachable_policy())
    await outcome(gate, DATED, Access.SENSITIVE)
    metrics(gate.seen[0])
    text = generate_latest(metrics.registry).decode()

    assert 'scopegate_open_passes_total{access="sensitive",dependency="policy"} 1.0' in text


def test_the_gauge_shows_each_exception_and_falls_when_it_ends() -> None:
    """1 to the last moment, 0 from the end on; what has no end stays at 1."""
    clock, metrics = StillClock(), Metrics()
    route = route_with(opening(Dependency.POLICY), closing(Dependency.REPLAY, until=None))
    catalogue = Catalogue({"cells": route, "plain": replace(route_with(), name="plain")}, {}, {})
    metrics.stance_exceptions(lambda: catalogue, clock.now)

    def shown() -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels[name] for name in ("route", "dependency", "access", "stance")): (
                sample.value
            )
            for family in metrics.registry.collect()
            for sample in family.samples
            if sample.name == "scopegate_stance_exceptions"
        }

    opened, closed = (
        ("cells", "policy", "sensitive", "open"),
        ("cells", "replay", "read", "closed"),
    )
    clock.wall = END - 0.001
    assert shown() == {opened: 1.0, closed: 1.0}
    clock.wall = END
    assert shown() == {opened: 0.0, closed: 1.0}


def test_ended_exceptions_are_logged() -> None:
    """Each with its route and cell, and nothing that still holds."""
    route = route_with(opening(Dependency.POLICY), closing(Dependency.REPLAY, until=None))
    catalogue = Catalogue({"cells": route}, {}, {})
    with capture_logs() as before:
        tell_ended(catalogue, now=END - 1)
    with capture_logs() as after:
        tell_ended(catalogue, now=END)

    assert before == []
    assert after == [
        {
            "log_level": "warning",
            "event": "stance_exception_ended",
            "route": "cells",
            "dependency": "policy",
            "access": "sensitive",
            "stance": "open",
            "until": "2027-01-15",
        }
    ]


# --- from the operator's file --------------------------------------------------------------------

LAST_DAY_ENDS: Final = NOW + 57_600
"""2027-01-16T00:00:00Z: ``NOW`` is at 08:00 on the 15th."""


def written(folder: Path, *outages: str) -> Path:
    """The good configuration, its ``customers`` a sensitive route with these exceptions."""
    text = (GOOD / "catalogue.yaml").read_text()
    lines = "".join(f"      - {one}\n" for one in outages)
    route = f"    access: sensitive\n    outages:\n{lines}    operations:"
    (folder / "catalogue.yaml").write_text(text.replace("    operations:", route, 1))
    (folder / "scopegate.yaml").write_text((GOOD / "scopegate.yaml").read_text())
    return folder / "scopegate.yaml"


async def test_a_date_in_the_file_holds_to_the_end_of_its_day(tmp_path: Path) -> None:
    """In UTC: the last millisecond of the day passes, midnight does not."""
    path = written(tmp_path, '{when: policy, access: sensitive, stance: open, until: "2027-01-15"}')
    catalogue = load_configuration(path, {}, now=NOW).catalogue
    route = replace(
        catalogue.routes["customers"],
        audience=AUDIENCE,
        path=("cells", "{customer}"),
        operations={"OPTIONS": Operation(ScopeTemplate("read", "orders", "{customer}"))},
    )
    words = {
        now: await outcome(
            gate_for(route, now, policy=unreachable_policy()), route, Access.SENSITIVE, now=now
        )
        for now in (NOW, LAST_DAY_ENDS - 0.001, LAST_DAY_ENDS, LAST_DAY_ENDS + 86400)
    }

    assert list(words.values()) == ["open", "open", "policy_unavailable", "policy_unavailable"]


def test_a_date_that_has_passed_is_no_problem_of_the_file(tmp_path: Path) -> None:
    """A gate that starts at night starts, and says that the exception holds no more."""
    path = written(
        tmp_path,
        '{when: policy, access: sensitive, stance: open, until: "2020-02-29", reason: "trial"}',
    )
    load_configuration(path, {})
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.rego").write_text('package scopegate\n\nruling := {"action": "deny"}\n')
    result = CliRunner().invoke(
        app, ["validate", "--offline", "--config", str(path)], env={"COLUMNS": "200"}
    )

    assert result.exit_code == 0
    assert "warning: ended 2020-02-29, holds no more" in result.stdout
    assert "trial" in result.stdout


async def test_the_sidecar_says_at_its_start_what_has_ended(tmp_path: Path) -> None:
    """It starts, and its log names the route whose exception holds no more."""
    keys = tmp_path / "etc" / "near.json"
    issuer = settings_in(tmp_path, "")["issuers"][1] | {"jwks": {"file": str(keys)}}
    settings = settings_in(tmp_path, "") | {"issuers": [issuer], "log": {"level": "warning"}}
    path = written_settings(tmp_path, settings)
    gone = {"when": "policy", "access": "read", "stance": "closed", "until": "2020-02-29"}
    route = {"name": "notes", "path": "/notes", "audience": "notebook", "outages": [gone]}
    offered = {"operations": {"GET": {"scope": "read:notes:all"}}}
    catalogue = {"version": 1, "routes": [route | offered]}
    (tmp_path / "etc" / "routes.yaml").write_text(yaml.safe_dump(catalogue))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "sidecar", "--config", str(path)),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            line = await process.stderr.readline()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()
    said = json.loads(line)

    assert (said["level"], said["event"]) == ("warning", "stance_exception_ended")
    assert (said["route"], said["until"]) == ("notes", "2020-02-29")
    assert process.returncode == 0


def test_every_cell_was_asked() -> None:
    """The cells of this file are all there are, but for the sidecar's own death."""
    assert {(d, a) for d, a in itertools.product(PARTS, Access)} == set(CELLS)
