"""``docs/fuzz.md``: what the long run tried, what it cost, and what the two verifiers said."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from tests.fuzz import steps
from tests.fuzz.case import kept
from tests.fuzz.run import LIMIT_S, Tally
from tests.fuzz.second_opinion import LISTED
from tests.real_parts import ROOT

_HEAD: Final = """# Fuzzing of the token path

Written by `make soak`, which runs `python -m tests.fuzz`; CI runs a minute of the same. Good tokens
of every profile are changed in their claims, header, JSON text, bytes, signature, chain, binding
and proof, signed by the right key wherever a key could have signed them, and filled up to 8 KB.

{when} UTC, {version}, {cores} cores, {machine}; {seconds:.0f} s, seed {seed},
{past} kept cases first. A finding is any of these:

- **crash**: an exception, `internal_error`, or an answer that is not complete;
- **slow**: more than {limit:.0f} ms of CPU in steps 2 to 4, four times in a row, and three more
  times at the end;
- **accepted**: a token that passes and that joserfc, or what is read by hand beside it, rejects;
- **disagrees**: the whole gate says something else than its steps alone.

**{cases:,} cases, {rate:,.0f} a second, {gated:,} through the whole gate; findings: {findings}.**

`python -m tests.fuzz --seed {seed} --only NUMBER` tries one case again.
"""


def page(tally: Tally, seed: int) -> str:
    """The whole page, Markdown."""
    head = _HEAD.format(
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), version=_version(),
        cores=os.cpu_count(), machine=platform.machine(), seconds=tally.seconds, seed=seed,
        past=sum(1 for _ in kept()), limit=LIMIT_S * 1000, cases=tally.cases,
        rate=tally.cases / max(tally.seconds, 1e-9), gated=tally.gated,
        findings=len(tally.findings) or "none",
    )  # fmt: skip
    lines = [*_findings(tally), *_cost(tally), *_reasons(tally), *_opinions(tally)]
    return head + "\n".join(lines) + "\n"


def _findings(tally: Tally) -> Iterator[str]:
    for finding in tally.findings:
        yield f"\n**Must not be:** {finding.kind}, {finding.detail}: `{_cell(finding.case.how)}`."


def _cost(tally: Tally) -> Iterator[str]:
    shares = (("median", 0.5), ("90 of 100", 0.9), ("99 of 100", 0.99), ("999 of 1,000", 0.999))
    told = ", ".join(f"{name} {tally.at(share) * 1000:.2f} ms" for name, share in shares)
    yield "\n## CPU of steps 2 to 4\n"
    yield f"Measured once: {told}. The most expensive cases, each the least of four measurements:\n"
    yield "| ms | case |"
    yield "|---|---|"
    for took, how in tally.worst:
        yield f"| {took * 1000:.2f} | {_cell(how)} |"


def _reasons(tally: Tally) -> Iterator[str]:
    yield "\n## Reasons reached\n"
    words = sorted(reason.word for reason in steps.TOKEN_REASONS)
    yield from _table("reason", Counter({word: tally.reached[word] for word in words}))
    yield f"\nPassed steps 2 to 4: {tally.reached['passed']:,}. Then refused by the gate for:\n"
    yield from _table("reason", tally.later)


def _opinions(tally: Tally) -> Iterator[str]:
    yield "\n## The second verifier\n"
    yield (
        "joserfc was asked about every accepted token and one in four of the others. Both accept: "
        f"{tally.agreed['both accept']:,}; both reject: {tally.agreed['both reject']:,}. It "
        "accepts what scopegate refuses, mostly because it knows no profile, ceiling or tenant:\n"
    )
    yield from _table("refused as", tally.stricter)
    yield "\nIt rejects what scopegate accepts, and scopegate is right:\n"
    yield "| joserfc says | tokens | why it passes |"
    yield "|---|---|---|"
    for word, why in LISTED.items():
        yield f"| `{word}` | {tally.listed[word]:,} | {why} |"


def _table(name: str, counts: Counter[str]) -> Iterator[str]:
    yield f"| {name} | tokens |"
    yield "|---|---|"
    for word, count in counts.most_common():
        yield f"| `{word}` | {count:,} |"


def _cell(text: str) -> str:
    """No text that a token brought ends a cell or a line."""
    return "".join(c if c.isprintable() else "?" for c in text.replace("|", "/"))[:120]


def _version() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
