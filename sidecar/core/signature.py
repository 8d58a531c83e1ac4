"""(4) ``Jws`` -> ``SignedClaims``: the one place where a signature is checked.

A key has one algorithm, and the token's ``alg`` must be that one: the token never chooses how it
is checked (RFC 8725, section 3.1). PyJWT's algorithm objects do the mathematics; its claim checks
are not used, because they read the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

from sidecar.core.model import Jws, Key, Refused, SignedClaims
from sidecar.core.reasons import Reason


@dataclass(frozen=True, slots=True)
class _Scheme:
    verifier: Algorithm
    signature_bytes: int | None = None
    """None: as long as the key's modulus, which the verifier itself sees to."""


_ED25519: Final = _Scheme(OKPAlgorithm(), 64)
_SCHEMES: Final = MappingProxyType(
    {
        "EdDSA": _ED25519,
        "Ed25519": _ED25519,  # the fully specified name of the same (RFC 9864)
        "ES256": _Scheme(ECAlgorithm(ECAlgorithm.SHA256), 64),
        "RS256": _Scheme(RSAAlgorithm(RSAAlgorithm.SHA256)),
        "PS256": _Scheme(RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256)),
    }
)

ALGORITHMS: Final = frozenset(_SCHEMES)
"""Every ``alg`` that a profile or a key may name; case-sensitive."""


def prove(jws: Jws, key: Key) -> SignedClaims | Refused:
    """Return the claims of ``jws``, if ``key`` signed them.

    Refused as ``KEY_UNKNOWN`` (the key is another issuer's), ``ALGORITHM_REFUSED`` (``alg`` is not
    the key's own) or ``SIGNATURE_INVALID``.
    """
    if jws.unverified_issuer != key.issuer:
        return Refused(Reason.KEY_UNKNOWN, "the key belongs to another issuer")
    scheme = _SCHEMES.get(jws.algorithm)
    if scheme is None or scheme is not _SCHEMES.get(key.algorithm):
        return Refused(Reason.ALGORITHM_REFUSED, f"the key is for {key.algorithm}")
    if scheme.signature_bytes not in (None, len(jws.signature)):
        return Refused(Reason.SIGNATURE_INVALID, "length")
    if not scheme.verifier.verify(jws.signing_input, key.public, jws.signature):
        return Refused(Reason.SIGNATURE_INVALID)
    return SignedClaims(claims=jws.unverified_claims, type=jws.type, key=key)
