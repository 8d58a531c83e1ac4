"""``docs/bad-tokens.md`` says what the table says; ``--write`` prints its tables again."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

from sidecar.core.reasons import Reason
from tests.bad_tokens import CASES, LAST
from tests.bad_tokens_kit import Case, Guard

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "bad-tokens.md"

ALONE = [case for case in CASES if case.reason is not None and case.guard is Guard.PASSES]
"""What passes Envoy alone and not the gate."""

GROUPS = {
    "A good token that was revoked. Envoy knows no deny list.": "88",
    "A good token here: the demo's profile takes its algorithm and several audiences, the row's "
    "does not.": "6b 71b",
    "A token that no careful issuer mints: only the issuer, or who has its key, can make it. Envoy "
    "compares no date with another, and counts and folds nothing.": "42a 42b 52b 62b 64a 64b 82e",
}
"""Why they matter, by their numbers."""


def cases_table() -> str:
    lines = ["| # | token | standard | the gate says | Envoy alone |", "|---|---|---|---|---|"]
    return "\n".join((*lines, *map(_row, CASES)))


def _row(case: Case) -> str:
    said = f"`{case.reason.word}`" if case.reason else "passes"
    guard = f"**{case.guard.value}**" if case in ALONE else case.guard.value
    return f"| {case.number} | {case.what} | {case.standard} | {said} | {guard} |"


def counts() -> str:
    passing = sum(case.reason is None for case in CASES)
    refusing = sum(case.guard in {Guard.REFUSES, Guard.NO_LANE} for case in CASES)
    text = (
        f"{len(CASES)} tokens for {LAST} cases. The gate refuses {len(CASES) - passing}; "
        f"{passing} pass, because nothing is wrong with them or nobody could tell. Of the "
        f"{len(CASES)}, Envoy without scopegate refuses {refusing}, and lets {len(ALONE)} pass "
        "that the gate refuses."
    )
    return textwrap.fill(text, width=120)


def groups_table() -> str:
    lines = ["| what passes Envoy alone | # |", "|---|---|"]
    lines += [f"| {why} | {', '.join(rows.split())} |" for why, rows in GROUPS.items()]
    return "\n".join(lines)


TABLES = {"counts": counts, "groups": groups_table, "cases": cases_table}


def with_tables(page: str) -> str:
    for name, table in TABLES.items():
        marked = f"<!-- {name} -->\n{table()}\n<!-- /{name} -->"
        page = re.sub(
            f"<!-- {name} -->.*?<!-- /{name} -->",
            lambda _, marked=marked: marked,  # type: ignore[misc]
            page,
            flags=re.DOTALL,
        )
    return page


def test_page_is_what_the_table_says_when_printed_again() -> None:
    """Every row is printed from what is tested."""
    page = PAGE.read_text()

    assert page == with_tables(page)
    assert all(f"<!-- {name} -->" in page for name in TABLES)


def test_groups_name_every_token_once_when_only_the_gate_refuses_it() -> None:
    """What Envoy gives up is explained, all of it."""
    named = [number for rows in GROUPS.values() for number in rows.split()]

    assert sorted(named) == sorted(case.number for case in ALONE)


def test_table_reaches_every_reason_of_a_token_when_one_of_its_cases_can() -> None:
    """What is missing is no fault of the token's: ceilings, ages, what it was minted for."""
    of_tokens = {reason for reason in Reason if reason.http_status == 401}
    missing = of_tokens - {case.reason for case in CASES}

    assert {reason.word for reason in missing} == {
        "tenant_not_of_issuer",
        "scope_above_ceiling",
        "token_too_old",
        "stale_policy",
        "stale_capabilities",
        "use_unknown",
    }


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(with_tables(PAGE.read_text()))
