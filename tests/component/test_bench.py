"""The bench measures what it says it measures, and measures no server that answers wrongly."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import load, program
from bench.answers import DECISION, IDENTITY, REMOVED, fault_of_allow, fault_of_refusal
from bench.issuer import Issuer
from bench.load import IN_FLIGHT, ServerRow, measure_server, percentile
from bench.peers import FLOOR, PLUGIN
from bench.problem import BenchError
from bench.program import free_port
from bench.server import Server
from bench.work import Work
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from tests.values import NOW

ROOT = Path(__file__).resolve().parents[2]
CHECKS, WARM_UP = 3 * IN_FLIGHT, 2 * IN_FLIGHT

# Answers like a server that judges, by comparing bytes; its last argument says what it gets wrong.
SERVER = """
import asyncio, os, signal, sys, time
from pathlib import Path

import grpc

fault = sys.argv[2]
good = Path("good").read_bytes()
allow, deny = Path("allow").read_bytes(), Path("deny").read_bytes()
asked = {True: 0, False: 0}
together = asyncio.Barrier(int(sys.argv[3]))

def burn():
    until = time.thread_time() + 0.01
    while time.thread_time() < until:
        pass

async def check(raw, context):
    asked[raw == good] += 1
    Path("asked").write_text(f"{asked[True]} {asked[False]} {os.getpid()}")
    number = asked[True]
    if fault == "never right":
        return deny if number < 3 else os._exit(3)
    if raw == good and number > 1:
        await together.wait()
    if fault == "burns":
        await asyncio.to_thread(burn)
    if fault == "dies" and number == 40:
        os._exit(3)
    if fault == "wrong once" and number == 60:
        return deny
    return allow if raw == good or fault == "credulous" else deny

async def main():
    if fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(check)
    service = "envoy.service.auth.v3.Authorization"
    handler = grpc.method_handlers_generic_handler(service, {"Check": method})
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()

if fault == "ends at once":
    sys.exit("no licence")
asyncio.run(main())
"""


def allowing(**changes: str) -> pb.CheckResponse:
    """The right answer to a call that passes; ``changes`` are headers, empty for none."""
    answer = pb.CheckResponse()
    headers = {**IDENTITY, DECISION: "d-1", **changes}
    for name, value in headers.items():
        if value:
            answer.ok_response.headers.add().header.MergeFrom(
                pb.HeaderValue(key=name.encode(), value=value.encode())
            )
    answer.ok_response.headers_to_remove.extend(name.encode() for name in REMOVED)
    return answer


def denying(code: int = 16) -> pb.CheckResponse:
    answer = pb.CheckResponse()
    answer.status.code = code
    answer.denied_response.status.code = 401
    return answer


def made_server(directory: Path, work: Work, fault: str = "") -> Server:
    (directory / "good").write_bytes(work.check)
    (directory / "allow").write_bytes(allowing().SerializeToString())
    (directory / "deny").write_bytes(denying().SerializeToString())
    port = free_port()
    command = (sys.executable, "-c", SERVER, str(port), fault, str(IN_FLIGHT))
    return Server("made", command, directory, port, fault_of_allow)


async def measured(directory: Path, fault: str = "") -> ServerRow:
    work = Work(Issuer(NOW), {})
    server = made_server(directory, work, fault)
    return await measure_server(server, work, checks=CHECKS, warm_up=WARM_UP)


def asked_of(directory: Path) -> tuple[int, int, int]:
    """Good checks, other checks, and the process that was asked."""
    good, other, pid = map(int, (directory / "asked").read_text().split())
    return good, other, pid


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_bench_measures_the_sidecar_alone_when_no_peer_is_given(tmp_path: Path) -> None:
    """It starts the real sidecar, gets every answer right, and says that nobody else was asked."""
    numbers = tmp_path / "numbers.json"
    done = run_bench("--checks", "50", "--json", str(numbers))
    assert done.returncode == 0, done.stderr
    assert "no peer given" in done.stdout
    report = json.loads(numbers.read_text())
    servers = [(row["name"], row["checks"]) for row in report["servers"]]
    assert servers == [("scopegate", 50), ("scopegate, no records", 50)]
    inside = [(row["name"], row["checks"]) for row in report["in_process"]]
    assert inside == [("token seen before", 50), ("token new each time", 50)]
    assert report["ratios"] == []
    assert all(row["name"] in done.stdout for row in report["servers"] + report["in_process"])


@pytest.mark.parametrize(
    ("packed", "missing", "message"),
    [
        ({}, PLUGIN, "cannot be unpacked: No such file"),
        ({PLUGIN: lzma.compress(b"x")}, FLOOR, "cannot be unpacked: No such file"),
        ({PLUGIN: b"no xz"}, PLUGIN, "cannot be unpacked: Input format not supported"),
    ],
)
def test_bench_ends_before_measuring_when_a_peer_is_missing(
    tmp_path: Path, packed: dict[str, bytes], missing: str, message: str
) -> None:
    """The message names the file; nobody waits for a run that cannot be finished."""
    for name, content in packed.items():
        (tmp_path / f"{name}.xz").write_bytes(content)
    done = run_bench("--checks", "50", str(tmp_path))
    assert done.returncode == 1
    assert f"{missing}.xz {message}" in done.stderr
    assert "no peer given" not in done.stdout


def test_bench_ends_before_measuring_when_numbers_cannot_be_written(tmp_path: Path) -> None:
    """A misspelt path costs no run."""
    done = run_bench("--json", str(tmp_path / "absent" / "numbers.json"))
    assert done.returncode == 2
    assert "--json" in done.stderr


async def test_server_gets_exactly_the_announced_checks_when_measured(tmp_path: Path) -> None:
    """One to see that it is up, the calls to refuse, warm-up and checks, 16 of them at once.

    The server answers only when 16 wait, so that fewer in flight would end the run with an error.
    """
    row = await measured(tmp_path)
    assert (row.name, row.checks) == ("made", CHECKS)
    good, other, _ = asked_of(tmp_path)
    assert good == 1 + WARM_UP + CHECKS
    assert other == len(Work(Issuer(NOW), {}).refused)


async def test_cpu_is_that_of_all_the_servers_threads_when_it_burns_some(tmp_path: Path) -> None:
    """Each check burns 10 ms of CPU on a thread; a clock tick less may be seen."""
    tick_us = 1e6 / os.sysconf("SC_CLK_TCK")
    row = await measured(tmp_path, "burns")
    assert row.cpu_us >= 10_000 - 2 * tick_us / CHECKS


@pytest.mark.parametrize("fault", ["", "deaf"])
async def test_server_is_gone_when_it_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """No server outlives its measurement, not even one that does not listen."""
    monkeypatch.setattr(program, "_POLITE_S", 0.1 if fault else 60.0)
    await measured(tmp_path, fault)
    assert not (Path("/proc") / str(asked_of(tmp_path)[2])).exists()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("ends at once", r"made ended:\nno licence"),
        ("never right", r"made ended:\n\(it wrote nothing\)"),
        ("credulous", "made: a forged token: let through"),
        ("dies", "made: UNAVAILABLE"),
        ("wrong once", rf"made: answer \d+ of {CHECKS}: refused \(16 ''\)"),
    ],
)
async def test_nothing_is_measured_when_a_server_is_wrong(
    tmp_path: Path, fault: str, message: str
) -> None:
    """One wrong answer is enough, and the message says which server and how."""
    with pytest.raises(BenchError, match=message):
        await measured(tmp_path, fault)


async def test_nothing_is_measured_when_a_server_does_not_come_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait has an end, and the message says what the server said last."""
    monkeypatch.setattr(load, "_START_S", 0.0)
    with pytest.raises(BenchError, match="made did not come up in 0 s; it last said: made: UNAV"):
        await measured(tmp_path)


async def test_nothing_is_measured_when_a_server_cannot_be_started(tmp_path: Path) -> None:
    """A file that is no program is named, not a traceback."""
    (tmp_path / "text").write_text("no program")
    server = Server("made", (str(tmp_path / "text"),), tmp_path, 1, fault_of_allow)
    with pytest.raises(BenchError, match="made cannot be started: Permission denied"):
        await measure_server(server, Work(Issuer(NOW), {}), checks=1, warm_up=1)


def test_allow_has_no_fault_when_it_is_the_right_one() -> None:
    """The table of wrong answers below starts from a right one."""
    assert fault_of_allow(allowing().SerializeToString()) is None


def _with_code(answer: pb.CheckResponse, code: int) -> pb.CheckResponse:
    answer.status.code = code
    return answer


def _removing(*names: str) -> pb.CheckResponse:
    answer = allowing()
    answer.ok_response.ClearField("headers_to_remove")
    answer.ok_response.headers_to_remove.extend(name.encode() for name in names)
    return answer


def _doubled() -> pb.CheckResponse:
    answer = allowing()
    answer.ok_response.headers.append(answer.ok_response.headers[0])
    return answer


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (pb.CheckResponse(), "refused"),
        (denying(), "refused"),
        (denying(0), "refused"),
        (_with_code(allowing(), 7), "refused"),
        (allowing(**{"x-agent-id": ""}), "without the identity headers"),
        (allowing(**{"x-agent-id": "agent-8"}), "without the identity headers"),
        (allowing(**{"x-more": "1"}), "without the identity headers"),
        (allowing(**{DECISION: ""}), "without the identity headers"),
        (_doubled(), "set twice"),
        (_removing("x-authz-skipped"), "without removing exactly authorization"),
        (_removing(*REMOVED, "x-more"), "without removing exactly authorization"),
    ],
)
def test_allow_has_a_fault_when_it_is_another_answer(answer: pb.CheckResponse, fault: str) -> None:
    """A server that does less, or more, than the others is not compared with them."""
    assert fault in str(fault_of_allow(answer.SerializeToString()))


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (denying().SerializeToString(), None),
        (denying(0).SerializeToString(), "let through"),
        (b"", "let through"),
        (b"\xff", "no CheckResponse"),
    ],
)
def test_refusal_is_told_by_its_code_when_envoy_would(answer: bytes, fault: str | None) -> None:
    """Code 0 passes, whatever stands beside it."""
    assert fault_of_refusal(answer) == fault


@pytest.mark.parametrize(
    ("count", "share", "value"),
    [(1, 50, 1), (3, 50, 2), (4, 50, 2), (10, 99, 10), (100, 99, 99), (200, 99, 198)],
)
def test_percentile_is_a_measured_value_when_there_is_any(
    count: int, share: int, value: int
) -> None:
    """Nearest rank: at least ``share`` percent are not above it."""
    assert percentile([float(number) for number in range(count, 0, -1)], share) == value
