"""The issuer of the measured tokens: one Ed25519 key, published as a file.

Tokens are minted before anything is measured; no server shares code with what mints them.
"""

from __future__ import annotations

import base64
import json
import uuid
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ISSUER: Final = "https://issuer.bench.example"
AUDIENCE: Final = "payments"
TENANT: Final = "acme"
AGENT: Final = "agent-7"
TASK: Final = "task-42"
SCOPES: Final = ("read:payments:balance", "write:payments:transfer")
LIFETIME: Final = 3600
"""Seconds from ``iat`` to ``exp``: longer than any run."""

_KID: Final = "bench-1"


class Issuer:
    """Signs tokens of one agent."""

    def __init__(self, now: float) -> None:
        """``now`` is in seconds since the epoch; every token is minted as of then."""
        self._private = Ed25519PrivateKey.generate()
        self._now = int(now)

    def jwks(self) -> str:
        """The JWK Set (RFC 7517; members by RFC 8037, section 2) as JSON text."""
        x = _base64url(self._private.public_key().public_bytes_raw()).decode()
        key = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": _KID, "x": x}
        return json.dumps({"keys": [key]})

    def mint(self, *, forged: bool = False, **claims: object) -> str:
        """A token that differs from every other; ``claims`` replace its claims.

        A ``forged`` one names the issuer's key and is signed by another.
        """
        payload: dict[str, Any] = {
            "iss": ISSUER,
            "sub": AGENT,
            "aud": AUDIENCE,
            "iat": self._now,
            "exp": self._now + LIFETIME,
            "jti": uuid.uuid4().hex,
            "agent_id": AGENT,
            "tenant": TENANT,
            "task_id": TASK,
            "scope": list(SCOPES),
        }
        signer = Ed25519PrivateKey.generate() if forged else self._private
        header = _segment({"alg": "EdDSA", "kid": _KID, "typ": "JWT"})
        signing_input = header + b"." + _segment(payload | claims)
        return (signing_input + b"." + _base64url(signer.sign(signing_input))).decode()

    def mint_expired(self) -> str:
        """A token that was good until a lifetime ago."""
        return self.mint(iat=self._now - 2 * LIFETIME, exp=self._now - LIFETIME)


def _segment(members: dict[str, Any]) -> bytes:
    return _base64url(json.dumps(members, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> bytes:
    """Encode without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
