"""The load through Envoy: ``wrk``, whose script (``wrk.lua``) looks at every answer.

Its latencies are corrected for coordinated omission by ``wrk`` itself: an answer that took longer
than usual counts for the calls, too, that it kept from being made.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from bench.answers import SENT
from bench.measured import IN_FLIGHT, Load
from bench.problem import BenchError
from bench.program import running

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")
_ANSWER_S: Final = 5
_MORE_S: Final = 30.0
"""How much longer than its load it may take."""
_INSTALL: Final = (("apt-get", "update"), ("apt-get", "install", "--yes", "wrk"))


def wrk_program() -> Path:
    """Find ``wrk``; root gets it installed where there is ``apt-get``.

    Raises ``BenchError`` with the way to get it when there is none.
    """
    if shutil.which("wrk") is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        for command in _INSTALL:
            # What fails here is told by there being no wrk afterwards.
            subprocess.run(  # noqa: S603 - the command is the constant above
                command,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                check=False,
            )
    found = shutil.which("wrk")
    if found is None:
        raise BenchError("wrk is missing; Debian and Ubuntu have it: apt-get install wrk")
    return Path(found)


async def drive(
    program: Path, directory: Path, *, port: int, call: bytes, wanted: str, seconds: int
) -> Load:
    """Make ``call`` for ``seconds`` over ``IN_FLIGHT`` connections to 127.0.0.1.

    An answer is right when its status is 200 and its header ``SENT`` is ``wanted``. Files go into
    ``directory``. Raises ``BenchError`` when any answer is wrong, or there is none.
    """
    command = _command(program, directory, port, call, wanted, seconds=seconds)
    async with running("wrk", command, directory) as wrk:
        output = await wrk.output(seconds + _MORE_S)
    return _load(json.loads(output.splitlines()[-1]))


def _command(
    program: Path, directory: Path, port: int, call: bytes, wanted: str, *, seconds: int
) -> tuple[str, ...]:
    directory.mkdir(exist_ok=True)
    request = directory / "call.http"
    request.write_bytes(call)
    return (
        str(program), "--threads", "1", "--connections", str(IN_FLIGHT),
        "--duration", f"{seconds}s", "--timeout", f"{_ANSWER_S}s", "--script", str(_SCRIPT),
        f"http://127.0.0.1:{port}", "--", str(request), SENT, wanted,
    )  # fmt: skip


def _load(said: dict[str, Any]) -> Load:
    right, wrong = said["right"], said["wrong"]
    if wrong:
        raise BenchError(f"{wrong} of {right + wrong} answers, the first: {said['first_wrong']}")
    if said["unanswered"] or not right:
        raise BenchError(f"{said['unanswered']} calls were not answered, {right} were")
    return Load(
        requests=right,
        seconds=said["microseconds"] / 1e6,
        p50_ms=said["p50_us"] / 1e3,
        p99_ms=said["p99_us"] / 1e3,
    )
