"""A verifier that shares no code with ours: joserfc for tokens and proofs, the rest by hand.

It reads every claim that decides something, strictly and simply. It may well accept what we
refuse: it knows nothing of duplicate members, spellings, tenants or ceilings. Where it refuses
what we accept, one of the two is wrong, or the case is ``LISTED``.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from hashlib import sha256
from typing import Any, Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from cryptography.exceptions import InvalidSignature
from joserfc import jwk, jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.registry import HeaderParameter

from sidecar.core.model import Request
from sidecar.core.profile import IssuerProfile
from tests.chains import chain_key, go_hash
from tests.fuzz.issuers import HOP, PROFILES, SIGNERS
from tests.tokens import AUDIENCE, NOW, base64url

_ANYTHING: Final = HeaderParameter("not read", lambda _: None)
_UNREAD: Final = ("x5t", "x5t#S256")
_ALGORITHMS: Final = ("EdDSA", "Ed25519", "ES256", "RS256", "PS256")


class Rejected(Exception):  # noqa: N818 - it is an opinion, no error
    """The second verifier says no; the message is its own word for why."""


class _Registry(jws.JWSRegistry):
    """Sizes are bounded by scopegate before anybody looks; here they are no opinion."""

    max_header_length = 16_384
    max_signature_length = 16_384


UNKNOWN_HEADER: Final = "unsupported_header"
UNREAD_HEADER: Final = "invalid_header_value"
NAMED_KEY: Final = "key_parameter"
EMPTY_ISSUER: Final = "invalid_claim iss"
LISTED: Final[Mapping[str, str]] = {
    UNKNOWN_HEADER: (
        "joserfc, set to be strict, takes no header member that is not registered. RFC 7515, "
        "section 4, wants unknown ones ignored; those that change what a token means are refused "
        "by name, and the spiffe profile takes none."
    ),
    UNREAD_HEADER: (
        "joserfc wants `x5t`, `x5t#S256` and the `kid` of a proof to be texts. scopegate reads "
        "none of them: a token's key is the one of its `kid` in the issuer's JWK Set, and a "
        "proof's key comes with it."
    ),
    NAMED_KEY: (
        "joserfc wants the `kid` within a proof's `jwk` to be a text. It is a name that the caller "
        "made up, and is dropped before the key is read."
    ),
    EMPTY_ISSUER: (
        'AgentWrit writes `"iss": ""` when nobody named its broker. It counts as no `iss`, which '
        "only an issuer that is a trust domain may leave out."
    ),
}
"""Where it refuses what scopegate accepts, and why scopegate does. Such a rule is set aside, and
everything else is asked again."""


@cache
def _registry(
    algorithms: frozenset[str], aside: frozenset[str], unread_by_us: tuple[str, ...]
) -> _Registry:
    unread = {name: _ANYTHING for name in unread_by_us if UNREAD_HEADER in aside}
    strict = UNKNOWN_HEADER not in aside
    return _Registry(unread, algorithms=sorted(algorithms), strict_check_header=strict)


@cache
def _keys(issuer: str) -> KeySet:
    keys = [{**one.jwk, "alg": name} for name, one in SIGNERS[issuer].items()]
    return KeySet.import_key_set({"keys": keys})


def second_opinion(request: Request) -> frozenset[str]:
    """Verify the token of a request, and what it is bound to; give what was set aside.

    Raises ``Rejected`` for what is not ``LISTED``.
    """
    aside: frozenset[str] = frozenset()
    while True:
        try:
            _verify(request, aside)
        except Rejected as no:
            word = str(no)
            if word not in LISTED or word in aside:
                raise
            aside |= {word}
        else:
            return aside


def _verify(request: Request, aside: frozenset[str]) -> None:
    try:
        scheme, _, raw = request.headers["authorization"][0].partition(b" ")
        token = raw.strip(b" ")
        issuer = _issuer_of(token)
        registry = _registry(issuer.algorithms, aside, _UNREAD)
        keys, algorithms = _keys(issuer.issuer), sorted(issuer.algorithms)
        decoded = jwt.decode(token, keys, algorithms=algorithms, registry=registry)
        claims = decoded.claims
        if EMPTY_ISSUER in aside and claims["iss"] == "":
            del claims["iss"]
        _claims(issuer.issuer).validate(claims)
        _judge(issuer, decoded.header, claims)
        _confirm(claims, request, scheme.lower(), token, aside)
    except Rejected:
        raise
    except JoseError as error:
        claim = getattr(error, "claim", "")
        raise Rejected(f"{error.error} {claim}".strip()) from None
    except Exception as error:  # noqa: BLE001 - what it cannot read, it does not accept
        raise Rejected(f"unreadable: {type(error).__name__}") from None


def _issuer_of(token: bytes) -> IssuerProfile:
    """Whose token it says it is; without ``iss``, the SPIFFE trust domain of its subject."""
    claims = json.loads(jws.extract_compact(token, registry=_Registry()).payload)
    said = claims.get("iss") or "/".join(claims["sub"].split("/")[:3])
    if said not in PROFILES:
        raise Rejected("issuer")
    return PROFILES[said]


@cache
def _claims(name: str) -> jwt.JWTClaimsRegistry:
    issuer = PROFILES[name]
    options: dict[str, Any] = {name: {"essential": True} for name in ("sub", "exp", "iat")}
    options |= {name: {"essential": True} for name in issuer.required}
    options["iss"] = {"essential": not issuer.issuer_optional, "value": issuer.issuer}
    options["aud"] = {"essential": not issuer.audience_optional, "value": AUDIENCE}
    if issuer.claims.tenant == "tenant":
        options["tenant"] = {"essential": True, "values": sorted(issuer.tenants)}
    return jwt.JWTClaimsRegistry(now=int(NOW), leeway=int(issuer.leeway), **options)


def _judge(issuer: IssuerProfile, header: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """What joserfc has no option for."""
    kind = header.get("typ", "").lower().removeprefix("application/")
    _want("typ", kind in issuer.types)
    _want("crit", "crit" not in header)
    early = claims["kubernetes.io"] if issuer.claims.ends_early else {}
    end = early.get("warnafter", claims["exp"])
    _want("lifetime", 0 < min(end, claims["exp"]) - claims["iat"] <= issuer.max_lifetime)
    _want("ended", end > NOW - issuer.leeway)
    _want("kind", str(claims.get("typ", "Bearer")).lower() in ("", "bearer", "dpop", "jwt"))
    _want("events", not {"events", "at_hash", "status"} & claims.keys())
    if issuer.single_audience:
        _want("one audience", not isinstance(claims["aud"], list) or len(claims["aud"]) == 1)
    if issuer.grants is None and issuer.scope_words is None:
        said = claims["scope"]
        for scope in said.split(" ") if isinstance(said, str) else said:
            _want("scope", re.fullmatch(r"(read|write):(orders|files):[!-~]+", scope) is not None)
    if {"delegation_chain", "chain_hash"} & claims.keys():
        _chain(claims["delegation_chain"], claims)
    holder = claims
    while "act" in holder:
        holder = holder["act"]
        _want("actor", isinstance(holder["sub"], str))
        _want("actor's end", claims["exp"] <= holder.get("exp", claims["exp"]))
        names = {issuer.issuer, *issuer.actor_issuers}
        _want("actor's issuer", holder.get("iss", issuer.issuer) in names)


def _chain(chain: list[Any], claims: Mapping[str, Any]) -> None:
    """AgentWrit's chain: every signature, the hash, the order, and that nothing grows."""
    _want("chain's length", 1 <= len(chain) <= 5)
    _want("chain's hash", go_hash(chain) == claims["chain_hash"])
    for record, below in zip(chain, [*chain[1:], claims], strict=True):
        text = f"{record['agent']}|{','.join(record['scope'])}|{record['delegated_at']}"
        try:
            chain_key().public_key().verify(bytes.fromhex(record["signature"]), text.encode())
        except InvalidSignature:
            raise Rejected("chain's signature") from None
        said = below["scope"]
        for scope in said.split(" ") if isinstance(said, str) else said:
            held = {scope, scope.rpartition(":")[0] + ":*"} if scope.count(":") == 2 else {scope}
            _want("chain grows", bool(held & set(record["scope"])))
        _want("chain's end", claims["exp"] <= record.get("exp", claims["exp"]))


# --- the caller ----------------------------------------------------------------------------------


def _confirm(
    claims: Mapping[str, Any], request: Request, scheme: bytes, token: bytes, aside: frozenset[str]
) -> None:
    """RFC 7800: whatever a token is bound to, the caller has shown."""
    confirmation = claims.get("cnf", {})
    _want("cnf", not confirmation.keys() - {"jkt", "x5t#S256"})
    _want("cnf is empty", bool(confirmation) or "cnf" not in claims)
    _want("scheme", (scheme == b"dpop") is ("jkt" in confirmation))
    if "x5t#S256" in confirmation:
        _want("certificate", confirmation["x5t#S256"] in _certificates(request))
    if "jkt" in confirmation:
        (proof,) = request.headers["dpop"]
        _prove(proof, confirmation["jkt"], request, token, aside)


def _certificates(request: Request) -> set[str]:
    """The thumbprints of every certificate that anybody could mean."""
    raw = b",".join(request.headers.get("x-forwarded-client-cert", ())).decode("latin-1")
    hashes = re.findall(r"hash=([0-9a-f]{64})", raw, re.IGNORECASE)
    seen = {bytes.fromhex(one) for one in hashes if request.peer.principal == HOP}
    text = unquote_to_bytes(request.peer.certificate)
    body = b"".join(line for line in text.split(b"\n") if not line.startswith(b"-"))
    with suppress(ValueError):
        seen.add(sha256(b64decode(body)).digest())
    return {base64url(one).decode() for one in seen}


def _prove(
    proof: bytes, thumbprint: str, request: Request, token: bytes, aside: frozenset[str]
) -> None:
    """RFC 9449, section 4.3, by joserfc's signature check and the standard library's URLs."""
    header = jws.extract_compact(proof, registry=_Registry()).headers()
    _want("proof's typ", header["typ"] == "dpop+jwt")
    _want("proof's key", not {"d", "k", "p"} & header["jwk"].keys())
    dropped = {"kid"} if NAMED_KEY in aside else set()
    key = jwk.import_key({name: header["jwk"][name] for name in header["jwk"].keys() - dropped})
    _want("proof's thumbprint", key.thumbprint() == thumbprint)
    registry = _registry(frozenset(_ALGORITHMS), aside, (*_UNREAD, "kid"))
    signed = jws.deserialize_compact(proof, key, algorithms=_ALGORITHMS, registry=registry)
    claims = json.loads(signed.payload or b"")
    _want("proof's ath", claims["ath"] == base64url(sha256(token).digest()).decode())
    _want("proof's htm", claims["htm"] == request.method)
    url, here = urlsplit(claims["htu"]), f"{request.scheme}://{request.host}{request.path}"
    port = url.port or {"https": 443, "http": 80}[url.scheme]
    place = f"{url.scheme}://{url.hostname}{unquote(url.path) or '/'}"
    _want("proof's htu", place == here and port == 443 and url.username is None)
    _want("proof's jti", isinstance(claims["jti"], str) and 0 < len(claims["jti"]) <= 256)
    _want("proof's iat", NOW - 60 <= claims["iat"] <= NOW + 5 and claims["iat"] is not True)


def _want(what: str, right: bool) -> None:  # noqa: FBT001 - a condition, as in assert
    if not right:
        raise Rejected(what)
