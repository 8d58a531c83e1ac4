"""The Dockerfile, as far as it can be told without an engine: its lines, and what they copy."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from typing import Final

from tests.k8s_manifests import ROOT, Pod

TEXT: Final = (ROOT / "Dockerfile").read_text()
LINES: Final = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\s*\\\n\s*", " ", re.sub(r"(?m)^#.*\n", "", TEXT)).splitlines()
    if line
]
SCOPEGATE: Final = Pod().containers["scopegate"]


def _all(instruction: str) -> list[str]:
    return [rest for name, rest in LINES if name == instruction]


def _last(instruction: str) -> str:
    return _all(instruction)[-1]


def test_base_images_are_pinned() -> None:
    """By the whole version of the Python that the project supports; never a moving tag."""
    for image in (base.split()[0] for base in _all("FROM")):
        assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", image)


def test_packages_come_by_hash_and_are_not_built() -> None:
    """From the lock, every one with its hash, as wheels; nothing else is installed."""
    (install,) = [step for run in _all("RUN") for step in run.split("&&") if "install" in step]
    lock = (ROOT / "requirements" / "run.lock").read_text()

    assert {"--require-hashes", "--no-deps", "--only-binary", ":all:"} <= set(install.split())
    assert install.split()[-2:] == ["-r", "/tmp/run.lock"]
    assert "requirements/run.lock /tmp/run.lock" in _all("COPY")
    assert len(re.findall(r"^\S+==", lock, re.MULTILINE)) >= 20
    assert not re.search(r"(apt-get|curl|wget|ADD)\b", TEXT)


def test_image_has_what_the_deployment_asks_for() -> None:
    """The lock holds every extra: what is not installed is refused at start."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lock = (ROOT / "requirements" / "run.lock").read_text()
    named = [re.split(r"[^a-z0-9-]", one)[0] for packages in extras.values() for one in packages]

    assert {"opa-python-client", "redis"} <= set(named)
    assert all(re.search(rf"^{name}==", lock, re.MULTILINE) for name in (*named, "hiredis"))


def test_user_is_the_deployments() -> None:
    """A number that is not root's, and the one that the Pod runs as."""
    context = SCOPEGATE["securityContext"]

    assert _last("USER") == f"{context['runAsUser']}:{context['runAsGroup']}"
    names = [name for name, _ in LINES]
    assert names.index("USER") > len(names) - 1 - names[::-1].index("COPY")


def test_what_is_copied_is_there_and_reaches_the_engine() -> None:
    """Every source exists, .dockerignore lets it in, and lets in nothing else."""
    sources = {
        source
        for copy in _all("COPY")
        if not copy.startswith("--from=")
        for source in copy.split()[:-1]
    }
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == sources
    assert "*" in ignored
    assert all((ROOT / source).exists() for source in sources)
    excluded = [line for line in ignored if line[:1] not in {"", "#", "!", "*"}]
    assert not any(fnmatch.fnmatch(source, line) for source in sources for line in excluded)


def test_entrypoint_is_the_command_that_the_deployment_runs() -> None:
    """Its module starts in isolation and knows the Deployment's arguments."""
    python, *arguments = json.loads(_last("ENTRYPOINT"))
    command, option, _ = SCOPEGATE["args"]
    isolated = [sys.executable, *arguments, command, "--help"]
    done = subprocess.run(isolated, capture_output=True, text=True, check=False)

    assert python == "/opt/scopegate/bin/python"
    assert "-I" in arguments
    assert done.returncode == 0, done.stderr
    assert option in done.stdout
