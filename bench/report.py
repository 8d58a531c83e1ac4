"""What was measured, for people and for programs. There are no targets here."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.inside import InsideRow
from bench.measured import IN_FLIGHT, Row

DIRECT: Final = "direct"
THROUGH_ENVOY: Final = "through_envoy"

_OTHERS: Final = ("peer", "floor")


@dataclass(frozen=True, slots=True)
class Ratio:
    """One server of ours over one of others, measured in the same rounds and the same way."""

    rps: float
    p50: float
    p99: float
    cpu: float | None
    """None when theirs was too little to see."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Where and how it was measured."""

    python: str
    cpus: int
    load_average: float
    """Over the minute before the run: what others were doing here."""
    rounds: int
    checks: int
    """Directly, per round."""
    seconds: int
    """Through Envoy, per round."""


def conditions_now(*, rounds: int, checks: int, seconds: int) -> Conditions:
    """This machine, as it is now."""
    cpus, load = os.cpu_count() or 1, os.getloadavg()[0]
    return Conditions(platform.python_version(), cpus, load, rounds, checks, seconds)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one run measured."""

    ways: Mapping[str, Sequence[Row]]
    """The servers, measured directly and through Envoy."""
    inside: tuple[InsideRow, ...]
    conditions: Conditions

    def as_json(self) -> str:
        """For programs; a number's unit is in its name, a server's number is its median."""
        document = {
            **dataclasses.asdict(self.conditions),
            "in_flight": IN_FLIGHT,
            **{way: {row.key: _numbers(row) for row in rows} for way, rows in self.ways.items()},
            "ratios": {way: _ratios_by_key(rows) for way, rows in self.ways.items()},
            "in_process": [dataclasses.asdict(row) for row in self.inside],
        }
        return json.dumps(document, indent=2) + "\n"

    def show(self, console: Console) -> None:
        """Print it."""
        now = self.conditions
        console.print(
            f"Python {now.python}; {now.cpus} CPUs, shared by server and client; "
            f"load average {now.load_average:.1f} before the run; {now.rounds} rounds"
        )
        titles = {
            DIRECT: f"directly over gRPC: {now.checks:,} checks a round, {IN_FLIGHT} in flight",
            THROUGH_ENVOY: f"through Envoy: {now.seconds} s a round, {IN_FLIGHT} connections",
        }
        for way, rows in self.ways.items():
            console.print(_servers(titles[way], rows))
            if _ratios(rows):
                console.print(_ratio_table(titles[way].partition(":")[0], rows))
        console.print(_inside(self.inside))


def _numbers(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        **dataclasses.asdict(row.medians),
        "rounds": [dataclasses.asdict(one) for one in row.rounds],
    }


def _ratios(rows: Sequence[Row]) -> list[tuple[Row, Row, Ratio]]:
    """Each of ours over each of the others."""
    others = [row for row in rows if row.key in _OTHERS]
    ours = [row for row in rows if row.key not in _OTHERS]
    return [(one, other, _ratio(one, other)) for other in others for one in ours]


def _ratio(ours: Row, other: Row) -> Ratio:
    one, two = ours.medians, other.medians
    return Ratio(
        rps=one.rps / two.rps,
        p50=one.p50_ms / two.p50_ms,
        p99=one.p99_ms / two.p99_ms,
        cpu=one.cpu_us / two.cpu_us if two.cpu_us else None,
    )


def _ratios_by_key(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    nested: dict[str, dict[str, Any]] = {}
    for ours, other, ratio in _ratios(rows):
        nested.setdefault(ours.key, {})[other.key] = dataclasses.asdict(ratio)
    return nested


def _servers(title: str, rows: Sequence[Row]) -> Table:
    columns = ("server", "requests/s", "p50 ms", "p99 ms", "CPU us/request", "memory MiB")
    table = _table(title, columns)
    for row in rows:
        one = row.medians
        table.add_row(
            row.name,
            f"{one.rps:,.0f}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            f"{one.cpu_us:,.0f}",
            f"{one.memory_mib:.0f}",
        )
    return table


def _ratio_table(way: str, rows: Sequence[Row]) -> Table:
    columns = ("ours / other", "requests/s", "p50", "p99", "CPU per request")
    table = _table(f"ratios {way}", columns)
    for ours, other, ratio in _ratios(rows):
        table.add_row(
            f"{ours.name} / {other.name}",
            f"{ratio.rps:.2f}",
            f"{ratio.p50:.2f}",
            f"{ratio.p99:.2f}",
            "-" if ratio.cpu is None else f"{ratio.cpu:.2f}",
        )
    return table


def _inside(rows: Iterable[InsideRow]) -> Table:
    table = _table(
        "the pipeline alone, without gRPC, one check at a time, one round",
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
