"""(3) Token bytes -> ``Jws``: the form of a compact JWS (RFC 7515), and nothing of its truth.

One token has one spelling: canonical base64url, strict JSON, member names in their own case. What
another parser could read differently, or what would let the token choose its own key, is refused
whether or not the signature would hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from sidecar.core.compact import FOREIGN_HEADERS, refuse_variants, split
from sidecar.core.model import Jws, Refused
from sidecar.core.reasons import Reason
from sidecar.core.spiffe import trust_domain_of

_MAX_KID: Final = 256  # characters

_REFUSED_HEADERS: Final = FOREIGN_HEADERS | {"jwk"}  # the token would bring its own key
_PLAIN_HEADERS: Final = frozenset(("alg", "kid", "typ"))
_KNOWN_HEADERS: Final = _REFUSED_HEADERS | _PLAIN_HEADERS
# Claims that ``core.verify`` reads under fixed names.
_KNOWN_CLAIMS: Final = frozenset(
    (
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "events"),
        *("cnf", "act", "may_act", "delegation_chain", "chain_hash"),
        *("policy_version", "capability_hash", "status"),
    )
)


def parse(token: bytes) -> Jws | Refused:
    """Take a compact JWS apart. Its claims stay unverified, whatever they say.

    Refused as ``TOKEN_MALFORMED``, or as ``CLAIM_INVALID`` when ``iss`` is no text. Never raises,
    whatever the bytes are.
    """
    try:
        parts = split(token)
        header, claims = parts.header, parts.payload
        algorithm, kid, kind = _header_values(header)
        refuse_variants(claims, _KNOWN_CLAIMS, "payload")
    except ValueError as error:
        return Refused(Reason.TOKEN_MALFORMED, str(error))
    issuer = claims.get("iss", "")
    if not isinstance(issuer, str):
        return Refused(Reason.CLAIM_INVALID, "iss")
    return Jws(
        digest=sha256(token).digest(),
        algorithm=algorithm,
        kid=kid,
        type=kind,
        unverified_issuer=issuer or trust_domain_of(claims.get("sub")),
        unverified_claims=claims,
        signing_input=parts.signing_input,
        signature=parts.signature,
        plain_header=header.keys() <= _PLAIN_HEADERS,
    )


def _header_values(header: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """``alg``, ``kid`` and ``typ`` of a header that holds nothing we refuse."""
    refuse_variants(header, _KNOWN_HEADERS, "header")
    for name in _REFUSED_HEADERS & header.keys():
        raise ValueError(f"header: {name} is not accepted")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or not algorithm:
        raise ValueError("header: alg is missing or no text")
    kid = header.get("kid")
    if "kid" in header and not (isinstance(kid, str) and 0 < len(kid) <= _MAX_KID):
        raise ValueError(f"header: kid is not a text of 1 to {_MAX_KID} characters")
    return algorithm, kid, _media_type(header["typ"]) if "typ" in header else None


def _media_type(value: object) -> str:
    """``typ`` in one spelling: lower-case, ``application/`` implied (RFC 7515, section 4.1.9)."""
    if isinstance(value, str) and value.isascii():
        kind = value.lower().removeprefix("application/")
        if kind:
            return kind
    raise ValueError("header: typ is no media type")
