"""The demo as a user runs it, and how it judges and shows its rows."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from examples.demo.__main__ import GROUPS, run
from examples.demo.engine import ENGINE
from examples.demo.processes import ENVOY_PORT, ISSUER_PORT, SIDECAR_PORT, TOOL_PORT, Stage
from examples.demo.rows import Act, Group, Scenario, Seen
from examples.demo.table import Results
from tests.real_parts import opa_binary

ROOT = Path(__file__).resolve().parents[2]

PORTS = (ENVOY_PORT, TOOL_PORT, ISSUER_PORT, SIDECAR_PORT)
ROWS = [row for group in GROUPS for row in group.scenarios]


@contextlib.contextmanager
def demo(**environment: str) -> Iterator[subprocess.Popen[str]]:
    """A running demo, ended by SIGTERM if a test gives up on it."""
    inherited = {name: value for name, value in os.environ.items() if name != "KEEP"}
    with subprocess.Popen(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT, env=inherited | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as running:  # fmt: skip
        try:
            yield running
        finally:
            running.terminate()


def run_demo(**environment: str) -> tuple[int, str, str]:
    with demo(**environment) as running:
        out, err = running.communicate(timeout=60)
    return running.returncode, out, err


def nothing_listens() -> bool:
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != errno.ECONNREFUSED:
                return False
    return True


@pytest.mark.parametrize("engine", ["", "opa"])
def test_demo_passes_row_by_row(engine: str) -> None:
    """Exit status 0, every row shown in a line of its own, all as expected, within a minute."""
    rows = [*ROWS, *ENGINE.scenarios] if engine else ROWS
    status, out, err = run_demo(COLUMNS="80", ENGINE=engine, SCOPEGATE_OPA=str(opa_binary()))
    lines = out.splitlines()
    missing = [row for row in rows if not any(row.title in x and row.expected in x for x in lines)]

    assert (status, missing) == (0, []), out + err
    assert [line for line in lines if len(line.rstrip()) > 80] == []
    assert lines[-2:] == [
        f"{len(rows)} of {len(rows)} as expected",
        "try it yourself: make demo KEEP=1",
    ]


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ENGINE": "wasm"}, "ENGINE must be embedded or opa"),
        ({"ENGINE": "opa", "SCOPEGATE_OPA": "", "PATH": ""}, "make demo ENGINE=opa"),
    ],
)
def test_demo_says_what_is_wrong_when_it_has_no_such_engine(
    environment: dict[str, str], said: str
) -> None:
    """Exit status 2 and one line; nothing else decides instead."""
    status, _, err = run_demo(**environment)

    assert status == 2
    assert said in err
    assert "Traceback" not in err


def test_demo_stays_up_when_asked_to() -> None:
    """``KEEP=1``: every printed command works, and Ctrl-C ends it with nothing left behind."""
    with demo(KEEP="1") as running:
        assert running.stdout is not None
        printed = list(iter(running.stdout.readline, "Ctrl-C ends it.\n"))
        after = next(number for number, line in enumerate(printed) if line.endswith("Try:\n"))
        offered = [line for line in printed[after + 1 :] if line.strip() and line[0] != "#"]
        commands = [line for line in offered if not line.startswith("tail -f")]
        tried = subprocess.run(
            ["sh", "-e"], input="".join(commands), capture_output=True, text=True, check=False
        )
        (log,) = {line.split()[-1] for line in offered} - {line.split()[-1] for line in commands}
        log_is_there = Path(log).is_file()
        running.send_signal(signal.SIGINT)

        assert running.wait(20) == 0, printed
    assert tried.returncode == 0, tried.stderr
    statuses = re.findall(r"HTTP/1.1 (\d+)", tried.stdout)
    assert statuses == ["200", "200", "403", "403", "401"]
    assert "scopegate_jwks_keys" in tried.stdout
    assert log_is_there
    assert [line for line in offered if "eyJ" in line] == []
    assert nothing_listens()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_demo_leaves_nothing_behind_when_it_is_ended(
    number: signal.Signals, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """No listener and no file, in the middle of a row; exit status 130."""
    directory = tmp_path_factory.mktemp("end")
    with demo(TMPDIR=str(directory)) as running:
        assert running.stdout is not None
        while ROWS[0].title not in (line := running.stdout.readline()):
            assert line, "it ended by itself"
        running.send_signal(number)

        assert running.wait(20) == 130
    assert nothing_listens()
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize("port", PORTS)
def test_demo_names_the_port_when_it_is_taken(port: int) -> None:
    """Exit status 2 and one line that says which."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        status, _, err = run_demo()

    assert status == 2
    assert f"port {port}" in err
    assert "Traceback" not in err


async def as_hoped(_: Stage) -> Seen:
    return Seen("200", 1.0)


async def otherwise(_: Stage) -> Seen:
    return Seen("403 policy_denied", 1.0)


async def breaks(_: Stage) -> Seen:
    raise TimeoutError("[/late]")


@pytest.mark.parametrize(
    ("act", "status", "said"),
    [
        (as_hoped, 0, "2 of 2 as expected"),
        (otherwise, 1, "1 of 2 as expected"),
        (breaks, 1, "TimeoutError: [/late]"),
    ],
)
@pytest.mark.parametrize("width", [80, 100, 140])
async def test_status_is_1_when_a_row_differs(
    act: Act, status: int, said: str, width: int, tmp_path: Path
) -> None:
    """Whatever differs or breaks, and whatever comes after it; the reader sees both sides."""
    out = io.StringIO()
    group = Group("rows", (Scenario("this", "200", act), Scenario("next", "200", as_hoped)))
    parts = contextlib.nullcontext(Stage(tmp_path))

    assert await run(Console(file=out, width=width), parts, [group], keep=False) == status
    words = " ".join(out.getvalue().split())
    assert said in words
    assert ("✗" in words) == bool(status)
    assert "next 200" in words


@pytest.mark.parametrize(("width", "shown"), [(80, 1), (99, 1), (100, 2), (140, 2)])
@pytest.mark.parametrize("row", [*ROWS, *ENGINE.scenarios], ids=lambda row: row.title)
def test_row_fits_one_line_when_it_is_as_expected(row: Scenario, width: int, shown: int) -> None:
    """The expected value has a column where there is room for it."""
    out = io.StringIO()
    note = "tool saw x-authz-decision-id: 20b8c14be9f44e96a46078b39c9dc294"
    Results(Console(file=out, width=width)).add(row, Seen(row.expected, 1234.5, (note,)))
    line, under = out.getvalue().splitlines()

    assert line.startswith(f"✓ {row.title} ")
    assert line.count(row.expected) == shown
    assert line.endswith(" 1234.5")
    assert under.strip() == note
