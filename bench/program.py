"""Runs one program as a child process and reads what it uses from ``/proc``.

A child is ended by its own process id, politely and then not. It sees no variable of ours, so that
nothing in somebody's environment changes what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.problem import BenchError

_POLITE_S: Final = 15.0
_LAST_WORDS: Final = 15


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu_s: float
    """User and system time of all its threads, in seconds; it ticks, usually in hundredths."""
    resident_bytes: int


class Program:
    """A child process that has been started."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, out: Path, log: Path
    ) -> None:
        self._name = name
        self._process = process
        self._out = out
        self._log = log

    def usage(self) -> Usage:
        """Read ``stat`` (fields 14 and 15) and ``statm`` (field 2); see proc(5)."""
        folder = Path("/proc") / str(self._process.pid)
        # The command's name is in brackets and may hold anything, brackets and spaces too.
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        pages = int((folder / "statm").read_text().split()[1])
        return Usage(ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE"))

    def require_running(self) -> None:
        """Raise ``BenchError`` with the end of its log when the process has ended."""
        if self._process.returncode is not None:
            raise BenchError(f"{self._name} ended:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        lines = self._log.read_text(errors="replace").splitlines()[-_LAST_WORDS:]
        return "\n".join(lines) or "(it wrote nothing)"

    async def output(self, seconds: float) -> str:
        """What it has written to standard output when it ends by itself.

        Raises ``BenchError`` when it fails, or goes on for longer than ``seconds``.
        """
        try:
            await asyncio.wait_for(self._process.wait(), seconds)
        except TimeoutError as error:
            raise BenchError(f"{self._name} did not end in {seconds:g} s") from error
        if self._process.returncode != 0:
            raise BenchError(f"{self._name} failed:\n{self.last_words()}")
        return self._out.read_text(errors="replace")

    async def stop(self) -> None:
        """Ask it to end, then make it end."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), _POLITE_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def running(
    name: str, command: tuple[str, ...], directory: Path
) -> AsyncGenerator[Program, None]:
    """Run ``command`` in ``directory`` for as long as the context lasts; it is not ready yet.

    Its output goes to files there. Raises ``BenchError`` when it cannot be started.
    """
    out, log = directory / "stdout.log", directory / "stderr.log"
    try:
        with out.open("wb") as to_out, log.open("wb") as to_log:
            process = await asyncio.create_subprocess_exec(
                *command, cwd=directory, env={"PATH": os.defpath}, stdout=to_out, stderr=to_log
            )
    except OSError as error:
        raise BenchError(f"{name} cannot be started: {error.strerror}") from error
    program = Program(name, process, out, log)
    try:
        yield program
    finally:
        await program.stop()


def free_port() -> int:
    """A loopback port that was free just now; who loses the race says so and ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
