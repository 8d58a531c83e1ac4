"""(4) ``Jws`` -> ``SignedClaims``: the one place where a signature is checked.

A key has one algorithm, and the token's ``alg`` must be that one: the token never chooses how it
is checked (RFC 8725, section 3.1). PyJWT's algorithm objects do the mathematics; its claim checks
are not used, because they read the wall clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import Final

from jwt.algorithms import Algorithm, ECAlgorithm, OKPAlgorithm, RSAAlgorithm, RSAPSSAlgorithm

from sidecar.core.delegation import prove_chain
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
        "ES384": _Scheme(ECAlgorithm(ECAlgorithm.SHA384), 96),
        "ES512": _Scheme(ECAlgorithm(ECAlgorithm.SHA512), 132),
        "RS256": _Scheme(RSAAlgorithm(RSAAlgorithm.SHA256)),
        "RS384": _Scheme(RSAAlgorithm(RSAAlgorithm.SHA384)),
        "RS512": _Scheme(RSAAlgorithm(RSAAlgorithm.SHA512)),
        "PS256": _Scheme(RSAPSSAlgorithm(RSAPSSAlgorithm.SHA256)),
        "PS384": _Scheme(RSAPSSAlgorithm(RSAPSSAlgorithm.SHA384)),
        "PS512": _Scheme(RSAPSSAlgorithm(RSAPSSAlgorithm.SHA512)),
    }
)

ALGORITHMS: Final = frozenset(_SCHEMES)
"""Every ``alg`` that a profile or a key may name; case-sensitive."""


def unsigned(algorithm: str, signing_input: bytes, signature: bytes, key: Key) -> Refused | None:
    """Refuse what ``key`` did not sign; None when it did.

    Refused as ``ALGORITHM_REFUSED`` (``algorithm`` is not the key's own) or ``SIGNATURE_INVALID``.
    """
    scheme = _SCHEMES.get(algorithm)
    if scheme is None or scheme is not _SCHEMES.get(key.algorithm):
        return Refused(Reason.ALGORITHM_REFUSED, f"the key is for {key.algorithm}")
    if scheme.signature_bytes not in (None, len(signature)):
        return Refused(Reason.SIGNATURE_INVALID, "length")
    if not scheme.verifier.verify(signing_input, key.public, signature):
        return Refused(Reason.SIGNATURE_INVALID)
    return None


def prove(jws: Jws, key: Key) -> SignedClaims | Refused:
    """Return the claims of ``jws``, if ``key`` signed them.

    Refused as ``KEY_UNKNOWN`` (the key is another issuer's), ``ALGORITHM_REFUSED`` (``alg`` is not
    the key's own), ``SIGNATURE_INVALID``, or ``DELEGATION_REFUSED`` for a chain that the key did
    not sign.
    """
    if jws.unverified_issuer != key.issuer:
        return Refused(Reason.KEY_UNKNOWN, "the key belongs to another issuer")
    refused = unsigned(jws.algorithm, jws.signing_input, jws.signature, key)
    if refused is not None:
        return refused
    claims = jws.unverified_claims
    chain = prove_chain(claims, key)
    if isinstance(chain, Refused):
        return chain
    digest = sha256(jws.signing_input).digest()
    return SignedClaims(claims=claims, type=jws.type, key=key, chain=chain, digest=digest)
