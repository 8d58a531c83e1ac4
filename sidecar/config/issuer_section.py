"""The section of one issuer: whose tokens are taken, how they look, what they may at most.

Where a key is left out, the profile says what it is (``config.profiles``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainValidator, model_validator

from sidecar.config.address import check_jwks_url
from sidecar.config.explain import broken_rule, not_empty
from sidecar.config.grammar import (
    Algorithm,
    Exact,
    File,
    Name,
    TokenType,
    read_scope,
)
from sidecar.config.names import ClaimName, Host, ScopeWord, TrustDomain
from sidecar.config.sections import Seconds
from sidecar.config.shape import Shown, StrictModel
from sidecar.core.delegation import MAX_DEPTH, Delegation
from sidecar.core.model import Binding, Scope
from sidecar.core.profile import Match

Scopes = Annotated[
    tuple[Annotated[Scope, PlainValidator(read_scope), Shown("scope")], ...],
    AfterValidator(not_empty),
]
_Url = Annotated[str, AfterValidator(check_jwks_url), Shown("URL")]


class JwksSettings(StrictModel):
    """Where an issuer's public keys are; exactly one of url, discovery and file."""

    url: _Url | None = None
    """A JWK Set: `https`, or `http` to a loopback address."""
    discovery: _Url | None = None
    """The issuer's `/.well-known/openid-configuration`, which names its JWK Set."""
    file: File | None = None
    """A JWK Set (RFC 7517), or a SPIFFE bundle."""
    hosts: frozenset[Host] = frozenset()
    """`discovery`: hosts beside its own that may serve the JWK Set."""
    ca: File | None = None
    """The only certificate authorities that are trusted for it, in PEM; else the system's."""
    token_file: File | None = None
    """A bearer token to fetch it with, such as Kubernetes asks for; read anew every time."""

    @model_validator(mode="after")
    def _exactly_one(self) -> JwksSettings:
        if [self.url, self.discovery, self.file].count(None) != 2:  # noqa: PLR2004 - of three
            raise broken_rule("must have url, discovery or file, and only one of them")
        for name in ("ca", "token_file"):
            if self.file is not None and getattr(self, name) is not None:
                raise broken_rule("is for what is fetched, not for a file", (name,))
        if self.hosts and self.discovery is None:
            raise broken_rule("is for discovery only", ("hosts",))
        return self


class ClaimSettings(StrictModel):
    """Which claim carries what; left out, as the profile says.

    A name, or a JSON pointer such as `/realm_access/roles`, or `""` for tokens without it.
    """

    agent: ClaimName | None = None
    """The agent; a token without it is its actor's (`act.sub`, else `sub`)."""
    tenant: ClaimName | None = None
    """The tenant; with `""` the issuer speaks for its only one."""
    scope: ClaimName | None = None
    """The scopes, as an array or as one string."""
    task: ClaimName | None = None
    """The task."""
    session: ClaimName | None = None
    """The session."""
    single_use: ClaimName | None = None
    """True in a token that serves one call."""
    ends_early: ClaimName | None = None
    """A date before `exp` from which a token counts as expired."""


class IssuerSettings(StrictModel):
    """One trusted issuer: the ceiling that holds even when the issuer is taken over."""

    name: Name
    """Short name for metrics and messages."""
    profile: Literal["plain", "rfc9068", "agentwrit", "spiffe", "keycloak", "kubernetes"] = "plain"
    """What its tokens look like (`docs/tokens.md`): what of the keys below is left out."""
    issuer: Exact
    """The exact `iss` of its tokens. A trust domain such as `spiffe://example.org` takes tokens
    without `iss`, by their `sub`."""
    jwks: JwksSettings
    algorithms: Annotated[frozenset[Algorithm], AfterValidator(not_empty)]
    """Accepted `alg` values."""
    types: Annotated[frozenset[TokenType], AfterValidator(not_empty)] | None = None
    """Accepted `typ` values, in any case; `""` takes tokens without one."""
    tenants: Annotated[frozenset[Exact], AfterValidator(not_empty)]
    """The tenants that it may speak for."""
    ceiling: Scopes
    """A token with a scope that none of these covers is refused. Only an identifier may be `*`."""
    max_lifetime: Seconds
    """Longest time from `iat` to `exp`."""
    leeway: Annotated[float, Field(ge=0, le=60), Shown("number", "seconds")] = 5
    """Clock difference forgiven in `exp`, `nbf` and `iat`."""
    claims: ClaimSettings = ClaimSettings()
    required: frozenset[Exact] | None = None
    """Claims that must be there beside `sub`, `iat` and `exp`, as texts."""
    audience: Literal["required", "optional"] = "required"
    """`optional`: a token without `aud` is taken at every route; a wrong one never."""
    single_audience: bool = False
    """Refuse tokens for several audiences: each of them could use it at the others."""
    trust_domain: TrustDomain | None = None
    """Every `sub` must be a SPIFFE id in it, such as `spiffe://example.org`."""
    scopes: Mapping[ScopeWord, Scopes] | None = None
    """What the issuer's own words for scopes mean, by the word; a word that is not here grants
    nothing. Without it, tokens must speak of `action:resource:identifier`."""
    grants: Mapping[Exact, Scopes] | None = None
    """By exact `sub`: the scopes of those whose tokens carry none."""
    delegation: frozenset[Delegation] | None = None
    """The forms of delegation that its tokens may have."""
    actor_issuers: frozenset[Exact] = frozenset()
    """Other trusted issuers whose names its tokens may have for actors (`act.iss`)."""
    max_depth: Annotated[int, Field(ge=1, le=MAX_DEPTH)] = MAX_DEPTH
    """The most links of a delegation."""
    bind: frozenset[Binding] = frozenset()
    """The caller must show at least one of these; what a token itself asks for (`cnf`) always."""
    policy_version: Match = Match.MARK
    """A token that was minted under another policy revision: `off`, `mark` or `require`."""
    capability_hash: Match = Match.MARK
    """A token that was minted for other tools: `off`, `mark` or `require`."""

    @model_validator(mode="after")
    def _one_source_of_scopes(self) -> IssuerSettings:
        if self.scopes is not None and self.grants is not None:
            raise broken_rule(
                "must not stand beside grants: scopes come from one place", ("scopes",)
            )
        return self
