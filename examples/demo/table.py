"""The demo's table: a line per scenario as soon as it is known, its notes under it.

A wide terminal gets a column of what was expected; a narrow one is told only where that differs.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from examples.demo.rows import Group, Scenario, Seen

_SCENARIO: Final = 35
_EXPECTED: Final = 26
_MILLISECONDS: Final = 6
_WIDE: Final = 100
_WIDEST: Final = 120


class Results:
    """Shows each row as it comes, and counts."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._wide = console.width >= _WIDE
        self._marks = ("X", "+") if console.options.ascii_only else ("✗", "✓")
        self.passed = 0
        self.failed = 0

    def start(self, group: Group) -> None:
        """Begin a group; the first one begins the table."""
        if not self.passed + self.failed:
            self._line("", "scenario", "expected", "got", "ms", style="bold")
        self._console.print(Text(f"\n{group.title}", style="bold"))

    def add(self, scenario: Scenario, seen: Seen) -> None:
        """Judge one row: what was got must be what was expected, letter by letter."""
        as_expected = seen.got == scenario.expected
        self.passed += as_expected
        self.failed += not as_expected
        got = seen.got
        if not as_expected and not self._wide:
            got += f"\nexpected {scenario.expected}"
        self._line(
            self._marks[as_expected],
            scenario.title,
            scenario.expected,
            got,
            f"{seen.milliseconds:.1f}",
            style="green" if as_expected else "bold red",
        )
        for note in seen.notes:
            self._console.print(Text(f"    {note}", style="dim"), soft_wrap=True)

    def show(self) -> None:
        """Print what the last column means, and how many rows are as expected."""
        self._console.print(
            Text("\nms: one call (of many, the median), as the agent measures it", style="dim")
        )
        total = self.passed + self.failed
        colour = "bold red" if self.failed else "bold green"
        self._console.print(Text(f"{self.passed} of {total} as expected", style=colour))

    def _line(
        self, mark: str, scenario: str, expected: str, got: str, milliseconds: str, *, style: str
    ) -> None:
        """One line, or more where a text is longer than its column."""
        line = Table.grid(padding=(0, 1))
        line.width = min(self._console.width, _WIDEST)
        line.add_column(width=1, style=style)
        line.add_column(width=_SCENARIO)
        if self._wide:
            line.add_column(width=_EXPECTED)
        line.add_column(ratio=1, style=style)
        line.add_column(width=_MILLISECONDS, justify="right")
        cells = (mark, scenario, *((expected,) if self._wide else ()), got, milliseconds)
        line.add_row(*(Text(cell) for cell in cells))
        self._console.print(line)
