"""What the operator says of one issuer: which keys, algorithms, tenants and scopes it may use.

The profile is the ceiling that holds even when the issuer is taken over: a token above it is
refused by configuration alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.core.model import Scope


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Which claim of this issuer's tokens carries what."""

    agent: str = "agent_id"
    tenant: str = "tenant"
    scope: str = "scope"
    task: str = "task_id"
    session: str = "sid"
    single_use: str = "single_use"


@dataclass(frozen=True, slots=True)
class IssuerProfile:
    """One trusted issuer; every rule is an allow-list."""

    name: str
    """The operator's short name, for metrics and messages."""
    issuer: str
    """The exact ``iss``: compared as a string, no normalisation (RFC 8725, section 3.8)."""
    algorithms: frozenset[str]
    """Of ``EdDSA``, ``Ed25519``, ``ES256``, ``RS256``, ``PS256``; case-sensitive."""
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
