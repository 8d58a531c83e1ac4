"""Runs the demo: ``python -m examples.demo``.

The exit status is 0, or 1 when a row differs, or 2 when the demo could not run.
``KEEP=1`` leaves everything running afterwards, with commands to try, until Ctrl-C.
``ENGINE=opa`` lets a real OPA decide, and adds the rows in which it dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from aiohttp import ClientError
from rich.console import Console
from rich.text import Text

from examples.demo.callers import CALLERS
from examples.demo.engine import ENGINE
from examples.demo.keep import keep_running
from examples.demo.opa import opa_binary
from examples.demo.outages import DEATH, REVOCATION
from examples.demo.processes import Stage
from examples.demo.program import DemoError
from examples.demo.rotation import KEYS
from examples.demo.rows import Group, Scenario, Seen
from examples.demo.scenarios import CALLS, PAYMENTS, TOKENS
from examples.demo.table import Results

GROUPS: Final = (CALLS, PAYMENTS, TOKENS, CALLERS, REVOCATION, KEYS, DEATH)
EMBEDDED: Final = "embedded"
_CANNOT_RUN: Final = 2
_INTERRUPTED: Final = 130
_WIDE: Final = 120


async def run(
    console: Console,
    parts: AbstractAsyncContextManager[Stage],
    groups: Iterable[Group],
    *,
    keep: bool,
) -> int:
    """Show every row of ``groups``; the exit status. ``parts`` is entered for them, and left."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    console.print("starting an issuer, a tool, the sidecar and Envoy ...\n")
    async with parts as stage:
        results = await _play(console, stage, groups)
        results.show()
        if keep:
            with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is how it ends
                await keep_running(console, stage)
        else:
            console.print("try it yourself: make demo KEEP=1")
    return 1 if results.failed else 0


async def _play(console: Console, stage: Stage, groups: Iterable[Group]) -> Results:
    """Run the rows in order; a terminal shows which one is under way."""
    results = Results(console)
    with console.status("") as status:
        for group in groups:
            results.start(group)
            for scenario in group.scenarios:
                status.update(scenario.title)
                results.add(scenario, await _see(scenario, stage))
    return results


async def _see(scenario: Scenario, stage: Stage) -> Seen:
    """A row that breaks is a row that differs; the ones after it still run."""
    try:
        return await scenario.act(stage)
    except (TimeoutError, DemoError, OSError, ClientError) as error:
        return Seen(f"{type(error).__name__}: {error}", 0)


def _opa_for(engine: str) -> str:
    """The OPA that this engine needs; empty for none. Raises ``DemoError``."""
    if engine == EMBEDDED:
        return ""
    if engine != "opa":
        raise DemoError(f"ENGINE must be {EMBEDDED} or opa")
    opa = opa_binary()
    if not opa:
        raise DemoError("there is no OPA: `make demo ENGINE=opa` builds one, with Go")
    return opa


def main() -> int:
    """The command line; there are no arguments."""
    known = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(highlight=False, width=None if known else _WIDE)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    engine = os.environ.get("ENGINE", "") or EMBEDDED
    with tempfile.TemporaryDirectory(prefix="scopegate-demo-") as directory:
        try:
            opa = _opa_for(engine)
            groups = (*GROUPS, ENGINE) if opa else GROUPS
            return asyncio.run(run(console, Stage(Path(directory), opa=opa), groups, keep=keep))
        except DemoError as error:
            Console(stderr=True).print(Text(f"demo: {error}", style="red"), soft_wrap=True)
            return _CANNOT_RUN
        except (KeyboardInterrupt, asyncio.CancelledError):
            return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
