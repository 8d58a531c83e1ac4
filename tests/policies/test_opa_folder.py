"""``opa/``: what an OPA may be asked and may load; ``--write`` makes its capabilities again."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.adapters.opa_policy import OpaAddress, OpaPolicy
from sidecar.adapters.rego_builtins import ALLOWED
from sidecar.clock import SystemClock
from sidecar.core.model import Action, Question, Ruling
from tests.opa_server import OpaProcess
from tests.real_parts import ROOT, opa_binary

GUARD: Final = ROOT / "opa"
CAPABILITIES: Final = GUARD / "capabilities.json"
CLOCK: Final = SystemClock()

LEFT_OUT: Final = {
    "what talks to the world": {"http.send", "net.lookup_ip_addr"},
    "what reads OPA's environment, the token in it": {"opa.runtime"},
    "what answers differently each time": {"rand.intn", "time.now_ns", "uuid.rfc4122"},
    "what reads the clock unseen": {
        "crypto.x509.parse_and_verify_certificates",
        "crypto.x509.parse_and_verify_certificates_with_options",
        "io.jwt.decode_verify",
    },
    "what reads addresses in other ways than the sidecar does": {
        "net.cidr_contains", "net.cidr_contains_matches", "net.cidr_expand", "net.cidr_intersects",
        "net.cidr_is_valid", "net.cidr_merge", "net.cidr_overlap",
    },
    "what makes or checks credentials, which is done before policy is asked": {
        "io.jwt.encode_sign", "io.jwt.encode_sign_raw", "providers.aws.sign_req",
    },
    "what fetches a schema that it is told to": {"json.match_schema", "json.verify_schema"},
    "what writes the caller's values into OPA's log": {"internal.print", "print", "trace"},
}  # fmt: skip
"""Builtins that no policy may call, and why."""


def opa(*arguments: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [opa_binary(), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
    )


def made() -> str:
    """The capabilities of this OPA without what is left out; no host may be talked to."""
    current: dict[str, Any] = json.loads(opa("capabilities", "--current").stdout)
    unwanted = {name for names in LEFT_OUT.values() for name in names}
    known = {builtin["name"] for builtin in current["builtins"]}
    assert unwanted <= known, f"OPA has no {unwanted - known}"
    current["builtins"] = [one for one in current["builtins"] if one["name"] not in unwanted]
    current["allow_net"] = []
    return json.dumps(current, indent=1) + "\n"


def start_commands() -> list[list[str]]:
    """The README's commands by which an operator starts OPA: check, build, run."""
    text = (GUARD / "README.md").read_text()
    block = re.search(r"^```console\nmkdir -p .run &&\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    commands = [shlex.split(part) for part in block[1].replace("\\\n", " ").split("&&")]
    assert commands[2].pop(0) == "OPA_TOKEN=$TOKEN"
    assert [command[:2] for command in commands] == [["opa", w] for w in ("check", "build", "run")]
    return [command[1:] for command in commands]


def build(folder: Path, policies: Path) -> subprocess.CompletedProcess[str]:
    """The README's commands before OPA starts, on these policies; the bundle is in ``folder``."""
    moved = {"policies": policies, ".run/policies.tar.gz": folder / "policies.tar.gz"}
    check, build, _ = [[moved.get(one, one) for one in command] for command in start_commands()]
    assert moved["policies"] in check
    checked = opa(*check)
    return checked if checked.returncode else opa(*build)


def run_command(bundle: Path, socket: Path) -> list[str | Path]:
    """The README's last command, with this bundle, at this socket."""
    moved = {
        ".run/policies.tar.gz": str(bundle),
        "--addr=unix://.run/opa.sock": f"--addr=unix://{socket}",
    }
    *_, arguments = start_commands()
    assert set(moved) <= set(arguments)
    return [opa_binary(), *(moved.get(one, one) for one in arguments)]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(ROOT / "policies", tmp_path / "policies")


def test_capabilities_are_opas_own_without_what_is_left_out() -> None:
    """Generated, and up to date with the OPA that is pinned."""
    assert CAPABILITIES.read_text() == made(), f"run: python -m {__spec__.name} --write"


def test_capabilities_leave_out_whatever_opa_calls_nondeterministic() -> None:
    """A new OPA may bring new ones."""
    kept = json.loads(CAPABILITIES.read_text())["builtins"]

    assert [builtin["name"] for builtin in kept if builtin.get("nondeterministic")] == []


def test_capabilities_hold_what_policies_may_call() -> None:
    """Everything that the embedded engine allows may be loaded into OPA too."""
    assert {one["name"] for one in json.loads(CAPABILITIES.read_text())["builtins"]} >= ALLOWED


def test_start_command_builds_the_shipped_policies(tmp_path: Path) -> None:
    """They need nothing that is left out; tests beside them are not built in."""
    run = build(tmp_path, ROOT / "policies")
    listing = subprocess.run(
        ["tar", "-tzf", tmp_path / "policies.tar.gz"], capture_output=True, text=True, check=True
    )

    assert run.returncode == 0, run.stderr
    assert "scopegate.rego" in listing.stdout
    assert "_test.rego" not in listing.stdout


@pytest.mark.parametrize("name", sorted({name for names in LEFT_OUT.values() for name in names}))
def test_start_command_fails_when_a_policy_calls_what_is_left_out(
    copy: Path, tmp_path: Path, name: str
) -> None:
    """OPA does not start, and says file, line and builtin."""
    (copy / "rules/extra.rego").write_text(f"package scopegate.rules.extra\n\nx if {name}(input)\n")
    run = build(tmp_path, copy)

    assert run.returncode != 0
    assert "extra.rego:3: " in run.stdout + run.stderr
    assert not (tmp_path / "policies.tar.gz").exists()


@pytest.mark.parametrize("package", ["system.authz", "system.log", "other"])
def test_start_command_fails_when_a_policy_stands_outside_of_its_roots(
    copy: Path, tmp_path: Path, package: str
) -> None:
    """No policy changes who may ask OPA, or what it logs."""
    (copy / "rules/extra.rego").write_text(f"package {package}\n\nallow := true\n")
    run = build(tmp_path, copy)

    assert run.returncode != 0
    assert "roots" in run.stdout + run.stderr


async def test_start_command_starts_an_opa_that_rules(tmp_path: Path) -> None:
    """The README's last command, as it stands: it serves the guarded policies."""
    assert build(tmp_path, ROOT / "policies").returncode == 0
    socket = tmp_path / "opa.sock"
    command = run_command(tmp_path / "policies.tar.gz", socket)
    policy = OpaPolicy(
        address=OpaAddress(socket),
        entrypoint="data.scopegate.ruling",
        token="t0ken",
        clock=CLOCK,
        concurrency=1,
    )
    async with OpaProcess(command, "t0ken", socket, cwd=ROOT) as server:
        await policy.start()
        question = Question(b'{"request":{"access":"read"}}')
        ruling = await policy.rule_on(question, deadline=CLOCK.monotonic() + 30)
        unguarded = await server.ask("POST", "/v1/data/scopegate/ruling", body={})
        await policy.close()

    assert isinstance(ruling, Ruling)
    assert ruling.action is Action.ALLOW
    assert policy.revision == "v1"
    assert unguarded[0] == 401


async def test_print_of_a_policy_reaches_no_log(copy: Path, tmp_path: Path) -> None:
    """Even where it was built in another way: the caller's values stay out of OPA's output."""
    text = 'package scopegate.rules.extra\n\ncontributions contains 5 if print("LEAK", input)\n'
    (copy / "rules/extra.rego").write_text(text)
    bundle, socket = tmp_path / "policies.tar.gz", tmp_path / "opa.sock"
    assert opa("build", "--bundle", "--ignore=*_test.rego", "-o", bundle, copy).returncode == 0
    async with OpaProcess(run_command(bundle, socket), "t0ken", socket, cwd=ROOT) as server:
        await server.ask("POST", "/v1/data/scopegate/ruling", token="t0ken", body={"input": "x"})

    assert "Decision Log" in server.log.read_text()
    assert "LEAK" not in server.log.read_text()


def test_guard_is_strict_rego_in_canonical_format() -> None:
    """And nothing else is loaded from the folder: its roots are OPA's own."""
    checked = opa("check", "--strict", "--bundle", "opa")
    formatted = opa("fmt", "--fail", "--list", "opa")

    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    assert (formatted.returncode, formatted.stdout) == (0, "")
    assert json.loads((GUARD / ".manifest").read_text()) == {"roots": ["system"]}


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    CAPABILITIES.write_text(made())
