"""The profiles: what tokens of well-known issuers look like, where the operator does not say.

One row each. ``docs/tokens.md`` shows them; ``tests/vectors/issuers`` holds a real token of each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from sidecar.config.issuer_section import IssuerSettings
from sidecar.config.problem import Loc
from sidecar.core.delegation import Delegation
from sidecar.core.profile import ClaimNames, IssuerProfile

_SPIFFE: Final = "spiffe://"
_DOMAIN: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}")


@dataclass(frozen=True, slots=True)
class Preset:
    """What one kind of issuer's tokens look like."""

    types: frozenset[str] = frozenset({"jwt", "at+jwt"})
    claims: ClaimNames = ClaimNames()  # noqa: RUF009 - frozen
    required: frozenset[str] = frozenset({"jti"})
    delegation: frozenset[Delegation] = frozenset({Delegation.ACT})
    key_uses: frozenset[str] = frozenset({"sig"})
    plain_header: bool = False
    wants: str = ""
    """A key that an operator has to give: without it nobody could do anything."""


PRESETS: Final = MappingProxyType(
    {
        "plain": Preset(),
        # RFC 9068, section 2: typ and client_id are required.
        "rfc9068": Preset(
            types=frozenset({"at+jwt"}),
            claims=ClaimNames(agent="client_id"),
            required=frozenset({"jti", "client_id"}),
        ),
        # The agent is the subject, and no claim names a tenant.
        "agentwrit": Preset(
            types=frozenset({"jwt"}),
            claims=ClaimNames(agent="", tenant=""),
            delegation=frozenset({Delegation.CHAIN}),
        ),
        # JWT-SVID, sections 2 and 3: a subject and nothing else; SPIFFE bundles name the keys' use.
        "spiffe": Preset(
            types=frozenset({"jwt", "jose", ""}),
            claims=ClaimNames(agent="", tenant="", scope="", task="", session="", single_use=""),
            required=frozenset(),
            delegation=frozenset(),
            key_uses=frozenset({"sig", "jwt-svid"}),
            plain_header=True,
            wants="grants",
        ),
        # Its scope is a list of its own words, most of them about people.
        "keycloak": Preset(
            claims=ClaimNames(agent="azp", tenant=""),
            delegation=frozenset(),
            wants="scopes",
        ),
        # A token of a pod whose life was extended says from when on it should not be used.
        "kubernetes": Preset(
            types=frozenset({""}),
            claims=ClaimNames(
                agent="",
                tenant="/kubernetes.io/namespace",
                scope="",
                task="",
                session="/kubernetes.io/pod/uid",
                single_use="",
                ends_early="/kubernetes.io/warnafter",
            ),
            required=frozenset(),
            delegation=frozenset(),
            wants="grants",
        ),
    }
)


def profile_of(issuer: IssuerSettings) -> IssuerProfile:
    """Make the core's profile of one issuer."""
    preset = PRESETS[issuer.profile]
    said = {name: value for name, value in issuer.claims if value is not None}
    types, required, delegation = issuer.types, issuer.required, issuer.delegation
    return IssuerProfile(
        name=issuer.name,
        issuer=issuer.issuer,
        algorithms=frozenset(issuer.algorithms),
        types=preset.types if types is None else frozenset(map(_media_subtype, types)),
        tenants=issuer.tenants,
        ceiling=issuer.ceiling,
        max_lifetime=issuer.max_lifetime,
        leeway=issuer.leeway,
        claims=replace(preset.claims, **said),
        required=preset.required if required is None else required,
        issuer_optional=issuer.issuer.startswith(_SPIFFE),
        trust_domain=issuer.trust_domain or _own_domain(issuer),
        audience_optional=issuer.audience == "optional",
        single_audience=issuer.single_audience,
        plain_header=preset.plain_header,
        key_uses=preset.key_uses,
        scope_words=None if issuer.scopes is None else MappingProxyType(dict(issuer.scopes)),
        grants=None if issuer.grants is None else MappingProxyType(dict(issuer.grants)),
        delegation=preset.delegation if delegation is None else delegation,
        actor_issuers=issuer.actor_issuers,
        max_depth=issuer.max_depth,
        bind=issuer.bind,
        policy_version=issuer.policy_version,
        capability_hash=issuer.capability_hash,
    )


def _media_subtype(name: str) -> str:
    """RFC 7515, section 4.1.9: ``application/`` may be left out, and case says nothing."""
    return name.lower().removeprefix("application/")


def _own_domain(issuer: IssuerSettings) -> str:
    return issuer.issuer if issuer.issuer.startswith(_SPIFFE) else ""


def check_profile(issuer: IssuerSettings) -> Iterator[tuple[Loc, str]]:
    """What is wrong with one issuer under its profile, its form being right."""
    preset, profile = PRESETS[issuer.profile], profile_of(issuer)
    if not profile.claims.tenant and len(issuer.tenants) > 1:
        yield ("tenants",), "must be one: the tokens name none (claims.tenant)"
    if not profile.claims.scope and issuer.grants is None:
        yield ("grants",), "is required: the tokens carry no scopes"
    elif preset.wants == "scopes" and issuer.scopes is None and issuer.grants is None:
        yield ("scopes",), f"is required: {issuer.profile} has words of its own for scopes"
    if issuer.issuer.startswith(_SPIFFE) and not _DOMAIN.fullmatch(issuer.issuer):
        yield ("issuer",), "must be a whole trust domain, such as spiffe://example.org"
    if issuer.profile == "spiffe":
        if not profile.trust_domain:
            yield ("trust_domain",), "is required: issuer is no trust domain"
        for name in sorted(issuer.algorithms & {"EdDSA", "Ed25519"}):
            yield ("algorithms",), f"must not hold {name}: no JWT-SVID is signed with it"
    for key, scopes in (*(issuer.scopes or {}).items(), *(issuer.grants or {}).items()):
        section = "scopes" if issuer.scopes else "grants"
        if not all(any(limit.covers(one) for limit in issuer.ceiling) for one in scopes):
            yield (section, key), "is above the ceiling: such a token would be refused"
