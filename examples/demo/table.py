"""The demo's table: one line per scenario, what differs in red."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from examples.demo.rows import Group, Scenario, Seen


class Results:
    """Collects rows, shows each as it comes, and the whole at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._table = Table(title="scopegate in front of a tool", title_justify="left")
        self._table.add_column("scenario")
        self._table.add_column("expected")
        self._table.add_column("got")
        self._table.add_column("ms", justify="right")
        self.passed = 0
        self.failed = 0

    def start(self, group: Group) -> None:
        """Begin a section."""
        self._table.add_section()
        self._table.add_row(f"[bold]{escape(group.title)}")

    def add(self, scenario: Scenario, seen: Seen) -> None:
        """Judge one row: what was got must be what was expected, letter by letter."""
        as_expected = seen.got == scenario.expected
        self.passed += as_expected
        self.failed += not as_expected
        colour = "green" if as_expected else "bold red"
        self._table.add_row(
            f"  {escape(scenario.title)}",
            escape(scenario.expected),
            "\n".join(
                [f"[{colour}]{escape(seen.got)}[/]", *(f"[dim]{escape(n)}[/]" for n in seen.notes)]
            ),
            f"{seen.milliseconds:.1f}",
        )

    def show(self) -> None:
        """Print the table and the sum."""
        self._console.print(self._table)
        total = self.passed + self.failed
        colour = "red" if self.failed else "green"
        self._console.print(f"[{colour}]{self.passed} of {total} as expected")
