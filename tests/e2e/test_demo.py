"""The demo as a user runs it."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from examples.demo.__main__ import GROUPS
from examples.demo.processes import ENVOY_PORT, ISSUER_PORT, SIDECAR_PORT, TOOL_PORT

ROOT = Path(__file__).resolve().parents[2]


PORTS = (ENVOY_PORT, TOOL_PORT, ISSUER_PORT, SIDECAR_PORT)


def start_demo(**environment: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "KEEP"}
    return subprocess.Popen(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT, env=inherited | environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def run_demo() -> tuple[int, str, str]:
    with start_demo() as demo:
        out, err = demo.communicate(timeout=60)
    return demo.returncode, out, err


def test_demo_passes_row_by_row() -> None:
    """Exit status 0, every row shown, all as expected, within a minute."""
    status, out, err = run_demo()
    titles = [row.title for group in GROUPS for row in group.scenarios]

    assert status == 0, out + err
    assert [title for title in titles if title not in out] == []
    assert f"{len(titles)} of {len(titles)} as expected" in out


def test_demo_stays_up_when_asked_to() -> None:
    """``KEEP=1``: the printed commands work, and Ctrl-C ends it with nothing left behind."""
    with start_demo(KEEP="1") as demo:
        assert demo.stdout is not None
        lines = list(iter(demo.stdout.readline, "Ctrl-C ends it.\n"))
        commands = [line for line in lines if re.match("[RWP]=|curl -i", line)]
        tried = subprocess.run(["bash", "-c", "".join(commands)], capture_output=True, check=False)
        demo.send_signal(signal.SIGINT)

        assert demo.wait(20) == 0, lines
    statuses = re.findall(rb"HTTP/1.1 (\d+)", tried.stdout)
    assert statuses == [b"200", b"200", b"403", b"403"]
    for port in PORTS:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED


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
