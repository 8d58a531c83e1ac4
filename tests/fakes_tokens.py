"""``ports.Tokens`` as its contract puts it, for the suite to compare with."""

from __future__ import annotations

from sidecar.core import jws as compact
from sidecar.core import signature
from sidecar.core.model import Jws, Key, Refused, SignedClaims


class DirectTokens:
    """``ports.Tokens`` without a memory: every token is parsed and proven anew."""

    def parse(self, token: bytes) -> Jws | Refused:
        """See ``ports.Tokens.parse``."""
        return compact.parse(token)

    def prove(self, jws: Jws, key: Key) -> SignedClaims | Refused:
        """See ``ports.Tokens.prove``."""
        return signature.prove(jws, key)
