"""What a token says of itself, as far as it can be read; nobody has checked any of it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sidecar.core.model import JsonObject
from sidecar.core.spiffe import trust_domain_of
from sidecar.core.strict_json import parse_object

_MAX_DEPTH: Final = 16
_SIGNED, _ENCRYPTED = 3, 5  # segments of a compact JWS and of a compact JWE
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")


@dataclass(frozen=True, slots=True)
class Parts:
    """Header and payload; None where there is none that can be read in one way only."""

    header: JsonObject | None = field(repr=False)
    payload: JsonObject | None = field(repr=False)
    segments: int


@dataclass(frozen=True, slots=True)
class Kind:
    """What a token looks like."""

    words: str
    profile: str = ""
    """The profile of ``config.profiles`` that fits; empty when it is no access token."""


def parts_of(token: bytes) -> Parts:
    """Read what can be read, also of a token that the gate does not take."""
    segments = token.split(b".")
    header = _object(segments[0])
    payload = _object(segments[1]) if len(segments) > 1 else None
    return Parts(header, payload, len(segments))


def _object(segment: bytes) -> JsonObject | None:
    text = segment.translate(_TO_URL).rstrip(b"=")
    try:
        raw = base64.b64decode(text + b"=" * (-len(text) % 4), b"-_", validate=True)
        return parse_object(raw, max_depth=_MAX_DEPTH)
    except ValueError:
        return None


def kind_of(parts: Parts) -> Kind:
    """Guess what sort of token it is, by its header and its claims."""
    if parts.segments == _ENCRYPTED:
        return Kind("an encrypted token (JWE, RFC 7516): only signed ones are taken")
    if parts.header is None or parts.segments != _SIGNED:
        return Kind("no signed JWT: an opaque token, or one that was cut off or changed")
    header, claims = parts.header, parts.payload or {}
    said = header.get("typ")
    kind = said.lower().removeprefix("application/") if isinstance(said, str) else ""
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    return next((found for found, fits in _BY_CLAIMS if fits(kind, claims)), _PLAIN)


_DPOP: Final = Kind("a DPoP proof (RFC 9449): it goes into the header DPoP, beside the token")
_ID: Final = Kind("an ID token (OpenID Connect): it tells a client who its user is")
_LOGOUT: Final = Kind("a logout token (OpenID Connect Back-Channel Logout)")
_EVENT: Final = Kind("a security event token (RFC 8417)")
_REFRESH: Final = Kind("a refresh token: it goes to the issuer, for an access token")
_PLAIN: Final = Kind("a plain JWT", "plain")

_BY_TYPE: Final = {
    "dpop+jwt": _DPOP,
    "logout+jwt": _LOGOUT,
    "secevent+jwt": _EVENT,
    "statuslist+jwt": Kind("a list of token states"),
    "token-introspection+jwt": Kind("an answer to an introspection (RFC 9701)"),
    "oauth-id-jag+jwt": Kind("an identity assertion: it goes to an issuer, for an access token"),
    "wit+jwt": Kind("a workload identity token (WIMSE)"),
    "wpt+jwt": Kind("a workload's proof of possession (WIMSE)"),
}


def _is_kubernetes(_kind: str, claims: JsonObject) -> bool:
    return "kubernetes.io" in claims


def _is_legacy_kubernetes(_kind: str, claims: JsonObject) -> bool:
    return "kubernetes.io/serviceaccount/service-account.name" in claims


def _is_keycloak(_kind: str, claims: JsonObject) -> bool:
    realm = "/realms/" in str(claims.get("iss", ""))
    return "realm_access" in claims or "resource_access" in claims or (realm and "azp" in claims)


def _is_agentwrit(_kind: str, claims: JsonObject) -> bool:
    return "delegation_chain" in claims or {"task_id", "orch_id"} <= claims.keys()


def _says(*kinds: Any) -> Callable[[str, JsonObject], bool]:
    return lambda _kind, claims: claims.get("typ") in kinds


def _has(*names: str) -> Callable[[str, JsonObject], bool]:
    return lambda _kind, claims: not claims.keys().isdisjoint(names)


_BY_CLAIMS: Final[tuple[tuple[Kind, Callable[[str, JsonObject], bool]], ...]] = (
    (_DPOP, _has("htm", "htu")),
    (_EVENT, _has("events", "toe")),
    (_ID, _says("ID")),
    (_REFRESH, _says("Refresh", "Offline")),
    (_LOGOUT, _says("Logout")),
    (_ID, _has("at_hash", "c_hash", "s_hash", "nonce")),
    (Kind("a service account's token of Kubernetes", "kubernetes"), _is_kubernetes),
    (Kind("an old service account's token of Kubernetes, without an end"), _is_legacy_kubernetes),
    (Kind("an access token of Keycloak", "keycloak"), _is_keycloak),
    (Kind("a token of AgentWrit", "agentwrit"), _is_agentwrit),
    (Kind("an access token of RFC 9068", "rfc9068"), lambda kind, _claims: kind == "at+jwt"),
    (
        Kind("a JWT-SVID of SPIFFE", "spiffe"),
        lambda _kind, claims: bool(trust_domain_of(claims.get("sub"))) and "scope" not in claims,
    ),
)
