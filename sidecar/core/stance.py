"""What silence means: one table, dependency x access, and nothing else decides it.

OPEN skips one question (what policy says, whether a token was used, how fresh the deny list is),
never a signature, an audience, an expiry, a binding or a scope. If OPEN does not stand in this
table, it does not exist. Refusals are not outages: no caller can bring a row of this table about.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final

from sidecar.core.model import Access, Dependency
from sidecar.core.reasons import Reason


class Stance(Enum):
    """What happens to a call whose question nobody answers."""

    OPEN = "open"
    CLOSED = "closed"


_READS_PASS: Final = {
    Access.READ: Stance.OPEN,
    Access.SENSITIVE: Stance.CLOSED,
    Access.WRITE: Stance.CLOSED,
}
_NOTHING_PASSES: Final = dict.fromkeys(Access, Stance.CLOSED)

_ROWS: Final = {
    Dependency.KEYS: _NOTHING_PASSES,  # none usable for that issuer: nothing can be verified
    Dependency.DENY_LIST: _READS_PASS,  # older than its limit; the last known list still holds
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
        Dependency.DENY_LIST: Reason.DENY_LIST_UNAVAILABLE,
        Dependency.POLICY: Reason.POLICY_UNAVAILABLE,
        Dependency.REPLAY: Reason.REPLAY_UNAVAILABLE,
        Dependency.REPLAY_OF_SINGLE_USE_TOKEN: Reason.REPLAY_UNAVAILABLE,
    }
)
