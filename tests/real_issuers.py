"""Tokens of real issuers, as they were recorded, and what an operator writes to take them.

``tests/vectors/issuers`` holds the tokens, the key sets and where each comes from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from sidecar.config.issuer_section import IssuerSettings
from sidecar.config.profiles import check_profile, profile_of
from sidecar.core.keyring import KeyRing, parse_jwks
from sidecar.core.model import Allowed, Key, Verdict
from sidecar.core.profile import IssuerProfile
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from tests.gate import Gate, check

FOLDER: Final = Path(__file__).parent / "vectors/issuers"

_VALID_AT: Final = re.compile(r"^Valid at: `(\d+)`", re.MULTILINE)
_KEYCLOAK: Final = {
    "profile": "keycloak",
    "issuer": "https://keycloak.example/realms/agents",
    "algorithms": ["RS256", "ES256"],
    "scopes": {"orders.read": ["read:orders:*"], "orders.write": ["write:orders:*"]},
}
_GRANTS: Final = ["read:orders:*"]
SECTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "plain": {
        "issuer": "https://issuer.example",
        "algorithms": ["EdDSA", "ES256", "RS256", "PS256"],
    },
    "rfc9068": {
        "profile": "rfc9068",
        "issuer": "https://as.example",
        "algorithms": ["EdDSA", "ES256", "RS256"],
    },
    "agentwrit": {
        "profile": "agentwrit",
        "issuer": "https://broker.example",
        "algorithms": ["EdDSA"],
    },
    "spiffe": {
        "profile": "spiffe",
        "issuer": "spiffe://example.org",
        "algorithms": ["ES256"],
        "grants": {"spiffe://example.org/agent/planner": _GRANTS},
    },
    "keycloak": _KEYCLOAK,
    "kubernetes": {
        "profile": "kubernetes",
        "issuer": "https://kubernetes.default.svc.cluster.local",
        "algorithms": ["RS256"],
        "tenants": ["agents"],
        "grants": {"system:serviceaccount:agents:planner": _GRANTS},
        "max_lifetime": 3607,
    },
}
"""What an operator writes for the issuer of each folder, beside ``_REST``."""
_REST: Final = {
    "name": "real",
    "jwks": {"file": "jwks.json"},
    "tenants": ["acme"],
    "ceiling": ["read:orders:*", "write:orders:*"],
    "max_lifetime": 300,
    "leeway": 0,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A token of ``folder`` that passes; ``agent`` is what the gate must make of it."""

    folder: str
    name: str
    agent: Mapping[str, Any]
    changes: Mapping[str, Any] = field(default_factory=dict)
    """To the issuer's section."""
    proof: str = ""
    """The file of its DPoP proof."""

    def __str__(self) -> str:
        """Its name among a test's parameters."""
        return "-".join((self.folder, self.name, *self.changes))

    @property
    def token(self) -> bytes:
        """The compact JWS."""
        return read(self.folder, self.name)

    @property
    def now(self) -> float:
        """A second at which it is valid; seconds since the epoch."""
        return valid_at(self.folder)

    @property
    def profile(self) -> IssuerProfile:
        """The profile that an operator configured for its issuer."""
        return configured({**SECTIONS[self.folder], **self.changes})

    @property
    def keys(self) -> RecordedKeys:
        """Its issuer's keys, from the document as the issuer published it."""
        return RecordedKeys((FOLDER / self.folder / "jwks.json").read_bytes(), self.profile)

    def request(self, token: bytes = b"") -> bytes:
        """A read of an order with the token, or another, as Envoy tells of it."""
        proof = read(self.folder, self.proof) if self.proof else b""
        return authorized(token or self.token, proof)


class RecordedKeys:
    """``ports.Keys`` over one document."""

    def __init__(self, document: bytes, profile: IssuerProfile) -> None:
        self.ring: KeyRing = parse_jwks(
            document, profile.issuer, profile.algorithms, None, uses=profile.key_uses
        )

    async def find(self, issuer: str, kid: str | None, *, deadline: float) -> Key | None:
        """See ``ports.Keys``."""
        del issuer, deadline
        return self.ring.find(kid)


def authorized(token: bytes, proof: bytes = b"") -> bytes:
    """A read of an order with a token; with a DPoP proof, if it has one."""
    if proof:
        return check(headers={"authorization": b"DPoP " + token, "dpop": proof})
    return check(headers={"authorization": b"Bearer " + token})


def read(folder: str, name: str) -> bytes:
    """A recorded token, without the line's end."""
    return (FOLDER / folder / f"{name}.txt").read_bytes().removesuffix(b"\n")


def valid_at(folder: str) -> float:
    """When the tokens of a folder are valid, as its ``origin.md`` says."""
    found = _VALID_AT.search((FOLDER / folder / "origin.md").read_text())
    assert found is not None, folder
    return float(found[1])


def configured(section: Mapping[str, Any]) -> IssuerProfile:
    """The profile of an issuer's section, which has to be one that an operator may write."""
    settings = IssuerSettings.model_validate_json(json.dumps({**_REST, **section}))
    assert list(check_profile(settings)) == []
    return profile_of(settings)


async def judged(raw: bytes, profile: IssuerProfile, keys: RecordedKeys, *, now: float) -> Verdict:
    """What the whole gate decides on a check at ``now``, this issuer being the only one."""
    gate = Gate(keys=keys)
    gate.clock.wall = now
    pipeline = gate.pipeline()
    issuers = MappingProxyType({profile.issuer: profile})
    pipeline.live.current = replace(pipeline.live.current, issuers=issuers)
    deadline = gate.clock.monotonic() + 10
    answer = pb.CheckResponse.FromString(await pipeline.check(raw, peer="test", deadline=deadline))
    verdict = gate.seen[-1].verdict
    assert (answer.status.code == 0) is isinstance(verdict.decision, Allowed)
    return verdict


_CLIENT: Final = {"agent": "planner", "tenant": "acme"}
_SVID: Final = {
    "subject": "spiffe://example.org/agent/planner",
    "agent": "spiffe://example.org/agent/planner",
    "tenant": "acme",
}
_POD: Final = {
    "subject": "system:serviceaccount:agents:planner",
    "agent": "system:serviceaccount:agents:planner",
    "tenant": "agents",
}
_NO_ISSUER: Final = {"issuer": "spiffe://agentwrit.local"}
_NO_AUDIENCE: Final = {"audience": "optional"}


def recorded() -> Iterator[Recorded]:
    """Every token that passes."""
    for name in ("token", "token_es256", "token_rs256", "token_ps256"):
        yield Recorded("plain", name, {**_CLIENT, "task": "task-42", "session": "session-1"})
    for name in ("token", "token_es256", "token_eddsa"):
        yield Recorded("rfc9068", name, {**_CLIENT, "subject": "planner"})
    yield Recorded("rfc9068", "token_dpop", _CLIENT, proof="dpop_proof")
    yield from _of_agentwrit()
    yield from _of_keycloak()
    for name in ("token", "token_workload"):
        yield Recorded("spiffe", name, _SVID)
    named = {"issuer": "https://spire.example.org", "trust_domain": "spiffe://example.org"}
    yield Recorded("spiffe", "token_with_iss", _SVID, named)
    for name in ("token", "token_extended", "token_unbound"):
        yield Recorded("kubernetes", name, _POD)


def _of_agentwrit() -> Iterator[Recorded]:
    agent = {"tenant": "acme", "task": "task-42"}
    yield Recorded("agentwrit", "token", agent)
    yield Recorded("agentwrit", "token_two_hops", agent)
    yield Recorded("agentwrit", "token_no_audience", agent, _NO_AUDIENCE)
    yield Recorded("agentwrit", "token_no_issuer", agent, _NO_ISSUER)
    yield Recorded("agentwrit", "token_bare", agent, _NO_ISSUER | _NO_AUDIENCE)
    yield Recorded("agentwrit", "token_escaped", agent)


def _of_keycloak() -> Iterator[Recorded]:
    for name in ("token", "token_user"):
        yield Recorded("keycloak", name, _CLIENT)
    yield Recorded("keycloak", "token_at_jwt", {"agent": "planner-at-jwt"})
    yield Recorded("keycloak", "token_es256", {"agent": "planner-es256"})
    yield Recorded("keycloak", "token_dpop", {"agent": "planner-dpop"}, proof="dpop_proof")
    by_role = {
        "claims": {"scope": "/realm_access/roles"},
        "scopes": {"order-reader": ["read:orders:*"]},
    }
    yield Recorded("keycloak", "token", _CLIENT, by_role)
    as_rfc9068 = {"profile": "rfc9068", "claims": {"tenant": ""}}
    yield Recorded("keycloak", "token_at_jwt", {"agent": "planner-at-jwt"}, as_rfc9068)
