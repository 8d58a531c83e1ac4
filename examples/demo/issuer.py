"""A local issuer: Ed25519 keys, a JWKS over HTTP, and tokens minted at will.

Rotation is three steps, as for any issuer whose readers cache: ``publish`` the next key, ``use`` it
once the readers have it, ``remove`` the old one once its last token has expired.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import time
import uuid
from typing import Any, Final

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from examples.demo.listening import Listening

ISSUER: Final = "https://issuer.demo.example"
AUDIENCE: Final = "tools"
TENANT: Final = "acme"
JWKS_PATH: Final = "/jwks.json"
MAX_AGE_S: Final = 3
"""Short, for nobody watches a demo for the minutes that an issuer in production grants."""


class Issuer(Listening):
    """Signs with one key and publishes it among others."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._published: dict[str, Ed25519PrivateKey] = {}
        self._numbers = itertools.count(1)
        self.kid = self.publish()
        self._private = self._published[self.kid]

    def routes(self) -> list[web.RouteDef]:
        """The JWKS and nothing else: minting is a function, not an endpoint."""
        return [web.get(JWKS_PATH, self._jwks)]

    @property
    def published(self) -> int:
        """How many keys the JWKS has."""
        return len(self._published)

    @property
    def oldest(self) -> str:
        """The kid of the key that was published first."""
        return next(iter(self._published))

    def publish(self) -> str:
        """Add a new key to the JWKS, not used yet; returns its kid."""
        kid = f"key-{next(self._numbers)}"
        self._published[kid] = Ed25519PrivateKey.generate()
        return kid

    def use(self, kid: str) -> None:
        """Sign with a published key from now on."""
        self.kid, self._private = kid, self._published[kid]

    def remove(self, kid: str) -> None:
        """Publish a key no longer."""
        del self._published[kid]

    def mint(
        self, *scopes: str, lifetime: float = 300, forged: bool = False, **claims: object
    ) -> str:
        """A token of agent-7 of tenant acme that holds ``scopes``; ``claims`` replace its claims.

        ``lifetime`` is in seconds. A ``forged`` one names the current key and is signed by another.
        """
        now = int(time.time())
        payload: dict[str, Any] = {
            "iss": ISSUER,
            "sub": "agent-7",
            "aud": AUDIENCE,
            "iat": now if lifetime > 0 else now - 600,
            "exp": now + int(lifetime),
            "jti": uuid.uuid4().hex,
            "agent_id": "agent-7",
            "tenant": TENANT,
            "task_id": "task-42",
            "scope": list(scopes),
        }
        key = Ed25519PrivateKey.generate() if forged else self._private
        return jwt.encode(payload | claims, key, "EdDSA", headers={"kid": self.kid})

    async def _jwks(self, request: web.Request) -> web.Response:
        keys = [_public(kid, key) for kid, key in self._published.items()]
        body = json.dumps({"keys": keys}).encode()
        etag = hashlib.sha256(body).hexdigest()[:16]
        answer = web.Response(body=body, content_type="application/json")
        if request.if_none_match and etag in {tag.value for tag in request.if_none_match}:
            answer = web.Response(status=304)
        answer.etag = etag
        answer.headers["Cache-Control"] = f"public, max-age={MAX_AGE_S}"
        return answer


def _public(kid: str, key: Ed25519PrivateKey) -> dict[str, str]:
    """One member of a JWKS (RFC 8037, section 2)."""
    x = base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": kid, "x": x}
