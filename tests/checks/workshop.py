"""Copies of the tree in which checks are taken out, and what the named tests say to that."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import SimpleQueue
from typing import IO, Final

from tests.checks.check import ROOT, Check, files_without

_COPIES: Final = 2
_FOLDERS: Final = ("sidecar", "tests", "policies", "examples", "docs")
_PASSED, _FAILED = 0, 1  # pytest's exit statuses
_SHOWN: Final = 2000


class Outcome(Enum):
    """What became of one check when it was taken out."""

    PROVEN = "proven"  # the named test failed, and passes otherwise
    SURVIVED = "SURVIVED"  # the named test passed: it does not prove the check
    BROKEN = "BROKEN"  # nothing was shown: no such test, a time-out, code that does not run


@dataclass(frozen=True, slots=True)
class Shown:
    """One check's outcome."""

    check: Check
    outcome: Outcome
    why: str = ""
    """What pytest printed, when nothing was shown."""


class Workshop:
    """One copy, and the process that runs tests in it, one at a time."""

    def __init__(self, copy: Path, asks: IO[str], answers: IO[str]) -> None:
        self._copy, self._asks, self._answers = copy, asks, answers

    def run(self, test: str, files: dict[str, str]) -> tuple[int, str]:
        """Give pytest's exit status and output with these files, as texts by their place."""
        self._asks.write(json.dumps({"test": test, "files": files}) + "\n")
        self._asks.flush()
        answer = json.loads(self._answers.readline())
        return answer["status"], answer["output"]

    def show(self, check: Check, checks: tuple[Check, ...]) -> Shown:
        """Take the check out and see its test fail, once that was seen to pass."""
        try:
            files = files_without(check, checks, self._copy)
        except (KeyError, ValueError) as error:
            return Shown(check, Outcome.BROKEN, f"{error}\n")
        status, output = self.run(check.test, {})
        if status != _PASSED:
            return Shown(check, Outcome.BROKEN, f"fails on the whole tree:\n{output[-_SHOWN:]}")
        status, output = self.run(check.test, files)
        if status == _FAILED:
            return Shown(check, Outcome.PROVEN)
        if status == _PASSED:
            return Shown(check, Outcome.SURVIVED)
        return Shown(check, Outcome.BROKEN, f"status {status}:\n{output[-_SHOWN:]}")


@contextmanager
def workshop() -> Iterator[Workshop]:
    """Copy what tests need, and start the process."""
    with tempfile.TemporaryDirectory(prefix="checks-") as folder:
        copy = Path(folder)
        for name in _FOLDERS:
            unwanted = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, ignore=unwanted)
        shutil.copy(ROOT / "pyproject.toml", copy)
        # By content: a file that changes back within a second would pass for the one before.
        compileall.compile_dir(copy, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        environment = {**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        with subprocess.Popen(
            [sys.executable, "-m", "tests.checks.worker"],
            cwd=copy,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin
            assert process.stdout
            yield Workshop(copy, process.stdin, process.stdout)
            process.stdin.close()


def show_all(
    wanted: Iterable[Check], checks: tuple[Check, ...], told: Callable[[Shown], None]
) -> list[Shown]:
    """Take each of ``wanted`` out in turn, in two copies at once; ``told`` hears of each."""
    with ExitStack() as copies, ThreadPoolExecutor(_COPIES) as pool:
        free: SimpleQueue[Workshop] = SimpleQueue()
        for _ in range(_COPIES):
            free.put(copies.enter_context(workshop()))

        def show(check: Check) -> Shown:
            one = free.get()
            try:
                shown = one.show(check, checks)
            finally:
                free.put(one)
            told(shown)
            return shown

        return list(pool.map(show, wanted))
