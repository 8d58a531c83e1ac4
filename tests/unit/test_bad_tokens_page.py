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
"""What passes the guard alone and not the gate."""

GROUPS = {
    "Another spelling of a good token, or a second one beside it. Who sends it has the good one.": (
        "11 13 14b 101a"
    ),
    "A good token that was revoked. The guard knows no deny list.": "87 88",
    "A good token of somebody else, bound to a key or a certificate, or used before. The guard "
    "asks for no proof and remembers nothing.": "96b 97a 97b 98 108a",
    "A token for another operation, or whose scopes nobody can read. The guard reads no scope.": (
        "80 81b 81c 82a 82b 82c 82d 82e 108b 108c"
    ),
    "A token that the issuer signed as something else, for this very audience. The guard reads no "
    "`typ`.": "32 33 34 35 36 101b 103 105a 105b 105c 107b 107c",
    "A token of an algorithm or for audiences that the profile does not take. The guard asks only "
    "if a key fits and if one audience is ours.": "6b 67b 71b",
    "A token that no careful issuer mints: only the issuer, or who has its key, can make it.": (
        "20 21 22 23 24 25 29b 37 38 42a 42b 52b 62b 63 64a 64b 77 79a 79c "
        "83a 83b 84 85a 85b 86a 86b 107a"
    ),
}
"""Why they matter, by their numbers."""


def cases_table() -> str:
    lines = ["| # | token | standard | the gate says | guard alone |", "|---|---|---|---|---|"]
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
    lines = ["| what passes the guard alone | # |", "|---|---|"]
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
    """What the guard gives up is explained, all of it."""
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
