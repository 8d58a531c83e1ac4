"""(6) Scopes: their grammar, the issuer's ceiling above them and the catalogue's floor below.

``action:resource:identifier`` as AgentWrit writes it. Only an identifier may be a wildcard, and
only as a whole: there are no prefixes, no hierarchy and no way to ask for "everything".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from sidecar.core.claims import claim_of
from sidecar.core.model import Agent, Call, JsonObject, Refused, Scope
from sidecar.core.reasons import Reason

if TYPE_CHECKING:
    from sidecar.core.profile import IssuerProfile

MAX_SCOPE_CHARACTERS: Final = 256
_MAX_SCOPES: Final = 100

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


def scopes_of(claims: JsonObject, issuer: IssuerProfile) -> tuple[Scope, ...] | Refused:
    """Read what a token may do: an array as AgentWrit has it, or the string of RFC 9068.

    An issuer whose tokens say nothing of it has grants, or words of its own that the operator
    translates; what these do not name is granted to nobody. Refused as ``CLAIM_INVALID`` when the
    claim is missing or malformed, as ``SCOPE_ABOVE_CEILING`` when the profile does not allow it.
    """
    if issuer.grants is not None:
        return _below(issuer.grants.get(claims["sub"], ()), issuer)
    words = _words(claim_of(claims, issuer.claims.scope, None))
    if words is None:
        return Refused(Reason.CLAIM_INVALID, issuer.claims.scope)
    if issuer.scope_words is not None:
        meant = (scope for word in words for scope in issuer.scope_words.get(word, ()))
        return _below(tuple(dict.fromkeys(meant)), issuer)
    scopes: list[Scope] = []
    for word in words:
        scope = parse_scope(word)
        if scope is None:
            return Refused(Reason.CLAIM_INVALID, issuer.claims.scope)
        scopes.append(scope)
    return _below(tuple(scopes), issuer)


def _words(value: object) -> list[str] | None:
    items = value.split(" ") if isinstance(value, str) else value
    if not isinstance(items, list) or not 0 < len(items) <= _MAX_SCOPES:
        return None
    return items if all(isinstance(item, str) for item in items) else None


def _below(scopes: tuple[Scope, ...], issuer: IssuerProfile) -> tuple[Scope, ...] | Refused:
    for scope in scopes:
        if not covered(scope, issuer.ceiling):
            return Refused(Reason.SCOPE_ABOVE_CEILING, str(scope))
    return scopes


def scope_floor(agent: Agent, call: Call) -> Refused | None:
    """None when a scope of the token covers what the catalogue requires of this call."""
    if covered(call.scope, agent.scopes):
        return None
    return Refused(Reason.INSUFFICIENT_SCOPE, f"wants {call.scope}")
