"""A fault's stretches of time, and whether the calls of each went as they should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.core.catalogue import Catalogue
from sidecar.core.model import Access, Dependency
from sidecar.core.reasons import Reason
from tests.faults.expected import PASSED, UNASKED, expected, possible
from tests.faults.faults import AT_ONCE_S, NO_TIME, Fault
from tests.faults.files import lane_timeout_s
from tests.faults.kinds import KINDS, Kind, Token
from tests.faults.load import Load, Result

CALM_S: Final = 0.5
"""So long without a mark or a refusal of a good call is healed."""
_A_MOMENT_S: Final = 1e-6
_NO_TIME: Final = frozenset(reason.word for reason in NO_TIME)
_NOTHING: Final = frozenset[Dependency]()
_LATE_S: Final = lane_timeout_s() + 0.75
"""Envoy's timeout of a check, and a margin for a machine that is busy."""


@dataclass(frozen=True, slots=True)
class Times:
    """When a fault began and ended; seconds of ``time.monotonic``."""

    began: float
    returned: float
    healed: float
    ended: float
    before: float
    """Seconds before it began that are looked at."""


@dataclass(frozen=True, slots=True)
class Window:
    """One stretch: what is surely down in it, and what may be."""

    name: str
    start: float
    end: float
    down: frozenset[Dependency] = _NOTHING
    perhaps: frozenset[Dependency] = _NOTHING
    unsettled: frozenset[Reason] = frozenset()
    forgets: bool = False

    def may_end(self, kind: Kind, catalogue: Catalogue) -> frozenset[str]:
        """The outcomes that a call of this kind may have here."""
        outcomes = possible(kind, self.down, self.perhaps, catalogue)
        if kind.claim is not None and self.forgets:
            late = kind.token is Token.USED or self.name == HEALING
            outcomes |= {Reason.USE_UNKNOWN.word} if late else set()
        return outcomes | {reason.word for reason in self.unsettled}


@dataclass(frozen=True, slots=True)
class Cell:
    """The calls of one kind in one window."""

    counts: Counter[str]
    may_end: frozenset[str]

    @property
    def right(self) -> bool:
        """Whether every one ended as it may, but for what a busy machine had no time for."""
        return self.counts.keys() <= self.may_end | _NO_TIME

    @property
    def hurried(self) -> int:
        """How many were refused for lack of time although nothing was unsettled."""
        return sum(self.counts[word] for word in _NO_TIME - self.may_end)


BEFORE: Final = "before"
HEALING: Final = "healing"
AFTER: Final = "after"


def windows_of(fault: Fault, times: Times) -> tuple[Window, ...]:
    """The stretches of a fault, in their order."""
    return (
        Window(BEFORE, times.began - times.before, times.began),
        *_of_outage(fault, times),
        Window(
            HEALING, times.returned, times.healed,
            perhaps=frozenset(felt.dependency for felt in fault.felt) | fault.lingering,
            unsettled=fault.unsettled, forgets=fault.forgets,
        ),
        Window(AFTER, times.healed, times.ended, forgets=fault.forgets),
    )  # fmt: skip


def _of_outage(fault: Fault, times: Times) -> Iterator[Window]:
    settled = max(AT_ONCE_S, fault.settled_s)
    edges = [("first second", 0.0, AT_ONCE_S), (f"to {settled:g} s", AT_ONCE_S, settled)]
    edges.append(("down", settled, times.returned - times.began))
    for name, start, end in edges:
        if start >= end:
            continue
        down = frozenset(felt.dependency for felt in fault.felt if start >= felt.latest)
        perhaps = frozenset(felt.dependency for felt in fault.felt if end > felt.earliest) - down
        perhaps |= fault.lingering if perhaps else _NOTHING
        unsettled = fault.unsettled if perhaps else frozenset[Reason]()
        yield Window(name, times.began + start, times.began + end, down, perhaps, unsettled)


def placed(
    results: Iterable[Result], windows: Sequence[Window], times: Times
) -> Iterator[tuple[Window, Result]]:
    """Each result with its window, by when the call was sent.

    One that was under way when the part fell or came back counts after that: it may see either.
    """
    (healing,) = (window for window in windows if window.name == HEALING)
    for result in results:
        if result.sent < times.returned <= result.answered:
            yield healing, result
            continue
        overtaken = result.sent < times.began <= result.answered
        moment = times.began if overtaken else result.sent
        for window in windows:
            if window.start <= moment < window.end:
                yield window, result


def cells_of(
    load: Load, fault: Fault, times: Times, catalogue: Catalogue
) -> dict[tuple[str, str], Cell]:
    """Every cell of the table, by kind and window."""
    windows = windows_of(fault, times)
    counts = {(kind.name, window.name): Counter[str]() for kind in KINDS for window in windows}
    for window, result in placed(load.results, windows, times):
        counts[result.kind.name, window.name][load.outcome(result)] += 1
    return {
        (kind.name, window.name): Cell(
            counts[kind.name, window.name], window.may_end(kind, catalogue)
        )
        for kind in KINDS
        for window in windows
    }


def healed_at(load: Load, catalogue: Catalogue, returned: float, now: float) -> float | None:
    """When the first ``CALM_S`` began in which all is well; None when it is not known yet."""
    since = sorted(
        (result for result in load.results if result.sent >= returned),
        key=lambda result: result.sent,
    )
    waiting = min((sent for sent in load.pending.values() if sent >= returned), default=now)
    start = returned
    for result in since:
        if result.sent - start >= CALM_S:
            break
        if not _all_is_well(load.outcome(result), result.kind, catalogue):
            start = result.sent + _A_MOMENT_S
    return start if waiting - start >= CALM_S else None


def _all_is_well(outcome: str, kind: Kind, catalogue: Catalogue) -> bool:
    if kind.token is Token.USED and outcome == Reason.USE_UNKNOWN.word:
        return True  # refused for good: nobody remembers it
    return outcome == expected(kind, _NOTHING, catalogue)


def broken_rules(load: Load, results: Iterable[Result], *, dead: bool) -> list[str]:
    """What may never happen, said without the stance table; ``dead``: the sidecar was hurt."""
    broken = []
    for result in results:
        arrival = load.tool.arrivals.get(result.call_id)
        outcome, name = load.outcome(result), result.kind.name
        if result.status == 0 or result.answered - result.sent > _LATE_S:
            broken.append(f"{name}: {outcome} after {result.answered - result.sent:.2f} s")
        if arrival is None:
            continue
        if not result.kind.good and not (dead and outcome == UNASKED and _given_up(result.kind)):
            broken.append(f"a {name} reached the tool: {outcome}")
        if result.kind.access is not Access.READ and outcome != PASSED:
            broken.append(f"a {name} {outcome}")
    return broken


def _given_up(kind: Kind) -> bool:
    """Bad reads that pass while the sidecar is dead, as README says: revoked, out of scope."""
    return kind.access is Access.READ and kind.token in {Token.REVOKED, Token.OTHER_SCOPE}
