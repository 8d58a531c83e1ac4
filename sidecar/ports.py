"""The questions that the pipeline asks of the world: small, ours, and each with a contract.

One contract suite per port (``tests/contract``) runs over every implementation. Silence is
``Unavailable``, raised by adapters and by nothing else; everything that a caller can bring about
is a value. ``deadline`` is in seconds of ``Clock.monotonic``; an adapter answers or raises by then.
"""

from __future__ import annotations

from typing import Protocol

from sidecar.core.deny import DenyEntry, DenyKey
from sidecar.core.model import (
    Agent,
    Conflict,
    Effects,
    Jws,
    Key,
    Question,
    Refused,
    Ruling,
    SignedClaims,
)


class Clock(Protocol):
    """Time as an argument: nothing else in the product reads a clock."""

    def now(self) -> float:
        """Wall clock, seconds since the epoch: for what tokens say."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow: for ages, deadlines and cool-downs."""
        ...


class Keys(Protocol):
    """The public keys of every trusted issuer."""

    async def find(self, issuer: str, kid: str | None, *, deadline: float) -> Key | None:
        """The key that ``issuer`` publishes under ``kid``, or None when it publishes none such.

        ``kid`` None finds the only key of an issuer that has exactly one. An unknown kid may
        cost one fetch, shared by all who wait and followed by a cool-down; a known one never
        waits. Raises ``Unavailable(CLOCK)`` while the issuer's clock and ours differ by more than
        the limit, and ``Unavailable(KEYS)`` when there is no usable set of keys: none was ever
        loaded, or the last one is over the age limit.
        """
        ...


class Tokens(Protocol):
    """Tokens seen before need no second parse and no second signature check."""

    def parse(self, token: bytes) -> Jws | Refused:
        """The token's parts, checked for form; equal to ``core.jws.parse``."""
        ...

    def prove(self, jws: Jws, key: Key) -> SignedClaims | Refused:
        """The claims, if the signature is valid under this very key.

        Equal to ``core.signature.prove``: what was proven under a key says nothing about another.
        """
        ...


class DenyList(Protocol):
    """Who has been revoked: a local set, never a call."""

    def find(self, agent: Agent, *, now: float) -> DenyEntry | None:
        """The entry that refuses this agent's token, or None.

        Raises ``Unavailable(DENY_LIST)`` only when no entry refuses *and* the list is older than
        its limit, ``Unavailable(DENY_LIST_NEVER_LOADED)`` when it was never loaded: the last
        known list still holds.
        """
        ...


class DenyListAdmin(Protocol):
    """The operator's side of a deny list that this process owns."""

    def add(self, entry: DenyEntry, *, now: float) -> None:
        """Hold from the next check on, beside what already stands under the same key.

        Adding the same entry again changes nothing. Raises ``ValueError`` when the list is full.
        """
        ...

    def remove(self, key: DenyKey) -> bool:
        """Lift everything that stands under a key; False when there was nothing."""
        ...

    def entries(self, *, now: float) -> tuple[DenyEntry, ...]:
        """Every entry that has not ended, those of one key together."""
        ...


class Policy(Protocol):
    """The policy engine."""

    @property
    def revision(self) -> str:
        """A digest of the loaded policies and data, or a remote engine's word for its bundle.

        That word is ``unknown`` until it has been heard of. Part of every question and record.
        """
        ...

    async def rule_on(self, question: Question, *, deadline: float) -> Ruling | Refused:
        """What policy says.

        An undefined, conflicting or malformed ruling, and any error of evaluation, is
        ``Refused(POLICY_ERROR)``: a caller may have caused it. Only an engine that cannot be
        reached raises ``Unavailable(POLICY)``.
        """
        ...


class Ledger(Protocol):
    """What is used up: single-use tokens now; grants, budgets and counters join them later."""

    async def commit(self, effects: Effects, *, now: float, deadline: float) -> Conflict | None:
        """Hold the pins in their order, then make all of the claims true, or none.

        None means that everything is. The first conflict ends it: after a refused pin nothing is
        claimed. A pin is its first holder's until ``until``, which holding it again may move later
        and never earlier; a store that lost it gives it to whoever comes next. Of any number of
        concurrent commits that share a claim, exactly one succeeds. A claim is never forgotten
        before its ``until``; a token from before the ledger's memory began is ``NOT_REMEMBERED``.

        Raises ``Unavailable`` with the strictest dependency of all effects
        (``core.pins.strictest``) when the store gives no answer; a pin that could not be asked for
        hides no claim, which is committed all the same. A store without room is ``OVERLOADED`` and
        an owner with too much is ``QUOTA``: callers bring these about, and an outage may be open.
        """
        ...
