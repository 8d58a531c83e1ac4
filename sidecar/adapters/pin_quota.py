"""The quota of pins where they are shared: each sidecar counts what was asked of it.

A pin's key has a hash tag of its own, so that no script can count it with its owner's others. So
with several sidecars, or after a restart of one, an agent may hold that many more.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.adapters.room import Room
from sidecar.core.model import Pin


@dataclass(frozen=True, slots=True)
class _Asked:
    key: str
    """Of owner and pin: two agents may ask for one pin, and each counts its own asking."""
    owner: str
    until: float


class PinQuota:
    """Counts pins from when they are asked for, had or not, until they end.

    Whether they were had is not waited for: who hangs up before the answer would hold pins that
    nobody counted. At most ``capacity`` are known; to learn of another, the first one is forgotten,
    which lets its owner have one more: many agents cannot keep others from their sessions.
    """

    def __init__(self, per_owner: int, capacity: int) -> None:
        self._per_owner = per_owner
        self._asked: Room[_Asked] = Room(capacity)

    def __len__(self) -> int:
        """Count the pins that are known."""
        return len(self._asked)

    def admits(self, pin: Pin, now: float) -> bool:
        """Whether its owner may take it where it is free; ``now`` in seconds since the epoch.

        One that is known already costs nothing new.
        """
        asked = self._asked
        asked.forget_ended(now)
        name = f"{pin.owner} {pin.key}"
        known = asked.find(name)
        if known is not None:
            asked.keep(_Asked(name, pin.owner, max(known.until, pin.until)))
            return True
        if asked.held_by(pin.owner) >= self._per_owner:
            return False
        if not asked.has_place_for(1):
            asked.forget_first()
        asked.keep(_Asked(name, pin.owner, pin.until))
        return True
