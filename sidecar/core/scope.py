"""(6) Scopes: their grammar, the issuer's ceiling above them and the catalogue's floor below.

``action:resource:identifier`` as AgentWrit writes it. Only an identifier may be a wildcard, and
only as a whole: there are no prefixes, no hierarchy and no way to ask for "everything".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from sidecar.core.model import Agent, Call, Refused, Scope
from sidecar.core.reasons import Reason

MAX_SCOPE_CHARACTERS: Final = 256

# An identifier is visible ASCII without " and \ (RFC 6749, section 3.3), without the comma that
# separates values of a header, and without * among other characters.
_SCOPE: Final = re.compile(r"([A-Za-z0-9_.-]+):([A-Za-z0-9_.-]+):(\*|[!#-)+\--\[\]-~]+)")


def parse_scope(text: str) -> Scope | None:
    """Read the scope that ``text`` spells, or None. The identifier may hold colons."""
    match = _SCOPE.fullmatch(text) if len(text) <= MAX_SCOPE_CHARACTERS else None
    return Scope(*match.groups()) if match else None


def covered(scope: Scope, ceiling: Iterable[Scope]) -> bool:
    """Whether one scope of ``ceiling`` allows all of ``scope``; only ``*`` covers ``*``."""
    return any(limit.covers(scope) for limit in ceiling)


def scope_floor(agent: Agent, call: Call) -> Refused | None:
    """None when a scope of the token covers what the catalogue requires of this call."""
    if covered(call.scope, agent.scopes):
        return None
    return Refused(Reason.INSUFFICIENT_SCOPE, f"wants {call.scope}")
