"""Runs the demo: ``python -m examples.demo``.

The exit status is 0, or 1 when a row differs, or 2 when the demo could not run.
``KEEP=1`` leaves everything running afterwards, with commands to try, until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console

from examples.demo.keep import keep_running
from examples.demo.outages import DEATH, KEYS, REVOCATION
from examples.demo.processes import DemoError, Stage
from examples.demo.rows import Scenario, Seen
from examples.demo.scenarios import CALLS, PAYMENTS, TOKENS
from examples.demo.table import Results

GROUPS: Final = (CALLS, PAYMENTS, TOKENS, REVOCATION, KEYS, DEATH)
_CANNOT_RUN: Final = 2
_INTERRUPTED: Final = 130
_WIDE: Final = 140


async def run(console: Console, directory: Path, *, keep: bool) -> int:
    """Run every row on a fresh stage; the exit status."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    results = Results(console)
    with console.status("starting issuer, tool, sidecar and Envoy") as status:
        async with Stage(directory) as stage:
            for group in GROUPS:
                results.start(group)
                for scenario in group.scenarios:
                    status.update(f"{group.title}: {scenario.title}")
                    results.add(scenario, await _see(scenario, stage))
            status.stop()
            results.show()
            if keep:
                with contextlib.suppress(asyncio.CancelledError):  # Ctrl-C is how it ends
                    await keep_running(console, stage)
    return 1 if results.failed else 0


async def _see(scenario: Scenario, stage: Stage) -> Seen:
    """A row that breaks is a row that differs; the ones after it still run."""
    try:
        return await scenario.act(stage)
    except (TimeoutError, DemoError, OSError) as error:
        return Seen(f"{type(error).__name__}: {error}", 0)


def main() -> int:
    """The command line; there are no arguments."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    with tempfile.TemporaryDirectory(prefix="scopegate-demo-") as directory:
        try:
            return asyncio.run(run(console, Path(directory), keep=keep))
        except DemoError as error:
            Console(stderr=True).print(f"[red]demo: {error}", highlight=False)
            return _CANNOT_RUN
        except (KeyboardInterrupt, asyncio.CancelledError):
            return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
