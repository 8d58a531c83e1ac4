"""DPoP proofs for tests, good and bad (RFC 9449, section 4.2); signed as ``tests.tokens`` signs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from tests.tokens import ABSENT, NOW, Signer, base64url, sign_compact, signer

URL: Final = "https://data.example/data/customer-1"
"""What ``tests.requests.make_request`` asks for."""


def make_proof(
    token: bytes,
    *,
    by: Signer | None = None,
    header: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> bytes:
    """Make a proof that is good at ``NOW`` for a GET of ``URL`` with ``token``.

    Signed by ``signer()`` unless said; ``overrides`` are claims, and ``ABSENT`` leaves one out.
    """
    by = by or signer()
    head = {"typ": "dpop+jwt", "alg": by.algorithm, "jwk": public_jwk(by), **(header or {})}
    claims = {
        "jti": "proof-1",
        "htm": "GET",
        "htu": URL,
        "iat": NOW,
        "ath": base64url(sha256(token).digest()).decode(),
        **overrides,
    }
    return sign_compact(_json(head), _json(claims), by=by)


def public_jwk(by: Signer) -> dict[str, Any]:
    """Give the public key with its required members only."""
    return by.jose.as_dict(private=False)


def _json(members: Mapping[str, Any]) -> bytes:
    return json.dumps({k: v for k, v in members.items() if v is not ABSENT}).encode()
