"""Waits for a server: nobody knows better when it is ready than who gets the right answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from bench.problem import BenchError
from bench.program import Program

_START_S: Final = 30.0
_ASK_AGAIN_S: Final = 0.05

FaultNow: TypeAlias = Callable[[], Awaitable[str | None]]
"""What is wrong with the answer of this moment, or None."""


async def until_right(name: str, fault_now: FaultNow, *programs: Program) -> None:
    """Ask until the answer is the right one.

    Raises ``BenchError`` when one of ``programs`` ends, or when it takes too long.
    """
    until = time.monotonic() + _START_S
    while (wrong := await fault_now()) is not None:
        for program in programs:
            program.require_running()
        if time.monotonic() > until:
            said = "\n".join(program.last_words() for program in programs)
            raise BenchError(
                f"{name} did not come up in {_START_S:g} s; it last said: {wrong}\n{said}"
            )
        await asyncio.sleep(_ASK_AGAIN_S)
