"""``docs/outages.md``: what was seen, and what the stance table expects, fault by fault."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from tests.faults.files import (
    KEYS_MAX_AGE_S,
    KEYS_REFRESH_S,
    STALE_AFTER_S,
    lane_timeout_s,
)
from tests.faults.kinds import KINDS
from tests.faults.load import RATE
from tests.faults.play import Calm, Played
from tests.faults.windows import Cell, Window

_HEAD: Final = """# Outages, as seen

Written by `make soak`, which runs `python -m tests.faults`. One part at a time is killed or
stopped and comes back, while {rate} calls a second go through a real Envoy to a real sidecar with
OPA, Redis, a relay and an issuer's key server, each a process of its own. Good and bad calls are
mixed; the tool notes what reached it, and every call is judged by its id.

{when} UTC, {version}, {cores} cores, {machine}. Settings that matter: the deny list is stale after
{stale:g} s, keys are refreshed every {refresh:g} s and used for {old:g} s, Envoy waits {wait:g} s
for a check; Redis keeps nothing on disk.

- `passed without policy`: passed, and `x-authz-skipped` names the question that nobody answered.
- `passed unasked`: by Envoy's open lane, marked with `x-envoy-auth-failure-mode-allowed`.
- `envoy: 503`, `guard: 401`, `strict: 403` are Envoy's own words, all others scopegate's reasons.
- *Expected while down* is computed from [the stance table](stance.md), as is what each cell may
  hold; one that holds anything else says **not expected**. What was under way when the part fell or
  came back counts after that moment.
- *healing* ends where half a second begins in which every call goes as if nothing had been.

{verdict}

## Undisturbed

{calls} calls: median {p50:.0f} ms, 99 of 100 within {p99:.0f} ms, at most {most:.0f} ms. CPU, in
shares of one core: {cpu}.
"""


def page(calm: Calm, played: Sequence[Played], version: str) -> str:
    """The whole page, Markdown."""
    wrong = sum(len(one.wrong) for one in played)
    calls, hurried = sum(one.calls for one in played), sum(one.hurried for one in played)
    verdict = (
        f"**{calls:,} calls; otherwise than expected: {wrong or 'nothing'}.** "
        f"Refused for lack of time while nothing was unsettled: {hurried}. "
        f"Others took {max(one.others for one in played):.1f} cores at most."
    )
    cpu = ", ".join(f"{name} {share:.2f}" for name, share in sorted(calm.cpu.items()))
    head = _HEAD.format(
        rate=RATE, when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), version=version,
        cores=os.cpu_count(), machine=platform.machine(), verdict=verdict, calls=calm.calls,
        p50=calm.p50_ms, p99=calm.p99_ms, most=calm.most_ms, cpu=cpu,
        stale=STALE_AFTER_S, refresh=KEYS_REFRESH_S, old=KEYS_MAX_AGE_S, wait=lane_timeout_s(),
    )  # fmt: skip
    return head + "".join("\n" + "\n".join(_section(one)) + "\n" for one in played)


def _section(played: Played) -> Iterator[str]:
    times, windows = played.times, played.windows
    yield f"## {played.fault.name}"
    yield ""
    yield (
        f"{played.fault.says} Down for {times.returned - times.began:.1f} s; healed "
        f"{played.healing_s:.1f} s after it was {played.fault.back}."
    )
    yield ""
    names = [f"{window.name}, {window.end - window.start:.1f} s" for window in windows]
    yield f"| call | expected while down | {' | '.join(names)} |"
    yield "|---" * (len(windows) + 2) + "|"
    (down,) = (window for window in windows if window.name == "down")
    for kind in KINDS:
        cells = [_cell(played.cells[kind.name, window.name]) for window in windows]
        yield f"| {kind.name} | {_expected(played, kind.name, down)} | {' | '.join(cells)} |"
    for line in played.broken[:5]:
        yield f"\n**Must not be:** {line}."


def _expected(played: Played, kind: str, down: Window) -> str:
    return " or ".join(sorted(played.cells[kind, down.name].may_end))


def _cell(cell: Cell) -> str:
    seen = "<br>".join(f"{count} {outcome}" for outcome, count in cell.counts.most_common())
    return seen if cell.right else f"{seen}<br>**not expected**"
