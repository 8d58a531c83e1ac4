"""``python -m tests.checks.worker`` in a copy of the tree: runs one test at a time, files changed.

A line of JSON comes in for each, and one goes out. Each test runs in a process of its own, forked
from this one before anything of the sidecar was imported: only the libraries are shared.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path

import pytest

ANOTHER_COPY = 70
"""The exit status when not the copy was imported: the test would say nothing."""
_PATIENCE_S = 60
_LIBRARIES = (
    *("aiohttp.web", "cachetools", "cryptography.x509", "hypothesis.strategies", "joserfc.jwk"),
    *("jwt.algorithms", "msgspec", "pydantic", "structlog", "yaml"),
)
_ARGUMENTS = (
    *("-p", "no:cacheprovider", "-x", "-q", "--no-header", "--tb=line"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # hypothesis is there already
)


def main() -> None:
    """Answer until there are no more questions."""
    for library in _LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        job = json.loads(line)
        before = {name: Path(name).read_text() for name in job["files"]}
        _write(job["files"])
        status, output = _run(job["test"])
        _write(before)
        sys.stdout.write(json.dumps({"status": status, "output": output}) + "\n")
        sys.stdout.flush()


def _write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).write_text(text)


def _run(test: str) -> tuple[int, str]:
    """Give the exit status, below zero for a signal, and what was printed."""
    read, write = os.pipe()
    process = os.fork()
    if process == 0:
        os.dup2(write, 1)
        os.dup2(write, 2)
        signal.alarm(_PATIENCE_S)
        status = ANOTHER_COPY
        try:
            status = _test(test)
        finally:
            sys.stdout.flush()
            os._exit(status)
    os.close(write)
    with os.fdopen(read, errors="replace") as printed:
        output = printed.read()
    _, ended = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(ended), output


def _test(test: str) -> int:
    sidecar = importlib.import_module("sidecar")
    if not Path(sidecar.__file__ or "").is_relative_to(Path.cwd()):
        return ANOTHER_COPY
    return pytest.main([*_ARGUMENTS, test])


if __name__ == "__main__":
    main()
