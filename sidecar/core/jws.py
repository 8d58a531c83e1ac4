"""(3) Token bytes -> ``Jws``: the form of a compact JWS (RFC 7515), and nothing of its truth.

One token has one spelling: canonical base64url, strict JSON, member names in their own case. What
another parser could read differently, or what would let the token choose its own key, is refused
whether or not the signature would hold.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from sidecar.core.model import Jws, Refused
from sidecar.core.reasons import Reason
from sidecar.core.strict_json import parse_object

_SEGMENTS: Final = 3
_MAX_KID: Final = 256  # characters
_MAX_DEPTH: Final = 16

_REFUSED_HEADERS: Final = frozenset(
    (
        *("jwk", "jku", "x5u", "x5c"),  # the token would bring its own key
        *("crit", "b64"),  # extensions: none is understood here (RFC 7515, section 4.1.11)
        *("enc", "zip", "cty"),  # encrypted, compressed or nested: not a plain JWS
    )
)
_KNOWN_HEADERS: Final = _REFUSED_HEADERS | {"alg", "kid", "typ"}
# Claims that ``core.verify`` reads under fixed names.
_KNOWN_CLAIMS: Final = frozenset(
    (
        *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "events"),
        *("cnf", "act", "may_act", "delegation_chain"),
    )
)


def parse(token: bytes) -> Jws | Refused:
    """Take a compact JWS apart. Its claims stay unverified, whatever they say.

    Refused as ``TOKEN_MALFORMED``, or as ``CLAIM_INVALID`` when ``iss`` is missing or no text.
    Never raises, whatever the bytes are.
    """
    try:
        header, claims, signing_input, signature = _split(token)
        algorithm, kid, kind = _header_values(header)
        _refuse_variants(claims, _KNOWN_CLAIMS, "payload")
    except ValueError as error:
        return Refused(Reason.TOKEN_MALFORMED, str(error))
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or not issuer:
        return Refused(Reason.CLAIM_INVALID, "iss")
    return Jws(
        digest=sha256(token).digest(),
        algorithm=algorithm,
        kid=kid,
        type=kind,
        unverified_issuer=issuer,
        unverified_claims=claims,
        signing_input=signing_input,
        signature=signature,
    )


def _split(token: bytes) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    segments = token.split(b".")
    if len(segments) != _SEGMENTS or not all(segments):
        raise ValueError("not three segments")
    header, payload, signature = (_base64url(segment) for segment in segments)
    signing_input, _, _ = token.rpartition(b".")
    return _object(header, "header"), _object(payload, "payload"), signing_input, signature


def _base64url(segment: bytes) -> bytes:
    """Decode base64url without padding (RFC 7515, section 2), in its one canonical spelling."""
    decoded = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    # The decoder skips foreign bytes and ignores spare bits; what it read must read the same back.
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != segment:
        raise ValueError("not canonical base64url")
    return decoded


def _object(raw: bytes, part: str) -> dict[str, Any]:
    try:
        return parse_object(raw, max_depth=_MAX_DEPTH)
    except ValueError as error:
        raise ValueError(f"{part}: {error}") from None


def _header_values(header: Mapping[str, Any]) -> tuple[str, str | None, str | None]:
    """``alg``, ``kid`` and ``typ`` of a header that holds nothing we refuse."""
    _refuse_variants(header, _KNOWN_HEADERS, "header")
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


def _refuse_variants(members: Mapping[str, Any], known: frozenset[str], part: str) -> None:
    """Refuse names that parsers ignoring case would take for others (as Go's does)."""
    folded = {name.casefold() for name in members}
    if len(folded) != len(members) or (folded & known) - members.keys():
        raise ValueError(f"{part}: a member's name in another case")
