"""The memory of verified tokens: what was proven under a key need not be proven again.

An agent sends the same token with many calls, and its signature is most of a check's cost. The
memory is keyed by the SHA-256 of the exact bytes and takes a token in only once its signature has
been proven, so that nobody without a key can fill it. It holds no judgement: dates, audience,
tenant, binding and deny list are looked at on every call, and a key that was removed or changed
proves nothing any more. A token that has ended is
forgotten when it comes again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cachetools import LRUCache

from sidecar.core import jws as compact
from sidecar.core import signature
from sidecar.core.claims import is_date
from sidecar.core.model import Jws, Key, Refused, SignedClaims


@dataclass(frozen=True, slots=True)
class _Proven:
    jws: Jws
    signed: SignedClaims
    until: float
    """``exp``, in seconds since the epoch; the distant past where that is no date."""


class VerifiedTokens:
    """``ports.Tokens`` that remembers the ``maxsize`` proven tokens used last.

    ``now`` gives seconds since the epoch. For one event loop: it takes no lock. Raises
    ``ValueError`` when ``maxsize`` is below 1.
    """

    def __init__(self, maxsize: int, now: Callable[[], float]) -> None:
        if maxsize < 1:
            raise ValueError(f"maxsize must be at least 1, not {maxsize}")
        self._now = now
        self._proven: LRUCache[bytes, _Proven] = LRUCache(maxsize)

    def __len__(self) -> int:
        return len(self._proven)

    def parse(self, token: bytes) -> Jws | Refused:
        """See ``ports.Tokens.parse``."""
        digest = sha256(token).digest()
        remembered = self._proven.get(digest)
        if remembered is None:
            return compact.parse(token)
        if remembered.until <= self._now():
            del self._proven[digest]
        return remembered.jws

    def prove(self, jws: Jws, key: Key) -> SignedClaims | Refused:
        """See ``ports.Tokens.prove``."""
        remembered = self._proven.get(jws.digest)
        # The very same Jws, not an equal digest: a digest is only as true as who wrote it.
        if remembered is not None and remembered.jws is jws and remembered.signed.key == key:
            return remembered.signed
        signed = signature.prove(jws, key)
        if isinstance(signed, SignedClaims) and (until := _end_of(signed)) > self._now():
            self._proven[jws.digest] = _Proven(jws, signed, until)
        return signed


def _end_of(signed: SignedClaims) -> float:
    end: Any = signed.claims.get("exp")
    return float(end) if is_date(end) else -math.inf
