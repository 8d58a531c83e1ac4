"""(4) The ``DPoP`` header: a proof that the caller has the key of the token, for this request only.

RFC 9449, section 4.3. The key comes with the proof, so it is worth nothing until its thumbprint is
the one that the token's issuer signed for; only then is its signature looked at. ``now`` is an
argument. Whether a proof was used before is asked later, with everything else that is single-use.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from sidecar.core.claims import is_date, is_text
from sidecar.core.compact import FOREIGN_HEADERS, Compact, encode_base64url, refuse_variants, split
from sidecar.core.jwk import DangerousKey, Skipped, read_jwk
from sidecar.core.model import JsonObject, Key, Proof, Refused, Request
from sidecar.core.reasons import Reason
from sidecar.core.signature import ALGORITHMS, unsigned

MAX_PROOF_BYTES: Final = 4 * 1024

_KNOWN_HEADERS: Final = FOREIGN_HEADERS | {"typ", "alg", "jwk", "kid"}
_KNOWN_CLAIMS: Final = frozenset(("jti", "htm", "htu", "iat", "ath", "nonce"))
_PRIVATE_MEMBERS: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_KNOWN_MEMBERS: Final = (
    _PRIVATE_MEMBERS | {"kty", "crv", "x", "y", "n", "e"} | {*("kid", "alg", "use", "key_ops")}
)

_NO_ISSUER: Final = ""
"""Whose key a proof is signed with: it names nobody, and the token says which key it has to be."""


@dataclass(frozen=True, slots=True)
class DpopRules:
    """Which proofs are good here."""

    origins: frozenset[str] = frozenset()
    """What callers know this place by, each as ``origin_of`` gives it. Empty: what the request
    itself says (``:scheme`` and ``:authority``), which its sender chooses."""
    max_age: float = 60.0
    """Seconds after ``iat`` for which a proof is good."""
    leeway: float = 5.0
    """Seconds that ``iat`` may lie in the future."""
    algorithms: frozenset[str] = ALGORITHMS
    """Of ``core.signature.ALGORITHMS``; case-sensitive."""


def check_proof(
    request: Request, token: bytes, jkt: str, rules: DpopRules, *, now: float
) -> Proof | Refused:
    """Check the one proof of a request against it, against its token and the token's key.

    ``jkt`` is the thumbprint that the verified token names (RFC 9449, section 6.1), ``now`` in
    seconds since the epoch. Refused as ``DPOP_REFUSED``; the numbers below are those of the list
    in section 4.3. A ``nonce`` (10) is not asked for, and one that is there is not read.
    """
    values = request.headers.get("dpop", ())
    if len(values) != 1:  # 1
        return _refused(f"{len(values)} DPoP headers")
    if len(values[0]) > MAX_PROOF_BYTES:
        return _refused(f"longer than {MAX_PROOF_BYTES} bytes")
    try:
        proof = split(values[0])  # 2
        key = _key_of(proof, rules)  # 4 5 7
        refuse_variants(proof.payload, _KNOWN_CLAIMS, "payload")
    except (ValueError, DangerousKey) as error:
        return _refused(str(error))
    if key.thumbprint != jkt:  # 12
        return _refused("the proof is by another key than the token's")
    algorithm = proof.header["alg"]
    if unsigned(algorithm, proof.signing_input, proof.signature, key):  # 6
        return _refused("its signature is not valid")
    claims = proof.payload
    wrong = _about_another(claims, request, token, rules) or _untimely(claims, rules, now)
    if wrong:
        return _refused(wrong)
    issued = float(claims["iat"])
    return Proof(jkt, claims["jti"], issued, until=issued + rules.max_age + rules.leeway)


def origin_of(url: str) -> str | None:
    """Tell the origin of an http or https URL: lower-case, without the scheme's own port.

    None for anything else, and for a URL with a user (RFC 3986, sections 6.2.2 and 6.2.3).
    """
    place = _place(url)
    return place[0] if place else None


def _refused(detail: str) -> Refused:
    return Refused(Reason.DPOP_REFUSED, detail)


# --- whose proof -------------------------------------------------------------------------------


def _key_of(proof: Compact, rules: DpopRules) -> Key:
    """Read the public key of the header. Raises ``ValueError`` or ``DangerousKey``."""
    header = proof.header
    refuse_variants(header, _KNOWN_HEADERS, "header")
    for name in FOREIGN_HEADERS & header.keys():
        raise ValueError(f"header: {name} is not accepted")
    if header.get("typ") != "dpop+jwt":  # 4
        raise ValueError("header: typ is not dpop+jwt")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:  # 5
        raise ValueError("header: alg is not accepted")
    jwk = header.get("jwk")
    if not isinstance(jwk, dict):
        raise ValueError("header: jwk is missing or no object")  # noqa: TRY004 - as all others
    refuse_variants(jwk, _KNOWN_MEMBERS, "jwk")
    if _PRIVATE_MEMBERS & jwk.keys():  # 7
        raise ValueError("jwk: a private or secret key")
    # Its kid is a name that the caller made up.
    members = {name: value for name, value in jwk.items() if name != "kid"}
    key = read_jwk(members, _NO_ISSUER, frozenset({algorithm}))
    if isinstance(key, Skipped):
        raise ValueError(f"jwk: {key.reason}")  # noqa: TRY004 - as all others
    return key


# --- for what, and when ------------------------------------------------------------------------


def _about_another(claims: JsonObject, request: Request, token: bytes, rules: DpopRules) -> str:
    """Say in what the proof is not for this request and this token; empty when it is."""
    if claims.get("htm") != request.method:  # 8
        return "htm is another method"
    place = _place(claims.get("htu"))  # 9
    here, path = _place(f"{request.scheme}://{request.host}"), _place(f"http://h{request.path}")
    if place is None or here is None or path is None or place[1] != path[1]:
        return "htu is another path, or no URL"
    if place[0] not in (rules.origins or {here[0]}):
        return "htu is another origin"
    if claims.get("ath") != encode_base64url(sha256(token).digest()):  # 12
        return "ath is another token's"
    return ""


def _untimely(claims: JsonObject, rules: DpopRules, now: float) -> str:
    """Say what is wrong with the proof's name or its age; empty when nothing is."""
    if not is_text(claims.get("jti")):  # 3
        return "jti is missing or no text"
    if not is_date(claims.get("iat")):  # 3
        return "iat is missing or no date"
    issued = claims["iat"]
    if issued < now - rules.max_age:  # 11
        return f"older than {rules.max_age:g} s"
    return "iat lies in the future" if issued > now + rules.leeway else ""


_URL: Final = re.compile(
    r"(https?)://([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::([0-9]{0,5}))?"
    r'(/[!"$->@-~]*)?(?:[?#][!-~]*)?',
    re.ASCII | re.IGNORECASE,
)
_OWN_PORTS: Final = {"http": 80, "https": 443}
_ESCAPE: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")


def _place(url: object) -> tuple[str, str] | None:
    """Split a URL into origin and path in one spelling (RFC 3986, 6.2.2 and 6.2.3).

    Its query and fragment are left out. None when it is no such URL.
    """
    match = _URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        return None
    scheme, host, digits, path = match.groups()
    scheme, host = scheme.lower(), host.lower()
    port = int(digits) if digits else _OWN_PORTS[scheme]
    origin = f"{scheme}://{host}" if port == _OWN_PORTS[scheme] else f"{scheme}://{host}:{port}"
    return origin, _ESCAPE.sub(_in_one_spelling, path or "/")


def _in_one_spelling(escape: re.Match[str]) -> str:
    character = chr(int(escape[0][1:], 16))
    return character if _UNRESERVED.fullmatch(character) else escape[0].upper()
