"""Every command of the README is true: it is run, here or by the test named beside it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS: list[str] = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]

RUN_ELSEWHERE = {
    "make demo": "tests/e2e/test_demo.py",
    "make test": "what is running now",
    "make policies": "tests/policies",
}


def test_every_command_is_accounted_for() -> None:
    """A command that is neither run here nor elsewhere does not stand in the README."""
    here = [command for command in COMMANDS if command not in RUN_ELSEWHERE]

    assert set(RUN_ELSEWHERE) <= set(COMMANDS)
    assert all(command.startswith(".venv/bin/") for command in here)
    for place in RUN_ELSEWHERE.values():
        assert place == "what is running now" or (ROOT / place).exists()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in RUN_ELSEWHERE])
def test_command_does_what_it_says(command: str) -> None:
    """It ends well as it stands."""
    program, *arguments = command.split()
    installed = Path(sys.executable).parent / Path(program).name
    done = subprocess.run(
        [str(installed), *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [
        *("sidecar", "validate"),
        *("deny add", "deny remove", "deny list", "deny keygen", "deny relay"),
    ],
)
def test_every_subcommand_explains_itself(name: str) -> None:
    """The commands that the README names in passing are there, and say what they take."""
    scopegate = str(Path(sys.executable).parent / "scopegate")
    command = [scopegate, *name.split(), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0
    assert "Usage: scopegate " + name in done.stdout


def test_links_lead_somewhere() -> None:
    """No link of the README is dead."""
    targets = re.findall(r"\]\(([^)#]+)\)", README)

    assert targets
    assert [t for t in targets if not (ROOT / t).exists()] == []


def test_sidecar_installs_by_itself(tmp_path: Path) -> None:
    """The README's two install commands give a working ``scopegate``, and no part of the demo."""
    venv.create(tmp_path, with_pip=True)
    python = str(tmp_path / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "-q", "install"]
    clean = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    for arguments in (["--require-hashes", "-r", "requirements/run.lock"], ["--no-deps", "."]):
        subprocess.run([*pip, *arguments], cwd=ROOT, env=clean, check=True)
    demo = ROOT / "examples" / "demo" / "scopegate.yaml"
    scopegate = str(tmp_path / "bin" / "scopegate")
    validate = [scopegate, "validate", "--offline", "--config", str(demo)]
    done = subprocess.run(validate, cwd=tmp_path, env=clean, capture_output=True, check=False)
    packages = {path.name for path in (tmp_path / "lib").glob("python*/site-packages/*")}

    assert done.returncode == 0, done.stderr
    assert not packages & {"envoy", "pytest", "grpc_tools", "envoy_data_plane"}
