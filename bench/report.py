"""What was measured, for people and for programs. There are no targets here."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from bench.inside import InsideRow
from bench.load import IN_FLIGHT, ServerRow


@dataclass(frozen=True, slots=True)
class Ratio:
    """One server of ours beside one of others, measured in the same run."""

    ours: str
    other: str
    cpu: float | None
    """CPU per check, ours over theirs; None when theirs was too little to see."""
    checks_per_s: float


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured."""

    python: str
    cpus: int
    load_average: float
    """Over the minute before the run: what others were doing here."""


def this_machine() -> Machine:
    """This one, as it is now."""
    return Machine(platform.python_version(), os.cpu_count() or 1, os.getloadavg()[0])


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run measured."""

    ours: tuple[ServerRow, ...]
    others: tuple[ServerRow, ...]
    inside: tuple[InsideRow, ...]
    machine: Machine

    def ratios(self) -> tuple[Ratio, ...]:
        """Each of ours over each of the others."""
        return tuple(_ratio(ours, other) for other in self.others for ours in self.ours)

    def as_json(self) -> str:
        """For programs; a number's unit is in its name."""
        document = {
            "in_flight": IN_FLIGHT,
            "cpus": self.machine.cpus,
            "load_average": self.machine.load_average,
            "python": self.machine.python,
            "servers": [dataclasses.asdict(row) for row in (*self.ours, *self.others)],
            "in_process": [dataclasses.asdict(row) for row in self.inside],
            "ratios": [dataclasses.asdict(ratio) for ratio in self.ratios()],
        }
        return json.dumps(document, indent=2) + "\n"

    def show(self, console: Console) -> None:
        """Print it."""
        machine = self.machine
        console.print(
            f"Python {machine.python}; {machine.cpus} CPUs, shared by server and client; "
            f"load average {machine.load_average:.1f} before the run"
        )
        console.print(_servers((*self.ours, *self.others)))
        if self.others:
            console.print(_ratios(self.ratios()))
        console.print(_inside(self.inside))


def _ratio(ours: ServerRow, other: ServerRow) -> Ratio:
    cpu = ours.cpu_us / other.cpu_us if other.cpu_us else None
    return Ratio(ours.name, other.name, cpu, ours.checks_per_s / other.checks_per_s)


def _servers(rows: Sequence[ServerRow]) -> Table:
    table = _table(
        f"{rows[0].checks:,} checks over gRPC, {IN_FLIGHT} in flight, every answer verified",
        ("server", "checks/s", "p50 ms", "p99 ms", "CPU us/check", "memory MiB"),
    )
    for row in rows:
        table.add_row(
            row.name,
            f"{row.checks_per_s:,.0f}",
            f"{row.p50_ms:.2f}",
            f"{row.p99_ms:.2f}",
            f"{row.cpu_us:,.0f}",
            f"{row.resident_mib:.0f}",
        )
    return table


def _ratios(ratios: Iterable[Ratio]) -> Table:
    table = _table("ratios", ("ours / other", "CPU per check", "checks/s"))
    for ratio in ratios:
        table.add_row(
            f"{ratio.ours} / {ratio.other}",
            "-" if ratio.cpu is None else f"{ratio.cpu:.2f}",
            f"{ratio.checks_per_s:.2f}",
        )
    return table


def _inside(rows: Iterable[InsideRow]) -> Table:
    table = _table(
        "the pipeline alone, without gRPC, one check at a time",
        ("check", "checks", "p50 us", "p99 us", "CPU us/check"),
    )
    for row in rows:
        table.add_row(
            row.name,
            f"{row.checks:,}",
            f"{row.p50_us:.0f}",
            f"{row.p99_us:.0f}",
            f"{row.cpu_us:.0f}",
        )
    return table


def _table(title: str, columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table
