"""What a call may pass without: each silence is looked up in the stance table, and noted.

The table is ``core.stance``; a route's own exceptions to it come with the call.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeVar

import structlog

from sidecar.core.catalogue import Catalogue
from sidecar.core.model import Call, Dependency, Refused, Stance, Unavailable
from sidecar.core.stance import OUTAGE_REASON, STANCE, ended, stance_of

T = TypeVar("T")

_log: Final = structlog.get_logger(__name__)


@dataclass(slots=True)
class Outages:
    """The silences that a call may live with, and those that it did."""

    call: Call
    now: float
    """The time of the request, by which exceptions end; seconds since the epoch."""
    skipped: tuple[Dependency, ...] = ()

    async def ask(self, question: Awaitable[T], *, assume: T) -> T | Refused:
        """The answer; on silence ``assume`` where the stance is open, else a refusal."""
        try:
            return await question
        except Unavailable as outage:
            return self._without(outage, assume)

    def ask_now(self, question: Callable[[], T], *, assume: T) -> T | Refused:
        """``ask`` for a question that this process answers itself."""
        try:
            return question()
        except Unavailable as outage:
            return self._without(outage, assume)

    def _without(self, outage: Unavailable, assume: T) -> T | Refused:
        dependency, access = outage.dependency, self.call.access
        if stance_of(dependency, access, self.call.outages, self.now) is Stance.OPEN:
            self.skipped = (*self.skipped, dependency)
            return assume
        detail = outage.detail
        if STANCE[dependency, access] is Stance.OPEN:
            detail = f"{detail}; closed by an exception of the route".removeprefix("; ")
        return Refused(OUTAGE_REASON[dependency], detail)


def tell_ended(catalogue: Catalogue, *, now: float) -> None:
    """Log each exception to the table that holds no more; ``now`` in seconds since the epoch."""
    for route in catalogue.routes.values():
        for one in ended(route.outages, now):
            _log.warning(
                "stance_exception_ended",
                route=route.name,
                dependency=one.dependency.value,
                access=one.access.value,
                stance=one.stance.value,
                until=last_day(one.until),
            )


def last_day(until: float | None) -> str:
    """The last day in UTC on which an exception holds, as a catalogue writes it; empty for None."""
    # An end is the first moment of the day after.
    return "" if until is None else f"{datetime.fromtimestamp(until - 1, UTC).date()}"
