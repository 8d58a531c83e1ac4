"""The numbers of a server: of one round, and of several."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from statistics import median
from typing import Final

from bench.program import Usage

IN_FLIGHT: Final = 16
"""Requests that wait for their answer at any time: the load, in each way of measuring."""


@dataclass(frozen=True, slots=True)
class Load:
    """What the client saw: every answer was the right one."""

    requests: int
    """At least one."""
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A server under load."""

    rps: float
    """Requests per second."""
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """CPU time of the server's process per request."""
    memory_mib: float
    """Its resident memory afterwards."""


@dataclass(frozen=True, slots=True)
class Row:
    """One server."""

    key: str
    name: str
    rounds: tuple[Measured, ...]
    """At least one."""

    @property
    def medians(self) -> Measured:
        """Of each number by itself: they need not be of one and the same round."""
        columns = zip(*(dataclasses.astuple(one) for one in self.rounds), strict=True)
        return Measured(*(median(column) for column in columns))


def measured(load: Load, before: Usage, after: Usage) -> Measured:
    """From what the client saw, and what the server had used before and after."""
    return Measured(
        rps=load.requests / load.seconds,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        cpu_us=(after.cpu_s - before.cpu_s) / load.requests * 1e6,
        memory_mib=after.resident_bytes / 2**20,
    )


def percentile(values: list[float], share: int) -> float:
    """The value that ``share`` percent of ``values`` do not exceed (nearest rank)."""
    return sorted(values)[-(-len(values) * share // 100) - 1]
