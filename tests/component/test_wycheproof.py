"""Wycheproof's 661 vectors through the whole gate, each as it stands and around claims."""

from __future__ import annotations

import pytest

from tests.wycheproof import (
    ALLOWED,
    COUNTS,
    NOT_A_JWS,
    README,
    STRICTER,
    Case,
    all_cases,
    answer,
    cases,
    expected,
)
from tests.wycheproof_remade import around_claims, as_it_stands
from tests.wycheproof_table import summary


async def around(case: Case) -> str:
    remade = around_claims(case)
    return NOT_A_JWS if remade is None else await answer(*remade)


def test_files_hold_every_case_when_counted() -> None:
    """No case is lost on the way from the files, and each has its line in the table."""
    assert {file: len(cases(file)) for file in COUNTS} == COUNTS
    assert [(case.file, case.id) for case in all_cases()] == list(expected())
    assert [case.result for case in all_cases()] == [row.result for row in expected().values()]
    assert sum(COUNTS.values()) == len(expected()) == 661


@pytest.mark.parametrize("file", COUNTS)
async def test_gate_refuses_every_case_when_it_comes_as_it_stands(file: str) -> None:
    """The vectors' own bytes are refused, each for the reason that the table names."""
    words = {case.id: await answer(*as_it_stands(case)) for case in cases(file)}

    assert words == {case.id: expected()[file, case.id].as_it_stands for case in cases(file)}
    assert len(words) == COUNTS[file]
    assert ALLOWED not in words.values()


@pytest.mark.parametrize("file", COUNTS)
async def test_gate_refuses_every_fault_when_the_token_is_good_but_for_it(file: str) -> None:
    """The same faults in tokens that pass without them: refused for the reason in the table."""
    words = {case.id: await around(case) for case in cases(file)}

    assert words == {case.id: expected()[file, case.id].around_claims for case in cases(file)}
    assert len(words) == COUNTS[file]


def test_table_lets_pass_exactly_what_is_valid_when_the_gate_supports_it() -> None:
    """No invalid case passes; a valid one does, unless ``STRICTER`` says why it does not."""
    passed = {key for key, row in expected().items() if row.around_claims == ALLOWED}
    valid = {key for key, row in expected().items() if row.result == "valid"}

    assert passed == valid - STRICTER.keys()
    assert STRICTER.keys() <= valid


def test_table_has_no_form_around_claims_when_a_case_is_encrypted() -> None:
    """Only the 34 JWE cases have no second form: nothing else was left out."""
    without = {key for key, row in expected().items() if row.around_claims == NOT_A_JWS}

    assert without == {(case.file, case.id) for case in all_cases() if "jwe" in case.test}
    assert len(without) == 34


def test_readme_counts_as_the_table_does_when_somebody_reads_it() -> None:
    """The README's table is the one of ``expected.tsv``: ``python -m tests.wycheproof_table``."""
    assert summary() in README.read_text()
