"""The faults, one part at a time: what each silences, from when on, and what may linger.

The times follow from the settings of ``stage``; the outcomes do not stand here but follow from the
stance table (``expected``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from sidecar.core.model import Dependency
from sidecar.core.reasons import Reason
from tests.faults.files import KEYS_MAX_AGE_S, KEYS_REFRESH_S, STALE_AFTER_S

AT_ONCE_S: Final = 1.0
"""Within the first second."""
_BEAT_S: Final = 1.0
"""The last heartbeat may be so old: half a second apart, and half a second on its way."""
_MARGIN_S: Final = 0.3


class Hurt(Enum):
    """What is done to a part."""

    KILL = "kill -9"
    STOP = "SIGSTOP"


@dataclass(frozen=True, slots=True)
class Felt:
    """A row of the stance table that a fault brings about: surely after ``latest`` seconds."""

    dependency: Dependency
    earliest: float = 0.0
    latest: float = AT_ONCE_S


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    part: str
    hurt: Hurt
    felt: tuple[Felt, ...]
    says: str
    """What an operator should expect, in a sentence or two."""
    lingering: frozenset[Dependency] = frozenset()
    """Rows that may hold besides, until those of the fault surely do and while it heals."""
    unsettled: frozenset[Reason] = frozenset()
    """Refusals of good calls until every row surely holds, and while it heals: nobody knows yet."""
    forgets: bool = False
    """Single-use tokens from before are refused after the return."""

    @property
    def name(self) -> str:
        return f"{self.hurt.value} of {self.part}"

    @property
    def back(self) -> str:
        """How it comes back."""
        return "started again" if self.hurt is Hurt.KILL else "let go on"

    @property
    def settled_s(self) -> float:
        """Seconds after which every row surely holds."""
        return max(felt.latest for felt in self.felt)


_CLAIMS: Final = (Felt(Dependency.REPLAY), Felt(Dependency.REPLAY_OF_SINGLE_USE_TOKEN))
_STALE: Final = Felt(
    Dependency.DENY_LIST, STALE_AFTER_S - _BEAT_S - _MARGIN_S, STALE_AFTER_S + _MARGIN_S
)
_TOO_OLD: Final = Felt(
    Dependency.KEYS, KEYS_MAX_AGE_S - KEYS_REFRESH_S - _MARGIN_S, KEYS_MAX_AGE_S + _MARGIN_S
)
NO_TIME: Final = frozenset({Reason.OVERLOADED, Reason.DEADLINE_EXCEEDED, Reason.POLICY_ERROR})
"""What is refused because an answer took too long, and nobody was known to be absent."""
_NO_TIME_LEFT: Final = frozenset(felt.dependency for felt in _CLAIMS)
"""Whoever waited for another answer may have too little time left for this one."""
_EVERYTHING: Final = frozenset(Dependency) - {Dependency.DENY_LIST_NEVER_LOADED}

FAULTS: Final = (
    Fault(
        "the relay", Hurt.KILL, (_STALE,),
        f"Nobody vouches for the deny list any more: after {STALE_AFTER_S:g} s it is stale.",
    ),
    Fault(
        "Redis", Hurt.KILL, (*_CLAIMS, _STALE),
        "Single use is unknown at once; the deny list goes stale as without the relay. It comes "
        "back empty: the relay writes the feed again, and single-use tokens from before are "
        "refused.",
        unsettled=NO_TIME, forgets=True,
    ),
    Fault(
        "Redis", Hurt.STOP, (*_CLAIMS, _STALE),
        "As when it is killed, but nothing is lost.",
        unsettled=NO_TIME,
    ),
    Fault(
        "OPA", Hurt.KILL, (Felt(Dependency.POLICY),),
        "Nobody listens: policy is unavailable with the next question.",
    ),
    Fault(
        "OPA", Hurt.STOP, (Felt(Dependency.POLICY, 0.0, 5.0),),
        "Silence may be a slow question of somebody's: until the probes have proof, what waits is "
        "refused and nothing is skipped.",
        lingering=_NO_TIME_LEFT, unsettled=NO_TIME,
    ),
    Fault(
        "the JWKS server", Hurt.KILL, (_TOO_OLD,),
        f"Nothing until the keys are older than {KEYS_MAX_AGE_S:g} s; then nothing passes.",
    ),
    Fault(
        "the JWKS server", Hurt.STOP, (_TOO_OLD,),
        "As when it is killed.",
    ),
    Fault(
        "the sidecar", Hurt.KILL, (Felt(Dependency.SIDECAR),),
        "Envoy's lanes decide: reads that may pass do so behind the guard, marked; for them deny "
        "list, scope, policy and a token's own single use are given up.",
        lingering=_EVERYTHING, unsettled=NO_TIME,
    ),
    Fault(
        "the sidecar", Hurt.STOP, (Felt(Dependency.SIDECAR),),
        "As when it is killed, after Envoy's timeout; once its health check has failed, "
        "at once.",
        lingering=_EVERYTHING, unsettled=NO_TIME,
    ),
)  # fmt: skip
