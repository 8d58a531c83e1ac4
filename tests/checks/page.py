"""``docs/checks.md``: every check, and the test that fails without it."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Final

from tests.checks.check import ROOT, Check, place_of

PAGE: Final = ROOT / "docs" / "checks.md"

_HEAD: Final = """# Checks

The checks between a token's bytes and a call that passes, each with one test that fails without it.
`make soak` takes each out of a copy of the tree in turn and runs its test, which has to pass on the
whole tree and to fail without the check; otherwise the run fails. `python -m tests.checks WORD ...`
does so for the checks whose file, heading or name holds one of the words. The list is in
`tests/checks/list`: a new check is a new entry there. `make docs` prints its tables here.

*Where* is the function. Some checks stand behind others, which refuse the same: all are taken out
together then, because the test passes until the last one is gone.
"""
_NEVER: Final = "Not run yet."
_OUTCOME: Final = re.compile(r"<!-- outcome -->\n(.*)\n<!-- /outcome -->", re.DOTALL)


def outcome_on(page: str) -> str:
    """Give what the page says of the last run."""
    found = _OUTCOME.search(page)
    return found[1] if found else _NEVER


def page(checks: tuple[Check, ...], outcome: str) -> str:
    """Print the page anew."""
    tables = [_table(heading, list(rows)) for heading, rows in groupby(checks, lambda c: c.heading)]
    said = f"<!-- outcome -->\n{outcome}\n<!-- /outcome -->\n"
    return "\n".join((_HEAD, said, *tables))


def _table(heading: str, checks: list[Check]) -> str:
    lines = [
        f"## {heading}",
        "",
        "| # | check | standard | where | test |",
        "|---|---|---|---|---|",
    ]
    return "\n".join((*lines, *map(_row, checks), ""))


def _row(check: Check) -> str:
    what = check.what
    if check.behind:
        what += f" (behind: {'; '.join(check.behind)})"
    file, _, name = check.test.removeprefix("tests/").partition("::")
    cells = (what, check.standard, f"`{place_of(check)}`", f"`{file}` `{name}`")
    return f"| {check.number} | {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
