"""``python -m tests.fuzz``, part of ``make soak``: the long form.

``--write docs/fuzz.md`` writes the page; ``--only`` tries one case again. The exit status is 1 when
something was found; it is printed with its seed and number, and kept.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.fuzz.case import kept
from tests.fuzz.generate import case_of
from tests.fuzz.page import page
from tests.fuzz.run import KEPT, fuzz, keep


def main() -> int:
    """Try what is kept first, then cases of the seed until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=int(f"{datetime.now(UTC):%Y%m%d}"))
    parser.add_argument("--only", type=int, help="the one case of that number")
    parser.add_argument("--write", type=Path, help="the page to write")
    wanted = parser.parse_args()
    numbers = itertools.count() if wanted.only is None else [wanted.only]
    cases = (case_of(wanted.seed, number) for number in numbers)
    before = () if wanted.only is not None else itertools.chain(kept(), kept(KEPT))
    tally = fuzz(itertools.chain(before, cases), seconds=wanted.seconds)
    keep(finding for finding in tally.findings if wanted.only is None)
    if wanted.write is not None:
        wanted.write.write_text(page(tally, wanted.seed))
    for finding in tally.findings:
        sys.stdout.write(f"{finding}\n")
    sys.stdout.write(
        f"{tally.cases:,} cases, {tally.gated:,} of them through the whole gate, "
        f"in {tally.seconds:.0f} s; {len(tally.findings)} findings\n"
    )
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
