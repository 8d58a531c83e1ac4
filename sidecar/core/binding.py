"""(4) ``Agent`` -> ``Agent``: whether the token belongs to whoever presents it.

What the token itself asks for (``cnf``, RFC 7800) is always checked, all of it. Beyond that, the
issuer, the route and the tenant may each ask for one of several bindings. No rule here reads a
claim; the claims became an agent before.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final
from urllib.parse import unquote_to_bytes

from sidecar.core import xfcc
from sidecar.core.claims import shown
from sidecar.core.compact import encode_base64url
from sidecar.core.dpop import DpopRules, check_proof
from sidecar.core.model import (
    Agent,
    Binding,
    Call,
    Confirmation,
    Credential,
    JsonObject,
    Proof,
    Refused,
    Request,
    Scheme,
)
from sidecar.core.reasons import Reason

_NONE: Final[frozenset[Binding]] = frozenset()
_FIRST_PEER: Final = frozenset({Binding.FIRST_PEER})

# SHA-256 in base64url: 43 characters, the last of which has two spare bits, both zero.
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
_CERTIFICATE: Final = "x5t#S256"
_KEY: Final = "jkt"


@dataclass(frozen=True, slots=True)
class Callers:
    """How callers are told apart."""

    trusted_hops: frozenset[str] = frozenset()
    """SPIFFE ids of the proxies whose ``x-forwarded-client-cert`` is believed."""
    dpop: DpopRules = field(default_factory=DpopRules)
    tenants: Mapping[str, frozenset[Binding]] = field(default_factory=dict)
    """By tenant: its agents must show at least one of these."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose connection it is, as far as somebody trusted vouches for it."""

    principal: str = ""
    """As ``Peer.principal``; empty when nobody says."""
    certificate: str = ""
    """base64url of the SHA-256 of its DER certificate; empty when nobody says."""
    address: str = ""
    """Where it comes from, if nobody stands between it and Envoy."""

    @property
    def name(self) -> str:
        """The best of what is known of it, and what that is; empty when nothing is."""
        if self.principal:
            return f"principal:{self.principal}"
        if self.certificate:
            return f"certificate:{self.certificate}"
        return f"address:{self.address}" if self.address else ""


def confirmation_of(claims: JsonObject) -> Confirmation | Refused | None:
    """Read ``cnf`` (RFC 7800, section 3.1); None when the claims have none.

    Taken are ``x5t#S256`` (RFC 8705, section 3.1) and ``jkt`` (RFC 9449, section 6.1), or both;
    refused as ``BINDING_REFUSED`` is any other member, and anything else than thumbprints.
    """
    if "cnf" not in claims:
        return None
    cnf = claims["cnf"]
    if not isinstance(cnf, dict) or not cnf:
        return Refused(Reason.BINDING_REFUSED, "cnf is no object, or empty")
    for name, value in cnf.items():
        if name not in (_CERTIFICATE, _KEY):
            return Refused(Reason.BINDING_REFUSED, f"{shown('cnf:', name)} is not supported")
        if not isinstance(value, str) or not _THUMBPRINT.fullmatch(value):
            return Refused(Reason.BINDING_REFUSED, f"cnf: {name} is no SHA-256 in base64url")
    return Confirmation(cnf.get(_CERTIFICATE, ""), cnf.get(_KEY, ""))


def bind(
    agent: Agent,
    issuer_bind: frozenset[Binding],
    call: Call,
    credential: Credential,
    callers: Callers,
    *,
    now: float,
) -> Agent | Refused:
    """Return the agent with the bindings that its caller has shown, and the proof if there is one.

    ``now`` in seconds since the epoch. Refused as ``BINDING_REFUSED`` or ``DPOP_REFUSED``: when
    the token is bound to something else, and when the issuer, the route or the agent's tenant asks
    for bindings of which the caller has shown none. ``FIRST_PEER`` counts as shown to whoever asks
    for it, even beside another one: a pin enforces it later, and a pin that only some calls set
    would let a second peer be the first.
    """
    proof = _proof_of(agent, call.request, credential, callers.dpop, now)
    if isinstance(proof, Refused):
        return proof
    caller = caller_of(call.request, callers.trusted_hops)
    certificate = agent.confirmation.certificate if agent.confirmation else ""
    if certificate and certificate != caller.certificate:
        whose = "another" if caller.certificate else "no"
        return Refused(Reason.BINDING_REFUSED, f"the caller has {whose} certificate")
    asked = {
        "issuer": issuer_bind,
        "route": call.bind,
        "tenant": callers.tenants.get(agent.tenant, _NONE),
    }
    first = _FIRST_PEER & _NONE.union(*asked.values())
    bindings = _shown(agent, caller, proof) | first
    for who, wanted in asked.items():
        if wanted and not wanted & bindings:
            names = " or ".join(sorted(binding.value for binding in wanted))
            return Refused(Reason.BINDING_REFUSED, f"the {who} wants {names}")
    return replace(agent, bindings=bindings, proof=proof, peer=caller.name)


def _shown(agent: Agent, caller: Caller, proof: Proof | None) -> frozenset[Binding]:
    """List what the caller has shown, once all that the token is bound to was found right."""
    holds_it = caller.principal.startswith("spiffe://") and caller.principal == agent.actor
    facts = {
        Binding.CERTIFICATE: agent.confirmation is not None and agent.confirmation.certificate,
        Binding.SPIFFE: holds_it,
        Binding.DPOP: proof is not None,
    }
    return frozenset(binding for binding, fact in facts.items() if fact)


def _proof_of(
    agent: Agent, request: Request, credential: Credential, rules: DpopRules, now: float
) -> Proof | Refused | None:
    """Check the proof of a token that is bound to a key (RFC 9449, section 7.1)."""
    jkt = agent.confirmation.jwk_thumbprint if agent.confirmation else ""
    if not jkt:
        if credential.scheme is Scheme.DPOP:
            return Refused(Reason.BINDING_REFUSED, "sent as DPoP, but bound to no key")
        return None
    if credential.scheme is not Scheme.DPOP:
        return Refused(Reason.DPOP_REFUSED, "sent as Bearer")
    return check_proof(request, credential.token, jkt, rules, now=now)


# --- who calls ---------------------------------------------------------------------------------


def caller_of(request: Request, trusted_hops: frozenset[str]) -> Caller:
    """Tell who calls: Envoy's own peer or, if that is a trusted hop, whoever it vouches for.

    Trusted hops are read past in ``x-forwarded-client-cert``, the nearest first. A hop that says
    nothing, or nothing clear, vouches for nobody; what anybody else says is not read.
    """
    peer = request.peer
    if peer.principal not in trusted_hops:
        return Caller(peer.principal, _certificate_of(peer.certificate), peer.address)
    for element in reversed(xfcc.parse(request.headers.get("x-forwarded-client-cert", ()))):
        # Without its URI, a hop's own certificate would pass for its client's.
        if len(element.uris) != 1:
            return Caller()
        if element.uris[0] not in trusted_hops:
            return Caller(element.uris[0], element.certificate)
    return Caller()


_PEM: Final = re.compile(
    rb"-----BEGIN CERTIFICATE-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END CERTIFICATE-----\s*"
)


def _certificate_of(encoded: bytes) -> str:
    """Give the SHA-256 of a certificate in base64url; empty when it is not one URL-encoded PEM."""
    pem = _PEM.fullmatch(unquote_to_bytes(encoded))
    if pem is None:
        return ""
    try:
        der = base64.b64decode(b"".join(pem[1].split()), validate=True)
    except ValueError:
        return ""
    return encode_base64url(sha256(der).digest()) if der else ""
