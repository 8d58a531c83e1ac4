"""Write ``expected.tsv``, and the README's table of it, from what the gate says now.

A changed answer then shows in the diff, where somebody has to explain it.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.wycheproof import EXPECTED, NOT_A_JWS, README, Expected, all_cases, answer, expected
from tests.wycheproof_remade import around_claims, as_it_stands

_HEAD = ("File", "Flag or group", "Wycheproof", "As it stands", "Around claims", "Cases")


def summary() -> str:
    """The table of the README: how many cases of each kind get which answers."""
    kinds = Counter(
        (case.file, case.flag, case.result, row.as_it_stands, row.around_claims)
        for case in all_cases()
        for row in (expected()[case.file, case.id],)
    )
    rows = [_HEAD, ("---",) * len(_HEAD), *((*kind, str(count)) for kind, count in kinds.items())]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


async def _answers() -> list[str]:
    lines = ["\t".join(("file", "tcId", *Expected.__slots__))]
    for case in all_cases():
        remade = around_claims(case)
        words = (
            await answer(*as_it_stands(case)),
            NOT_A_JWS if remade is None else await answer(*remade),
        )
        lines.append("\t".join((case.file, str(case.id), case.result, *words)))
    return lines


def main() -> None:
    """Write both."""
    EXPECTED.write_text("\n".join(asyncio.run(_answers())) + "\n")
    before, _, _ = README.read_text().partition("| File | Flag")
    README.write_text(before + summary())


if __name__ == "__main__":
    main()
