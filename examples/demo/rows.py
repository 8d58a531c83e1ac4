"""What a row of the demo's table is made of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from examples.demo.processes import Stage


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a scenario."""

    got: str
    milliseconds: float
    """Of the call that the row is about."""
    notes: tuple[str, ...] = ()
    """Lines that go under the row."""


Act: TypeAlias = Callable[[Stage], Awaitable[Seen]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row, to be run."""

    title: str
    expected: str
    act: Act


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that belong together."""

    title: str
    scenarios: tuple[Scenario, ...]
