"""What ``scopegate token inspect`` finds out, as values; how it looks is ``token_show``'s."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from sidecar.cli.token_hints import Circumstances, hint_for
from sidecar.cli.token_parts import Kind, Parts
from sidecar.core.model import Refused


class Result(Enum):
    """What became of one step."""

    OK = "ok"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # it could not be tried


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the gate."""

    name: str
    result: Result
    detail: str = ""
    """What was found; for a refusal, what the record would say."""
    reason: str = ""
    """The code word of a refusal, or of what was not to be had."""
    hint: str = ""
    """For people: what that means here."""


@dataclass(frozen=True, slots=True)
class OfferStep:
    """What becomes of the calls of one operation."""

    step: Step
    scope: str
    """What it wants."""
    by: str
    """The scope of the token that covers it; empty when none does."""
    access: str
    risk: str = ""
    single_use: bool = False
    needs: tuple[str, ...] = ()
    """What the caller has to show besides the token."""


@dataclass(frozen=True, slots=True)
class RouteStep:
    """What becomes of the calls of one route."""

    step: Step
    offers: tuple[OfferStep, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether a call of it would pass, as far as this can be told."""
        passes = (offer.step.result is Result.OK for offer in self.offers)
        return self.step.result is Result.OK and any(passes)


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything about one token at one moment."""

    now: float
    parts: Parts = field(repr=False)
    kind: Kind
    steps: tuple[Step, ...]
    routes: tuple[RouteStep, ...] | None
    """None when nobody asked, or when the claims are not even an agent's."""
    is_judged: bool
    """Whether there were settings to judge by, and not only its form was looked at."""

    @property
    def is_good(self) -> bool:
        """Whether it would be accepted; without settings, whether it is well-formed."""
        if any(step.result is not Result.OK for step in self.steps):
            return False
        return not self.is_judged or any(route.is_open for route in self.routes or ())


Ladder: TypeAlias = list[Step]


def ok(name: str, detail: str = "") -> Step:
    """Make the step that found nothing wrong."""
    return Step(name, Result.OK, detail)


def refused(name: str, why: Refused, around: Circumstances) -> Step:
    """Make the step that refuses."""
    return Step(name, Result.REFUSED, why.detail, why.reason.word, hint_for(why, around))
