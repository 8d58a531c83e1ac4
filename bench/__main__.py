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

from bench.inside import measure_inside
from bench.issuer import Issuer
from bench.load import ServerRow, measure_server
from bench.ours import marker_of, sidecar_servers, write_files
from bench.peers import peer_servers
from bench.problem import BenchError
from bench.report import Report, this_machine
from bench.server import Server
from bench.work import Work
from sidecar.logs import configure

_WIDE: Final = 120
_WARM_UP_AT_MOST: Final = 2_000

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
    int, typer.Option(min=1, max=1_000_000, help="How many checks are measured per server.")
]
JsonFile = Annotated[
    typer.FileTextWrite | None,
    # Opened before the run: a path that cannot be written to must not cost its results.
    typer.Option("--json", lazy=False, help="Write the numbers there, too."),
]


def main(peer_dir: PeerDir = None, checks: Checks = 20_000, json_file: JsonFile = None) -> None:
    """Measure what a check costs, and what it costs a peer."""
    configure("warning")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    try:
        with tempfile.TemporaryDirectory(prefix="scopegate-bench-") as directory:
            report = asyncio.run(run(console, Path(directory), peer_dir, checks))
    except BenchError as error:
        typer.echo(f"bench: {error}", err=True)
        raise typer.Exit(1) from None
    report.show(console)
    if json_file is not None:
        json_file.write(report.as_json())


async def run(console: Console, directory: Path, peer_dir: Path | None, checks: int) -> Report:
    """Measure everything, with files in a fresh ``directory``. Raises ``BenchError``."""
    _end_with_sigterm()
    machine, issuer = this_machine(), Issuer(time.time())
    ours = sidecar_servers(directory, issuer)
    others: tuple[Server, ...] = ()
    if peer_dir is None:
        console.print("no peer given: scopegate alone (make bench PEER=DIR adds one)")
    else:
        others = peer_servers(peer_dir, directory, issuer)
    config = write_files(directory / "inside", issuer, port=0, records=False)
    work = Work(issuer, marker_of(config))
    our_rows = await _measured(console, ours, work, checks)
    other_rows = await _measured(console, others, work, checks)
    with console.status("measuring the pipeline alone"):
        inside = await measure_inside(config, work, checks=checks)
    return Report(our_rows, other_rows, inside, machine)


async def _measured(
    console: Console, servers: tuple[Server, ...], work: Work, checks: int
) -> tuple[ServerRow, ...]:
    rows: list[ServerRow] = []
    for server in servers:
        with console.status(f"measuring {server.name}"):
            warm_up = min(checks, _WARM_UP_AT_MOST)
            rows.append(await measure_server(server, work, checks=checks, warm_up=warm_up))
    return tuple(rows)


def _end_with_sigterm() -> None:
    """Make SIGTERM end the run as Ctrl-C does, so that no server is left behind."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


if __name__ == "__main__":
    typer.run(main)
