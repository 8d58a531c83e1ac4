"""The bench measures what it says it measures, and measures no server that answers wrongly."""

from __future__ import annotations

import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import program, ready
from bench.answers import DECISION, REMOVED, fault_of_allow, fault_of_refusal
from bench.direct import measure_directly
from bench.issuer import Issuer
from bench.measured import IN_FLIGHT, Measured, percentile
from bench.peers import FLOOR, PLUGIN
from bench.problem import BenchError
from bench.server import Server
from bench.work import Work
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from tests.bench_servers import allowing, asked_of, denying, made_server
from tests.values import NOW

ROOT = Path(__file__).resolve().parents[2]
CHECKS, WARM_UP = 3 * IN_FLIGHT, 2 * IN_FLIGHT


async def measured(directory: Path, fault: str = "") -> Measured:
    work = Work(Issuer(NOW), {})
    server = made_server(directory, work, fault)
    return await measure_directly(server, work, checks=CHECKS, warm_up=WARM_UP)


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
    """It starts the real sidecar, gets every answer right, and says that nobody else was asked.

    Directly and through a real Envoy, whose every answer is looked at, too.
    """
    numbers = tmp_path / "numbers.json"
    done = run_bench("--checks", "50", "--seconds", "1", "--rounds", "1", "--json", str(numbers))
    assert done.returncode == 0, done.stderr
    assert "no peer given" in done.stdout
    report = json.loads(numbers.read_text())
    for way in ("direct", "through_envoy"):
        names = {key: row["name"] for key, row in report[way].items()}
        assert names == {"ours": "scopegate", "ours_no_records": "scopegate, no records"}
        for row in report[way].values():
            assert all(row[unit] > 0 for unit in ("rps", "p50_ms", "p99_ms", "cpu_us"))
            assert row["name"] in done.stdout
    assert report["ratios"] == {"direct": {}, "through_envoy": {}}
    inside = [(row["name"], row["checks"]) for row in report["in_process"]]
    assert inside == [
        ("token seen before", 50),
        ("token new each time", 50),
        ("steps 2 to 4, seen before", 50),
        ("steps 2 to 4, new", 50),
    ]
    assert all(row["name"] in done.stdout for row in report["in_process"])


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
    """One to see that it is up, warm-up and checks, 16 at once; twice the calls to refuse.

    The server answers only when 16 wait, so that fewer in flight would end the run with an error.
    """
    await measured(tmp_path)
    good, other, _ = asked_of(tmp_path)
    assert good == 1 + WARM_UP + CHECKS
    assert other == 2 * len(Work(Issuer(NOW), {}).refused)


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
        ("credulous later", "made: a forged token: let through"),
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
    monkeypatch.setattr(ready, "_START_S", 0.0)
    with pytest.raises(BenchError, match="made did not come up in 0 s; it last said: made: UNAV"):
        await measured(tmp_path)


async def test_nothing_is_measured_when_a_server_cannot_be_started(tmp_path: Path) -> None:
    """A file that is no program is named, not a traceback."""
    (tmp_path / "text").write_text("no program")
    server = Server("made", "made", (str(tmp_path / "text"),), tmp_path, 1, fault_of_allow)
    with pytest.raises(BenchError, match="made cannot be started: Permission denied"):
        await measure_directly(server, Work(Issuer(NOW), {}), checks=1, warm_up=1)


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
