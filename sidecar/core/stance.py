"""What silence means: one table, dependency x access, and a route's exceptions to it.

OPEN skips one question (what policy says, whether a token was used, how fresh the deny list is),
never a signature, an audience, an expiry, a binding or a scope. If OPEN stands neither in this
table nor in a route's exception that has not ended, it does not exist. Refusals are not outages:
no caller can bring a row of this table about.

An exception that opens a cell ends by itself: it says until when, and is judged by the time of
each request, so that nothing has to be loaded, or refuses to start, when its day has passed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sidecar.core.model import Access, Dependency, Stance, StanceException
from sidecar.core.reasons import Reason

_READS_PASS: Final = {
    Access.READ: Stance.OPEN,
    Access.SENSITIVE: Stance.CLOSED,
    Access.WRITE: Stance.CLOSED,
}
_NOTHING_PASSES: Final = dict.fromkeys(Access, Stance.CLOSED)

_ROWS: Final = {
    Dependency.KEYS: _NOTHING_PASSES,  # none usable for that issuer: nothing can be verified
    Dependency.CLOCK: _NOTHING_PASSES,  # the issuer's and ours differ: no date means anything
    Dependency.DENY_LIST: _READS_PASS,  # older than its limit; the last known list still holds
    Dependency.DENY_LIST_NEVER_LOADED: _NOTHING_PASSES,  # there is no last known list
    Dependency.POLICY: _READS_PASS,  # unreachable; its errors are refusals
    Dependency.REPLAY: _READS_PASS,  # the route or the ruling asked for single use
    Dependency.REPLAY_OF_SINGLE_USE_TOKEN: _NOTHING_PASSES,  # the token itself asked for it
    Dependency.SIDECAR: _READS_PASS,  # Envoy's lanes, behind the guard
}

STANCE: Final = MappingProxyType(
    {(what, access): row[access] for what, row in _ROWS.items() for access in Access}
)

OUTAGE_REASON: Final = MappingProxyType(
    {
        Dependency.KEYS: Reason.KEYS_UNAVAILABLE,
        Dependency.CLOCK: Reason.CLOCK_SKEWED,
        Dependency.DENY_LIST: Reason.DENY_LIST_UNAVAILABLE,
        Dependency.DENY_LIST_NEVER_LOADED: Reason.DENY_LIST_UNAVAILABLE,
        Dependency.POLICY: Reason.POLICY_UNAVAILABLE,
        Dependency.REPLAY: Reason.REPLAY_UNAVAILABLE,
        Dependency.REPLAY_OF_SINGLE_USE_TOKEN: Reason.REPLAY_UNAVAILABLE,
    }
)

FIXED: Final = MappingProxyType(
    {
        Dependency.KEYS: "without an issuer's keys nothing of its tokens can be verified",
        Dependency.CLOCK: "while two clocks differ, no date of a token means anything",
        Dependency.DENY_LIST_NEVER_LOADED: (
            "a deny list that was never loaded may miss every revocation there is"
        ),
        Dependency.REPLAY_OF_SINGLE_USE_TOKEN: (
            "a token says of itself that it serves one call, and who minted it relies on that"
        ),
    }
)
"""The rows to which there is no exception, and why."""

FURTHEST_END_S: Final = 366 * 86400.0
"""How far ahead an opening may end, in seconds: who wants it for longer decides again."""


def stance_of(
    dependency: Dependency, access: Access, exceptions: Iterable[StanceException], now: float
) -> Stance:
    """What silence means to a call: the route's exception while it holds, else the table.

    ``now`` is the request's time, in seconds since the epoch.
    """
    for one in exceptions:
        if (one.dependency, one.access) == (dependency, access) and not has_ended(one, now):
            return one.stance
    return STANCE[dependency, access]


def has_ended(exception: StanceException, now: float) -> bool:
    """Whether the table holds again; ``until`` itself is the first moment at which it does."""
    return exception.until is not None and now >= exception.until


def ended(exceptions: Iterable[StanceException], now: float) -> tuple[StanceException, ...]:
    """List those that hold no more: whoever wrote them should hear of it."""
    return tuple(one for one in exceptions if has_ended(one, now))


@dataclass(frozen=True, slots=True)
class ExceptionFault:
    """Why there can be no such exception."""

    index: int
    """Which of the exceptions."""
    field: str
    """Which field of it, as a catalogue names it."""
    text: str


def faults_of(exceptions: Sequence[StanceException]) -> Iterator[ExceptionFault]:
    """Yield what is wrong with a route's exceptions, at most one fault for each.

    What the route itself cannot have is for who knows the whole catalogue (``config``).
    """
    first: dict[tuple[Dependency, Access], int] = {}
    for index, one in enumerate(exceptions):
        before = first.setdefault((one.dependency, one.access), index)
        field, text = _fault_of(one)
        if text:
            yield ExceptionFault(index, field, text)
        elif before != index:
            yield ExceptionFault(index, "when", f"is for the same cell as outages[{before}]")


def _fault_of(one: StanceException) -> tuple[str, str]:
    """The field at fault and why, or two empty texts."""
    opens = one.stance is Stance.OPEN
    if one.dependency in FIXED:
        return "when", fixed_text(one.dependency)
    if opens and one.access is Access.WRITE:
        return "stance", "must be closed: a write is never opened, by anybody"
    if opens and one.dependency is Dependency.SIDECAR:
        return "stance", "must be closed: with the sidecar dead nobody asks for scope or policy"
    if one.stance is STANCE[one.dependency, one.access]:
        return "stance", f"is {one.stance.value} in the table anyway"
    if one.dependency is Dependency.SIDECAR and one.until is not None:
        return "until", "must be left out: Envoy's lanes are static, no date moves them"
    if opens and one.until is None:
        return "until", "is required: what is opened for a while must not stay open for good"
    if one.until is None and not one.reason.strip():
        return "reason", "is required without until: say why, or until when"
    return "", ""


def fixed_text(dependency: Dependency) -> str:
    """What is said to who wants to change one of the ``FIXED`` rows."""
    return f"must not be {dependency.value}: {FIXED[dependency]}"
