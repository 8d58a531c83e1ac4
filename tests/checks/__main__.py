"""``python -m tests.checks``, part of ``make soak``: takes every check out and sees its test fail.

``--write`` writes ``docs/checks.md`` with the outcome, ``--table`` prints its tables again and runs
nothing. Words choose the checks whose file, heading or name holds one of them. The exit status is 1
when a check is not proven.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

from tests.checks.check import Check, all_checks
from tests.checks.page import PAGE, outcome_on, page
from tests.checks.workshop import Outcome, Shown, show_all


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.checks", description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--table", action="store_true")
    wanted = parser.parse_args()
    checks = all_checks()
    if wanted.table:
        PAGE.write_text(page(checks, outcome_on(PAGE.read_text() if PAGE.exists() else "")))
        return 0
    if wanted.write and wanted.words:
        parser.error("--write is for all checks")
    chosen = [check for check in checks if _is_chosen(check, wanted.words)]
    started = time.monotonic()
    shown = show_all(chosen, checks, _tell)
    said = _outcome(shown, time.monotonic() - started)
    sys.stdout.write(f"{said}\n")
    if wanted.write:
        PAGE.write_text(page(checks, said))
    return 0 if all(one.outcome is Outcome.PROVEN for one in shown) else 1


def _is_chosen(check: Check, words: list[str]) -> bool:
    return not words or any(w in f"{check.file} {check.heading} {check.what}" for w in words)


def _tell(shown: Shown) -> None:
    if shown.outcome is not Outcome.PROVEN:
        check = shown.check
        where = f"{check.number} {check.file}: {check.what}"
        sys.stdout.write(f"{shown.outcome.value}: {where}\n  {check.test}\n{shown.why}")
        sys.stdout.flush()


def _outcome(shown: list[Shown], seconds: float) -> str:
    proven = [one for one in shown if one.outcome is Outcome.PROVEN]
    tests = {one.check.test for one in shown}
    on = datetime.now(UTC).strftime("%Y-%m-%d")
    said = f"{on}: {len(proven)} of {len(shown)} checks proven, by {len(tests)} tests"
    rest = [f"{one.check.number} {one.outcome.value}" for one in shown if one not in proven]
    return f"{said}, in {seconds:.0f} s.{' Not: ' + ', '.join(rest) + '.' if rest else ''}"


if __name__ == "__main__":
    sys.exit(main())
