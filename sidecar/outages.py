"""What a call may pass without: each silence is looked up in the stance table, and noted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from sidecar.core.model import Access, Dependency, Refused, Unavailable
from sidecar.core.stance import OUTAGE_REASON, STANCE, Stance

T = TypeVar("T")


@dataclass(slots=True)
class Outages:
    """Which silences a call of this access may live with, by the stance table, and which it did."""

    access: Access
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
        if STANCE[outage.dependency, self.access] is Stance.OPEN:
            self.skipped = (*self.skipped, outage.dependency)
            return assume
        return Refused(OUTAGE_REASON[outage.dependency], outage.detail)
