"""Good tokens of every profile, minted at ``NOW`` by keys of our own, and who trusts them.

Header and claims are those of the real tokens of ``tests/vectors/issuers``; only dates, keys and
signatures are made anew, so that whatever is changed can be signed again by the right key.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

from sidecar.core.binding import Callers
from sidecar.core.capabilities import capability_hash
from sidecar.core.freshness import Lifetimes, Limit
from sidecar.core.keyring import KeyRing, parse_jwks
from sidecar.core.model import Access, Binding, Key, Scope
from sidecar.core.profile import IssuerProfile, Match
from tests.chains import before, chain_claims, make_record
from tests.fuzz.keys import fuzz_key
from tests.gate import CATALOGUE
from tests.real_issuers import SECTIONS, configured, read, valid_at
from tests.tokens import NOW, Signer, base64url, make_claims, make_profile

AGE: Final = 30
"""Seconds since the good tokens were minted."""
REVISION: Final = "0" * 16
HOP: Final = "spiffe://acme.test/ingress"
AGENT: Final = "spiffe://acme.test/agent/a1"
CERTIFICATE: Final = b"a certificate, as far as anybody looks"
THUMBPRINT: Final = base64url(sha256(CERTIFICATE).digest()).decode()
CALLERS: Final = Callers(trusted_hops=frozenset({HOP}))
LIFETIMES: Final = Lifetimes(by_access={Access.SENSITIVE: Limit(max_age=60)})

_LOCAL: Final = "spiffe://agentwrit.local"
_SPIRE: Final = "https://spire.example.org"
_STRICT: Final = "https://strict.example"
_HERE: Final = "https://issuer.example"


@dataclass(frozen=True, slots=True)
class Good:
    """A token that passes, before anything is done to it."""

    name: str
    issuer: str
    by: Signer
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    holder: Signer | None = None
    """Whose proofs the token wants."""
    certified: bool = False
    """It wants the caller's certificate."""


def _profiles() -> dict[str, IssuerProfile]:
    agentwrit = {**SECTIONS["agentwrit"], "issuer": _LOCAL, "audience": "optional"}
    spire = {**SECTIONS["spiffe"], "issuer": _SPIRE, "trust_domain": "spiffe://example.org"}
    every = [configured(section) for section in (*SECTIONS.values(), agentwrit, spire)]
    every[0] = replace(every[0], actor_issuers=frozenset({"https://as.example"}))
    strict = make_profile(
        issuer=_STRICT,
        algorithms=frozenset({"Ed25519", "ES256"}),
        leeway=5.0,
        single_audience=True,
        policy_version=Match.REQUIRE,
        capability_hash=Match.REQUIRE,
        bind=frozenset({Binding.CERTIFICATE, Binding.SPIFFE, Binding.DPOP}),
    )
    return {profile.issuer: profile for profile in (*every, strict)}


PROFILES: Final[Mapping[str, IssuerProfile]] = _profiles()


def _name(issuer: str) -> str:
    if issuer in (_LOCAL, SECTIONS["agentwrit"]["issuer"]):
        return "broker"  # who signs the records of tests.chains
    return issuer


SIGNERS: Final[Mapping[str, Mapping[str, Signer]]] = {
    issuer: {name: fuzz_key(name, _name(issuer)) for name in sorted(profile.algorithms)}
    for issuer, profile in PROFILES.items()
}
"""By issuer and algorithm."""


def jwks(issuer: str) -> bytes:
    """The JWK Set that an issuer publishes."""
    keys = [signer.jwk for signer in SIGNERS[issuer].values()]
    # Ed25519 and EdDSA are one key; a set holds it under one name.
    return json.dumps({"keys": list({key["kid"]: key for key in keys}.values())}).encode()


RINGS: Final[Mapping[str, KeyRing]] = {
    issuer: parse_jwks(jwks(issuer), issuer, profile.algorithms, None, uses=profile.key_uses)
    for issuer, profile in PROFILES.items()
}


class RingKeys:
    """``ports.Keys`` over ``RINGS``."""

    async def find(self, issuer: str, kid: str | None, *, deadline: float) -> Key | None:
        """See ``ports.Keys``."""
        del deadline
        return RINGS[issuer].find(kid)


# --- the tokens ----------------------------------------------------------------------------------

_RECORDED: Final = (
    ("plain", "token", ""),
    ("plain", "token_es256", ""),
    ("plain", "token_rs256", ""),
    ("plain", "token_ps256", ""),
    ("rfc9068", "token", ""),
    ("rfc9068", "token_eddsa", ""),
    ("rfc9068", "token_dpop", ""),
    ("agentwrit", "token", ""),
    ("agentwrit", "token_two_hops", ""),
    ("agentwrit", "token_escaped", ""),
    ("agentwrit", "token_bare", _LOCAL),
    ("spiffe", "token", ""),
    ("spiffe", "token_with_iss", _SPIRE),
    ("keycloak", "token", ""),
    ("keycloak", "token_user", ""),
    ("keycloak", "token_es256", ""),
    ("keycloak", "token_dpop", ""),
    ("kubernetes", "token", ""),
    ("kubernetes", "token_extended", ""),
)
_DATES: Final = ("exp", "iat", "nbf")


def _recorded(folder: str, name: str, issuer: str) -> Good:
    header, claims = (
        json.loads(urlsafe_b64decode(part + b"==")) for part in read(folder, name).split(b".")[:2]
    )
    shift = int(NOW) - AGE - (claims["iat"] if folder == "kubernetes" else int(valid_at(folder)))
    shift = max(shift, int(NOW) - claims["exp"] + 60)
    claims |= {one: claims[one] + shift for one in _DATES if one in claims}
    inside = claims.get("kubernetes.io", {})
    if "warnafter" in inside:
        inside["warnafter"] += shift
    issuer = issuer or str(SECTIONS[folder]["issuer"])
    by = SIGNERS[issuer][header["alg"]]
    if "delegation_chain" in claims:
        claims |= chain_claims(_signed_again(claims["delegation_chain"]))
    holder = None
    if "cnf" in claims:
        holder = fuzz_key("ES256", "holder")
        claims["cnf"] = {"jkt": holder.thumbprint}
    return Good(f"{folder}/{name}", issuer, by, header | {"kid": by.kid}, claims, holder)


def _signed_again(chain: list[dict[str, Any]]) -> list[dict[str, Any]]:
    times = (before(AGE + 10 * (len(chain) - place)) for place in range(len(chain)))
    return [
        make_record(record["agent"], record["scope"], at)
        for record, at in zip(chain, times, strict=True)
    ]


def _minted(name: str, issuer: str, algorithm: str, **more: Any) -> Good:
    by = SIGNERS[issuer][algorithm]
    header = {"alg": algorithm, "kid": by.kid, "typ": "JWT"}
    return Good(name, issuer, by, header, make_claims(now=NOW - AGE, iss=issuer, **more))


def _goods() -> Iterator[Good]:
    for folder, name, issuer in _RECORDED:
        yield _recorded(folder, name, issuer)
    actor = {"sub": "planner", "act": {"sub": "gateway", "iss": "https://as.example"}}
    named = {"sub": "planner", "iss": _HERE}
    yield _minted("act", _HERE, "EdDSA", act=actor, may_act=named)
    for algorithm in ("EdDSA", "RS256", "RSA-8192"):
        holder = fuzz_key(algorithm, "holder")
        bound = _minted(f"bound/{algorithm}", _HERE, "EdDSA", cnf={"jkt": holder.thumbprint})
        yield replace(bound, holder=holder)
    by_certificate: dict[str, Any] = {"cnf": {"x5t#S256": THUMBPRINT}}
    yield replace(_minted("certified", _HERE, "EdDSA", **by_certificate), certified=True)
    scope = ["read:orders:*", "write:orders:o-1"]
    held = (Scope("read", "orders", "*"), Scope("write", "orders", "o-1"))
    current = {
        "capability_hash": capability_hash(CATALOGUE, "acme", held),
        "policy_version": REVISION,
    }
    for algorithm in ("Ed25519", "ES256"):
        strict = _minted("strict", _STRICT, algorithm, scope=scope, **current, **by_certificate)
        yield replace(strict, certified=True)


GOODS: Final = tuple(_goods())
