"""``make soak``: the long runs, their results dated and appended to docs/soak.md.

Many times the broken requests of CI, the demo again and again, and every part killed and stopped
for longer: a race that shows once in many runs shows here. Tokens are fuzzed, and each check of
theirs is taken out to see its test fail. Some of them write a page of docs/ of their own.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.measured import measured

ROOT: Final = Path(__file__).resolve().parent.parent
REPORT: Final = ROOT / ".cache" / "soak.xml"
RESULTS: Final = ROOT / "docs" / "soak.md"
HEAD: Final = """# Long runs

Written by `make soak`, newest last. What CI runs is shorter.

| when (UTC) | version | cores | run | outcome | seconds |
|---|---|---|---|---|---|
"""


def main() -> int:
    """Run everything, write a row for each, and fail if any failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broken-requests", type=int, default=200_000)
    parser.add_argument("--demos", type=int, default=10)
    parser.add_argument("--single-use-runs", type=int, default=1000)
    parser.add_argument("--fuzz-seconds", type=int, default=600)
    parser.add_argument("--revocations", type=int, default=200)
    parser.add_argument("--revoked", type=int, default=50_000)
    wanted = parser.parse_args()
    requests = f"--broken-requests={wanted.broken_requests}"
    broken = [sys.executable, "-m", "pytest", "-q", "tests/component/test_any_bytes.py", requests]
    outcomes = [_run(f"{wanted.broken_requests:,} broken requests", [broken])]
    demo = [sys.executable, "-m", "examples.demo"]
    outcomes.append(_run(f"the demo, {wanted.demos} times", [demo] * wanted.demos))
    faults = [sys.executable, "-m", "tests.faults"]
    outcomes.append(_run("each part killed and stopped under load", [faults]))
    outcomes.append(_fuzz(wanted.fuzz_seconds))
    outcomes.append(_checks())
    outcomes.append(_single_use(wanted.single_use_runs))
    outcomes.append(_revocations(wanted.revocations, wanted.revoked))
    return 0 if all(outcomes) else 1


def _fuzz(seconds: int) -> bool:
    command = [sys.executable, "-m", "tests.fuzz", f"--seconds={seconds}", "--write=docs/fuzz.md"]
    return _run(f"{seconds:,} s of fuzzing the token path", [command])


def _checks() -> bool:
    command = [sys.executable, "-m", "tests.checks", "--write"]
    return _run("every check of the token path taken out in turn", [command])


def _single_use(runs: int) -> bool:
    wanted = ["tests/component/test_shared_single_use.py", f"--single-use-runs={runs}"]
    name = f"{runs:,} times fifty uses of one token at once, over two sidecars"
    return _run(name, [[sys.executable, "-m", "pytest", "-q", *wanted]])


def _revocations(timed: int, many: int) -> bool:
    wanted = ["tests/component/test_shared_revocations.py", f"--junitxml={REPORT}"]
    sizes = [f"--revocations={timed}", f"--revoked={many}", "-o", "junit_family=xunit1"]
    name = f"{timed:,} revocations to 20 sidecars; {many:,} while Redis is killed"
    return _run(
        name,
        [[sys.executable, "-m", "pytest", "-q", *wanted, *sizes]],
        told=lambda: measured(
            REPORT,
            "from the relay's answer to the refusal, ms",
            "everybody complete after the last return, seconds",
        ),
    )


def _run(name: str, commands: list[list[str]], told: Callable[[], str] = str) -> bool:
    """``told`` says what was measured, once all is done."""
    started = time.monotonic()
    failed = 0
    for command in commands:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            failed += 1
            sys.stderr.write(done.stdout[-4000:] + done.stderr[-4000:])
    passed = "; ".join(filter(None, ("passed", "" if failed else told())))
    outcome = passed if not failed else f"{failed} of {len(commands)} failed"
    _note(name, outcome, time.monotonic() - started)
    return not failed


def _note(name: str, outcome: str, seconds: float) -> None:
    if not RESULTS.exists():
        RESULTS.write_text(HEAD)
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M")
    row = f"| {when} | {_version()} | {os.cpu_count()} {platform.machine()} | {name} | {outcome} "
    with RESULTS.open("a") as results:
        results.write(f"{row}| {seconds:.0f} |\n")
    sys.stdout.write(f"{name}: {outcome} in {seconds:.0f} s\n")


def _version() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
