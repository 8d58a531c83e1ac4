"""docs/policy.md is true: its examples are run, its lists compared."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import jsonschema

from sidecar.adapters.rego_builtins import ALLOWED
from sidecar.adapters.regorus_policy import EmbeddedPolicy
from sidecar.core.model import Action, Ruling
from sidecar.core.ruling import parse_ruling
from tests.real_parts import ROOT, opa_binary

PAGE = (ROOT / "docs/policy.md").read_text()
REGO = re.findall(r"^```rego\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
QUESTION, *RULINGS = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_question_of_the_page_keeps_to_the_schema() -> None:
    """The document that authors see has every member, and no other."""
    schema = json.loads((ROOT / "policies/schema/input.json").read_text())

    jsonschema.Draft7Validator(schema).validate(json.loads(QUESTION))


def test_rulings_of_the_page_are_understood() -> None:
    """One of each action."""
    rulings = [parse_ruling(text) for text in RULINGS]

    assert {ruling.action for ruling in rulings if isinstance(ruling, Ruling)} == set(Action)
    assert len(rulings) == len(Action)


def test_rego_of_the_page_runs_in_both_engines(tmp_path: Path) -> None:
    """Added to the library, as the page says: it loads, is formatted, and its tests pass."""
    folder = shutil.copytree(ROOT / "policies", tmp_path / "policies")
    for number, text in enumerate(REGO):
        suffix = "_test" if "package tests." in text else ""
        (folder / f"rules/page{number}{suffix}.rego").write_text(text)
    commands: list[list[str | Path]] = [
        ["fmt", "--fail", "--list", folder],
        ["check", "--strict", "--schema", folder / "schema", folder],
        ["test", "--bundle", folder],
    ]
    for arguments in commands:
        run = subprocess.run(
            [opa_binary(), *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        assert run.returncode == 0, run.stdout + run.stderr

    assert len(REGO) == 4
    assert EmbeddedPolicy.load([folder], "data.scopegate.ruling").revision


def test_page_names_the_builtins_that_are_allowed() -> None:
    """No more and no less."""
    listed = re.search(r"other than these: (.*?)\. They are pure", PAGE, re.DOTALL)

    assert listed
    assert set(re.findall(r"`([^`]+)`", listed[1])) == ALLOWED
