"""A minute of fuzzing: nothing crashes, nothing is slow, nothing passes that should not.

``make soak`` runs the same for ten minutes and writes ``docs/fuzz.md``. What is found is printed
with its seed and number, and its bytes are kept in ``.cache/fuzz-findings.jsonl``.
"""

from __future__ import annotations

import itertools
from typing import Final

from tests.fuzz.case import kept
from tests.fuzz.generate import case_of
from tests.fuzz.run import KEPT, Tally, fuzz, keep
from tests.measured import Tell

SEED: Final = 1
"""The same cases on every run: when one fails, it is for what was changed."""
SECONDS: Final = 60.0
AT_LEAST: Final = 2000
"""Cases, however busy the machine is."""


def found(tally: Tally) -> list[str]:
    """What was found, kept for later."""
    keep(tally.findings)
    return [str(finding) for finding in tally.findings]


def test_kept_cases_are_judged_rightly_when_they_come_again() -> None:
    """What was found once, and the most expensive tokens known, stay mended."""
    tally = fuzz(itertools.chain(kept(), kept(KEPT)), seconds=SECONDS)

    assert tally.cases >= sum(1 for _ in kept()) > 0
    assert found(tally) == []


def test_token_path_holds_when_tokens_are_changed_for_a_minute(tell: Tell) -> None:
    """No crash, no token above 5 ms of CPU, no acceptance that a second verifier rejects."""
    cases = (case_of(SEED, number) for number in itertools.count())
    tally = fuzz(cases, seconds=SECONDS)

    tell("cases in a minute", tally.cases)
    tell("through the whole gate", tally.gated)
    tell("the most CPU of one token, ms", f"{tally.worst[0][0] * 1000:.1f}")
    assert found(tally) == []
    assert tally.cases >= AT_LEAST
    assert tally.reached["passed"] > tally.cases / 10
