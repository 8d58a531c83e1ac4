"""Runs the bench: ``python -m bench [PEER_DIR]``.

Servers run one after the other, never together. The exit status says whether everything could be
measured and every answer was right, and nothing of how fast it was.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from bench.direct import measure_directly
from bench.inside import measure_inside
from bench.issuer import Issuer
from bench.measured import Measured
from bench.ours import marker_of, sidecar_servers, write_files
from bench.peers import peer_servers
from bench.problem import BenchError
from bench.report import DIRECT, THROUGH_ENVOY, Conditions, Report, conditions_now
from bench.rounds import Measure, take_turns
from bench.server import Server
from bench.through_envoy import Tools, find_tools, measure_through_envoy
from bench.work import Work
from sidecar.logs import configure

_WIDE: Final = 120
_WARM_UP_CHECKS: Final = 2_000
_WARM_UP_SECONDS: Final = 2
"""At most: never longer than what is measured."""

PeerDir = Annotated[
    Path | None,
    typer.Argument(
        metavar="PEER_DIR",
        exists=True,
        file_okay=False,
        help="A directory with opa-envoy-plugin.xz and ext-authz-floor.xz, to measure as well.",
    ),
]
Checks = Annotated[
    int, typer.Option(min=1, max=1_000_000, help="How many checks a server gets directly a round.")
]
Seconds = Annotated[
    int, typer.Option(min=1, max=3_600, help="How long a server is asked through Envoy a round.")
]
Rounds = Annotated[
    int, typer.Option(min=1, max=100, help="How often each server gets its turn; odd is best.")
]
JsonFile = Annotated[
    typer.FileTextWrite | None,
    # Opened before the run: a path that cannot be written to must not cost its results.
    typer.Option("--json", lazy=False, help="Write the numbers there, too."),
]


def main(
    peer_dir: PeerDir = None,
    checks: Checks = 10_000,
    seconds: Seconds = 5,
    rounds: Rounds = 3,
    json_file: JsonFile = None,
) -> None:
    """Measure what a check costs, directly and through Envoy, and what it costs a peer."""
    configure("warning")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    try:
        tools = find_tools()
        now = conditions_now(rounds=rounds, checks=checks, seconds=seconds)
        with tempfile.TemporaryDirectory(prefix="scopegate-bench-") as directory:
            report = asyncio.run(run(console, Path(directory), peer_dir, tools, now))
    except BenchError as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from None
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None
    report.show(console)
    if json_file is not None:
        json_file.write(report.as_json())


async def run(
    console: Console, directory: Path, peer_dir: Path | None, tools: Tools, conditions: Conditions
) -> Report:
    """Measure everything, with files in a fresh ``directory``. Raises ``BenchError``."""
    _end_with_sigterm()
    issuer = Issuer(time.time())
    servers = sidecar_servers(directory, issuer)
    if peer_dir is None:
        console.print("no peer given: scopegate alone (make bench PEER=DIR adds one)")
    else:
        servers += peer_servers(peer_dir, directory, issuer)
    config = write_files(directory / "inside", issuer, port=0, records=False)
    work = Work(issuer, marker_of(config))
    with console.status("starting") as status:
        ways = _ways(work, tools, conditions)
        rows = await take_turns(servers, ways, conditions.rounds, status.update)
        status.update("measuring the pipeline alone")
        inside = await measure_inside(config, work, checks=conditions.checks)
    return Report(rows, inside, conditions)


def _ways(work: Work, tools: Tools, conditions: Conditions) -> dict[str, Measure]:
    async def directly(server: Server) -> Measured:
        checks, warm_up = conditions.checks, min(conditions.checks, _WARM_UP_CHECKS)
        return await measure_directly(server, work, checks=checks, warm_up=warm_up)

    async def through_envoy(server: Server) -> Measured:
        seconds, warm_up = conditions.seconds, min(conditions.seconds, _WARM_UP_SECONDS)
        return await measure_through_envoy(server, work, tools, seconds=seconds, warm_up=warm_up)

    return {DIRECT: directly, THROUGH_ENVOY: through_envoy}


def _end_with_sigterm() -> None:
    """Make SIGTERM end the run as Ctrl-C does, so that no server is left behind."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


if __name__ == "__main__":
    typer.run(main)
