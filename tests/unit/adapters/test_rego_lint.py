"""What is not loaded: one broken file per rule, each with the fault that it must be refused for.

A faulty line of ``tests/vectors/rego_refused/*.rego`` ends in ``# refused: fault | fault``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.adapters.rego_ast import Fault, Module
from sidecar.adapters.rego_lint import lint
from sidecar.adapters.regorus_policy import EmbeddedPolicy, PolicyLoadError
from tests.real_parts import ROOT

VECTORS = sorted((ROOT / "tests/vectors/rego_refused").glob("*.rego"))
ENTRYPOINT = "data.team.rules.ruling"
MARK = "# refused: "


def load(folder: Path, *, entrypoint: str = ENTRYPOINT, **modules: str) -> EmbeddedPolicy:
    for name, text in modules.items():
        (folder / f"{name}.rego").write_text(text)
    return EmbeddedPolicy.load([folder], entrypoint)


@pytest.mark.parametrize("file", VECTORS, ids=lambda file: file.stem)
def test_policy_is_refused_when_it_holds_what_is_forbidden(file: Path) -> None:
    """Each file is refused for its marked faults and no others, with file and line."""
    marked = [
        f"{file}:{number}: {fault}"
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if MARK in line
        for fault in line.partition(MARK)[2].split(" | ")
    ]
    with pytest.raises(PolicyLoadError) as error:
        EmbeddedPolicy.load([file], ENTRYPOINT)

    assert marked
    assert str(error.value).splitlines() == marked


def test_policy_is_refused_when_its_syntax_is_new() -> None:
    """What a later engine may parse is not understood here, and so not allowed."""
    span = {"line": 3, "col": 1, "start": 0, "end": 1}
    new = {"Sometimes": {"span": span}}
    head = {"Compr": {"span": span, "refr": {"Var": {"span": span, "value": "x"}}, "assign": new}}
    rule = {"Spec": {"span": span, "head": head, "bodies": []}}
    module = Module("new.rego", ("team",), {}, (), (rule,))

    assert lint([module], {}) == [Fault("new.rego", 3, "Sometimes is not supported")]


def test_every_fault_of_every_file_is_told(tmp_path: Path) -> None:
    """An author sees all faults at once, in order."""
    with pytest.raises(PolicyLoadError) as error:
        load(
            tmp_path,
            b="package b\n\nx if rand.intn(1, 2)\n\ny if http.send({})\n",
            a="package a\n\nx if time.now_ns() == 1\n",
        )

    assert [(Path(fault.file).name, fault.line) for fault in error.value.faults] == [
        ("a.rego", 3),
        ("b.rego", 3),
        ("b.rego", 5),
    ]


ACCEPTED = {
    "function of its own": """
ruling := {"action": "allow"} if small(5)

small(x) if {
	is_number(x)
	x < 10
}
""",
    "ordered by a count, the time and the size": """
ruling := {"action": "allow"} if {
	count(input.agent.scopes) > 0
	input.now < input.agent.expires_at
	input.request.body_bytes <= 1024 * 1024
}
""",
    "a check in the body around a comprehension": """
ruling := {"action": "allow"} if {
	limit := input.tool.arguments.limit
	is_number(limit)
	found := [x | some x in [1, 2]; is_number(x); x < limit]
	count(found) > 0
}
""",
    "negated references, calls and memberships": """
ruling := {"action": "allow"} if {
	not input.tool
	not blocked
	method := input.request.method
	not startswith(method, "X")
	not method in {"TRACE", "CONNECT"}
	not method in listed
	not method in {x | some x in input.request.segments}
	not method in usual
}

default usual := {"TRACE"}

usual := {"PUT"} if input.request.access == "write"

blocked if input.request.host == "blocked.example"

listed contains "TRACE"
""",
    "patterns of what both engines know": r"""
ruling := {"action": "allow"} if {
	regex.match(`^/v[0-9]{1,3}/(?:[a-z_-]+|\.[^/]*?)$`, input.request.path)
}
""",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_policy_is_accepted_when_it_is_plain(name: str, tmp_path: Path) -> None:
    """The lint leaves room to work in."""
    default = '\ndefault ruling := {"action": "deny"}\n'

    assert load(tmp_path, policy="package team.rules\n" + default + ACCEPTED[name]).revision


def test_function_is_found_through_imports(tmp_path: Path) -> None:
    """By its package's name, by an alias, by its own name and by its whole path."""
    assert load(
        tmp_path,
        lib="package team.lib\n\nsure(x) if x == 1\n",
        policy="""package team.rules

import data.team.lib
import data.team.lib as alias
import data.team.lib.sure
import input.request as call
import rego.v1

default ruling := {"action": "deny"}

ruling := {"action": "allow"} if {
	lib.sure(1)
	alias.sure(1)
	sure(1)
	data.team.lib.sure(1)
	data.team["lib"].sure(1)
	call.access == "read"
}
""",
    ).revision


def test_import_of_data_is_accepted_when_the_data_is_there(tmp_path: Path) -> None:
    """A data document may be imported and referred to; one that is missing may not."""
    policy = (
        "package team.rules\n\nimport data.limits\n\n"
        'default ruling := {"action": "deny"}\n\n'
        'ruling := {"action": "allow"} if limits.transfer == data.limits.transfer\n'
    )
    with pytest.raises(PolicyLoadError, match=r"policy\.rego:3: import of data\.limits"):
        load(tmp_path, policy=policy)
    (tmp_path / "data.json").write_text('{"limits": {"transfer": 5}}')

    assert load(tmp_path, policy=policy).revision


def test_package_is_refused_when_data_has_its_name(tmp_path: Path) -> None:
    """The embedded engine would answer with the data instead of the rule."""
    (tmp_path / "data.json").write_text('{"team": {"rules": {"ruling": {"action": "allow"}}}}')
    with pytest.raises(PolicyLoadError, match=r"policy\.rego:1: package and data both define team"):
        load(tmp_path, policy='package team.rules\n\nruling := {"action": "deny"}\n')
