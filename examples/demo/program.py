"""One program of the demo: started, waited for, and stopped by its own process id.

Every wait has a limit and asks a question, so that nothing is slower than it has to be.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

_PATIENCE: Final = 20.0
_POLITE: Final = 5.0
_BETWEEN_QUESTIONS: Final = 0.02


class DemoError(Exception):
    """Something outside the demo keeps it from running; the text says what to do."""


async def until(
    condition: Callable[[], Awaitable[bool]], what: str, seconds: float = _PATIENCE
) -> float:
    """Ask until the answer is yes; the seconds it took. Raises ``TimeoutError`` naming ``what``."""
    started = time.monotonic()
    while not await condition():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"waited {seconds:g} s for: {what}")
        await asyncio.sleep(_BETWEEN_QUESTIONS)
    return time.monotonic() - started


def program(name: str) -> str:
    """Find a command of this very environment. Raises ``DemoError`` when it is not installed."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise DemoError(f"{path} is missing: install the project with its 'demo' group")
    return str(path)


class Program:
    """One child process, writing to ``<name>.out`` and ``<name>.log`` in its directory."""

    def __init__(
        self,
        directory: Path,
        name: str,
        *arguments: str,
        binary: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``binary`` where it is not a command of this environment; ``environment`` is added."""
        self.name = name
        self._binary = binary
        self._environment = {**os.environ, **(environment or {})}
        self.out = directory / f"{name}.out"
        self.log = directory / f"{name}.log"
        self.directory = directory
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it; it is not ready yet."""
        with self.out.open("ab") as out, self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                self._binary or program(self.name), *self._arguments,
                cwd=self.directory, env=self._environment, stdout=out, stderr=log,
            )  # fmt: skip

    async def ready(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for ``condition``. Raises ``DemoError`` with the end of its log when it fails."""

        async def ready_or_dead() -> bool:
            return self._exited or await condition()

        try:
            await until(ready_or_dead, f"{self.name} to be ready")
        except TimeoutError as late:
            raise DemoError(f"{late}\n{self._last_words()}") from late
        if self._exited:
            raise DemoError(f"{self.name} ended at once:\n{self._last_words()}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal to this process, if it is there."""
        if self._process is not None and not self._exited:
            self._process.send_signal(number)

    async def kill(self) -> None:
        """Give it no chance to say good-bye."""
        self.send(signal.SIGKILL)
        await self._gone()

    async def stop(self) -> None:
        """Ask it to end, then make it end. Does nothing when it is gone."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # a stopped process hears nothing else
        try:
            await asyncio.wait_for(self._gone(), _POLITE)
        except TimeoutError:
            await self.kill()

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and not self._exited

    @property
    def _exited(self) -> bool:
        return self._process is not None and self._process.returncode is not None

    async def _gone(self) -> None:
        if self._process is not None:
            await self._process.wait()

    def _last_words(self) -> str:
        lines = self.out.read_text().splitlines() + self.log.read_text().splitlines()
        return "\n".join(lines[-15:])
