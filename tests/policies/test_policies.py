"""The policies under stock OPA: what their authors run is what we run."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.real_parts import ROOT, opa_binary

POLICIES = ROOT / "policies"
SCHEMA = POLICIES / "schema"


def opa(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [opa_binary(), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(POLICIES, tmp_path / "policies")


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_opa_test_passes() -> None:
    """Every test of the library passes, and there are tests."""
    run = opa("test", "--bundle", "--format=json", POLICIES)
    results: list[dict[str, Any]] = json.loads(run.stdout)

    assert run.returncode == 0, run.stdout
    assert {result["package"] for result in results} >= {
        "data.tests.amounts",
        "data.tests.baseline",
        "data.tests.numbers",
        "data.tests.query_redaction",
        "data.tests.redaction",
        "data.tests.scopegate",
        "data.tests.scopes",
    }


def test_every_policy_has_a_test() -> None:
    """No module without a test beside it."""
    modules = {file for file in POLICIES.rglob("*.rego") if not file.stem.endswith("_test")}

    assert modules
    assert not [file for file in modules if not file.with_stem(f"{file.stem}_test").exists()]


def test_opa_check_passes() -> None:
    """The library is strict Rego and refers to nothing that the contract does not have."""
    run = opa("check", "--strict", "--schema", SCHEMA, POLICIES)

    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_opa_fmt_changes_nothing() -> None:
    """The library stands in the canonical format."""
    run = opa("fmt", "--fail", "--list", POLICIES)

    assert (run.returncode, run.stdout) == (0, "")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("rules/baseline.rego", "input.request.access", "input.request.acess"),
        ("rules/amounts.rego", "input.tool.arguments.amount", "input.tool.argument.amount"),
        ("rules/query_redaction.rego", "input.request.query.email", "input.query.email"),
        ("lib/scopes.rego", "input.agent.scopes", "input.agent.scope"),
    ],
)
def test_opa_check_fails_when_a_policy_misspells_the_contract(
    copy: Path, file: str, old: str, new: str
) -> None:
    """The schema annotations are in force: each module's typo is found, with file and line."""
    replace_in(copy / file, old, new)
    run = opa("check", "--strict", "--schema", SCHEMA, copy)

    assert run.returncode != 0
    assert f"{copy / file}:" in run.stderr
    assert "undefined ref" in run.stderr


# Each takes one safeguard out of the library.
WEAKENINGS = [
    ("rules/amounts.rego", "\tnumbers.at_least(amount, 0)\n", ""),
    ("rules/amounts.rego", "\tnumbers.at_least(limit, 0)\n", ""),
    ("rules/amounts.rego", "numbers.within(amount, 0, limit)", "amount <= limit"),
    ("rules/amounts.rego", "\tnot sound\n", "\tsound\n"),
    ("rules/amounts.rego", 'input.tool.name == "transfer"', "input.tool.name"),
    ("rules/baseline.rego", 'input.request.access in {"read", "sensitive", "write"}', "true"),
    ("lib/numbers.rego", "\tis_number(low)\n", ""),
    ("lib/numbers.rego", "\tis_number(high)\n", ""),
    ("lib/numbers.rego", "9007199254740991", "9007199254740992"),
    ("lib/scopes.rego", 'resource, "*"', '"*", "*"'),
    (
        "scopegate.rego",
        'default ruling := {"action": "deny"',
        'default ruling := {"action": "allow"',
    ),
    ("scopegate.rego", "count(actions) != count(contributions)", "false"),
    ("scopegate.rego", '\t"deny" in actions\n', "\tfalse\n"),
    ("scopegate.rego", '\t"approval_needed" in actions\n', "\tfalse\n"),
    ("scopegate.rego", "passing.headers[name] != value", "false"),
    ("scopegate.rego", '== {"allow", "sanitize"}', '== {"sanitize"}'),
    ("scopegate.rego", '{action | some action in actions} == {"allow"}', "true"),
    ("scopegate.rego", '"deny", "sanitize"}\n', '"deny", "sanitize", "deyn"}\n'),
    ("scopegate.rego", '\tis_string(object.get(contribution, "detail", ""))\n', ""),
    ("scopegate.rego", '\tis_object(object.get(contribution, "headers", {}))\n', ""),
    ("scopegate.rego", '\tis_array(object.get(contribution, "redact", []))\n', ""),
    ("scopegate.rego", '"reason", action)', '"reason", null)'),
    ("scopegate.rego", "[single_use, redact]", "[single_use]"),
    ("scopegate.rego", "[single_use, redact]", "[redact]"),
]


@pytest.mark.parametrize(("file", "old", "new"), WEAKENINGS)
def test_opa_test_fails_when_a_safeguard_is_taken_out(
    copy: Path, file: str, old: str, new: str
) -> None:
    """The library's tests notice: no safeguard stands there untested."""
    replace_in(copy / file, old, new)
    run = opa("test", "--bundle", "--format=json", copy)

    assert run.returncode == 2, run.stdout + run.stderr
