"""One expression, one question, two engines: what each makes of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sidecar.adapters.regorus_api import new_engine
from tests.real_parts import opa_binary

NOTHING: Final = "<nothing>"
"""Undefined, or an error of evaluation: either way the rule that needs it does not hold."""


def by_opa(expressions: Sequence[str], question: str, folder: Path) -> list[Any]:
    """What OPA makes of each expression over ``question``, a JSON text."""
    rules = "\n".join(f"r{number} := {text}" for number, text in enumerate(expressions))
    (folder / "rules.rego").write_text(f"package rules\n\n{rules}\n")
    (folder / "input.json").write_text(question)
    run = subprocess.run(
        [
            opa_binary(),
            "eval",
            "--format=json",
            "--data",
            folder / "rules.rego",
            "--input",
            folder / "input.json",
            "data.rules",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    values = json.loads(run.stdout)["result"][0]["expressions"][0]["value"]
    return [values.get(f"r{number}", NOTHING) for number in range(len(expressions))]


def by_regorus(expression: str, question: str) -> Any:
    """What the embedded engine makes of an expression."""
    engine = new_engine([("rule.rego", f"package rules\n\nr := {expression}\n")])
    engine.set_input_json(question)
    try:
        value = json.loads(engine.eval_rule_as_json("data.rules.r"))
    except RuntimeError:
        return NOTHING
    return NOTHING if value == "<undefined>" else value
