"""What the operator says of one issuer: which keys, algorithms, tenants and scopes it may use.

The profile is the ceiling that holds even when the issuer is taken over: a token above it is
refused by configuration alone. What its tokens look like comes from a preset (``config.profiles``)
and may be changed member by member.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from sidecar.core.delegation import MAX_DEPTH, Delegation
from sidecar.core.model import Binding, Scope


class Match(Enum):
    """What becomes of a token that was minted for another state of things than ours."""

    OFF = "off"  # nobody looks
    MARK = "mark"  # passes, and policy, tool, record and metric hear of it
    REQUIRE = "require"  # refused, also when the token does not say


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claim of this issuer's tokens carries what.

    A name that begins with ``/`` is a JSON pointer into nested claims (RFC 6901); an empty one:
    these tokens have no such claim.
    """

    agent: str = "agent_id"
    """Without such a claim, a token is its actor's (``core.delegation``)."""
    tenant: str = "tenant"
    """Empty: the issuer speaks for one tenant, and its tokens need not name it."""
    scope: str = "scope"
    task: str = "task_id"
    session: str = "sid"
    single_use: str = "single_use"
    ends_early: str = ""
    """A date before ``exp`` from which the token counts as expired."""


@dataclass(frozen=True, slots=True)
class IssuerProfile:
    """One trusted issuer; every rule is an allow-list."""

    name: str
    """The operator's short name, for metrics and messages."""
    issuer: str
    """The exact ``iss``: compared as a string, no normalisation (RFC 8725, section 3.8)."""
    algorithms: frozenset[str]
    """Of ``core.signature.ALGORITHMS``; case-sensitive."""
    types: frozenset[str]
    """Accepted ``typ`` values, lower-case, without ``application/``; ``""`` accepts none given."""
    tenants: frozenset[str]
    """The tenants it may speak for; never empty."""
    ceiling: tuple[Scope, ...]
    """Every scope of a token must be covered by one of these; never empty."""
    max_lifetime: float
    """Seconds from ``iat`` to ``exp``."""
    leeway: float = 5.0
    """Seconds of clock difference forgiven in ``exp``, ``nbf`` and ``iat``."""
    claims: ClaimNames = ClaimNames()
    required: frozenset[str] = frozenset({"jti"})
    """Claims that must be there beside ``sub``, ``iat`` and ``exp``, as texts."""
    issuer_optional: bool = False
    """A token without ``iss`` is taken by the trust domain of its ``sub``, which is ``issuer``."""
    trust_domain: str = ""
    """``spiffe://domain`` in which every ``sub`` must be; empty: any ``sub``."""
    audience_optional: bool = False
    """A token without ``aud`` is taken at every route. A wrong one is refused all the same."""
    single_audience: bool = False
    """A token for several audiences is refused: each of them could replay it at the others."""
    plain_header: bool = False
    """The header may hold nothing beside ``alg``, ``kid`` and ``typ`` (JWT-SVID, section 2)."""
    key_uses: frozenset[str] = frozenset({"sig"})
    """The ``use`` of its keys (RFC 7517, section 4.2), where one is given."""
    scope_words: Mapping[str, tuple[Scope, ...]] | None = None
    """What the issuer's own words for scopes mean; a word that is not here grants nothing. None:
    the tokens speak ``core.scope``'s grammar."""
    grants: Mapping[str, tuple[Scope, ...]] | None = None
    """By exact ``sub``: scopes of those whose tokens carry none. None: scopes come by token."""
    delegation: frozenset[Delegation] = frozenset()
    """The forms of delegation that this issuer's tokens may have."""
    actor_issuers: frozenset[str] = frozenset()
    """Whose names, beside its own, this issuer's tokens may have for actors (``act.iss``)."""
    max_depth: int = MAX_DEPTH
    """The most links of a delegation."""
    bind: frozenset[Binding] = frozenset()
    """The caller must show at least one of these; empty: what the token itself asks for."""
    policy_version: Match = Match.MARK
    capability_hash: Match = Match.MARK
