"""What is told of a check once it is decided: to records, metrics, and later spans.

An observer returns at once and never raises; it may drop what it cannot keep up with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sidecar.core.model import Verdict


@dataclass(frozen=True, slots=True)
class Observation:
    """One finished check."""

    decision_id: str
    at: float
    """Seconds since the epoch."""
    seconds: float
    """How long the check took inside the sidecar."""
    peer: str
    """The front's name for who asked: Envoy's end of the connection."""
    verdict: Verdict


class Observer(Protocol):
    """Is told of every check, after it."""

    def __call__(self, observation: Observation, /) -> None:
        """Take note; never block, never raise."""
        ...
