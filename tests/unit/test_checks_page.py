"""``docs/checks.md`` is the list of checks, and the list is about the code and tests that are."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from tests.checks.check import ROOT, all_checks, files_without
from tests.checks.page import PAGE, outcome_on, page
from tests.checks.workshop import Outcome, workshop

CHECKS = all_checks()


def test_page_is_what_the_list_says_when_printed_again() -> None:
    """Every row is printed from what is tried."""
    text = PAGE.read_text()

    assert text == page(CHECKS, outcome_on(text))


def test_page_tells_of_a_run_of_all_checks_when_the_list_grew() -> None:
    """A check that nobody took out yet does not stand there as proven."""
    outcome = outcome_on(PAGE.read_text())

    assert f": {len(CHECKS)} of {len(CHECKS)} checks proven" in outcome


def test_each_check_is_found_once_in_its_file_when_it_is_looked_for() -> None:
    """Taken out, another file is left, and it is Python."""
    for check in CHECKS:
        for name, text in files_without(check, CHECKS).items():
            compile(text, name, "exec")
            assert text != (ROOT / name).read_text(), check.what


def test_no_place_has_two_checks_of_one_name_when_one_names_another() -> None:
    """What stands behind a second line of defence is one check."""
    names = Counter((check.file, check.what) for check in CHECKS)

    assert [name for name, count in names.items() if count > 1] == []


def test_every_named_test_exists_when_pytest_looks_for_it() -> None:
    """Node ids with their cases."""
    named = {check.test for check in CHECKS}
    files = sorted({test.partition("::")[0] for test in named})
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--collect-only", "-q"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=True)

    assert named - set(done.stdout.splitlines()) == set()


@pytest.mark.parametrize(
    ("put", "outcome"),
    [
        ("if False:", Outcome.PROVEN),
        ("if len(values) > 1:  # as before", Outcome.SURVIVED),
        ("if len(values) > 1", Outcome.BROKEN),
    ],
)
def test_outcome_is_proven_only_when_the_test_fails(put: str, outcome: Outcome) -> None:
    """What changes nothing survives; what does not run shows nothing."""
    check = next(check for check in CHECKS if re.match(r"several `Auth", check.what))

    with workshop() as one:
        assert one.show(replace(check, put=put), CHECKS).outcome is outcome
