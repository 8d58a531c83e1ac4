"""The memory of verified tokens: what was proven under a key need not be proven again.

An agent sends the same token with many calls, and its signature is most of a check's cost. The
memory is keyed by the SHA-256 of the exact bytes and takes a token in only once its signature has
been proven, so that nobody without a key can fill it. It holds no judgement: dates, audience,
tenant and deny list are looked at on every call, and a key that was removed or changed proves
nothing any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from cachetools import LRUCache

from sidecar.core import jws as compact
from sidecar.core import signature
from sidecar.core.model import Jws, Key, Refused, SignedClaims


@dataclass(frozen=True, slots=True)
class _Proven:
    jws: Jws
    signed: SignedClaims


class VerifiedTokens:
    """``ports.Tokens`` that remembers the ``maxsize`` proven tokens used last.

    For one event loop: it takes no lock. Raises ``ValueError`` when ``maxsize`` is below 1.
    """

    def __init__(self, maxsize: int) -> None:
        if maxsize < 1:
            raise ValueError(f"maxsize must be at least 1, not {maxsize}")
        self._proven: LRUCache[bytes, _Proven] = LRUCache(maxsize)

    def __len__(self) -> int:
        return len(self._proven)

    def parse(self, token: bytes) -> Jws | Refused:
        """See ``ports.Tokens.parse``."""
        remembered = self._proven.get(sha256(token).digest())
        return compact.parse(token) if remembered is None else remembered.jws

    def prove(self, jws: Jws, key: Key) -> SignedClaims | Refused:
        """See ``ports.Tokens.prove``."""
        remembered = self._proven.get(jws.digest)
        # The very same Jws, not an equal digest: a digest is only as true as who wrote it.
        if remembered is not None and remembered.jws is jws and remembered.signed.key == key:
            return remembered.signed
        signed = signature.prove(jws, key)
        if isinstance(signed, SignedClaims):
            self._proven[jws.digest] = _Proven(jws, signed)
        return signed
