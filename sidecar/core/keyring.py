"""A JWK Set becomes an immutable ring of public keys.

Keys that are not meant for us are skipped and named. A document that no careful issuer publishes
(private or symmetric parts, keys that others can sign with, two keys of one name, nothing usable)
is refused whole, and whoever holds a ring keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from sidecar.core.jwk import SIGNATURES, DangerousKey, Skipped, read_jwk
from sidecar.core.model import JsonObject, Key
from sidecar.core.strict_json import parse_object

_MAX_KEYS: Final = 64
_MAX_KID: Final = 256
_MAX_DEPTH: Final = 8  # set, array, key, x5c; the rest is room for members of an issuer's own

# RFC 7518, sections 6.2.2, 6.3.2 and 6.4; "priv" of the AKP keys of post-quantum signatures.
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})


class BadKeySet(ValueError):  # noqa: N818 - it says what the document is
    """The document is refused whole. The message names the place and holds no key material."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The usable keys of one issuer at one moment; never empty."""

    keys: Mapping[str, Key]
    """By kid."""
    only: Key | None
    """The key, with or without a kid, of an issuer that has exactly one usable key."""
    skipped: tuple[Skipped, ...]
    document: bytes = field(repr=False)
    """The JWK Set exactly as it was published."""

    @property
    def size(self) -> int:
        """How many keys there are."""
        return len(self.keys) or 1

    def find(self, kid: str | None) -> Key | None:
        """Return the key of that name; without a name, the only key there is."""
        return self.only if kid is None else self.keys.get(kid)


def parse_jwks(
    document: bytes,
    issuer: str,
    algorithms: frozenset[str],
    previous: KeyRing | None,
    *,
    uses: frozenset[str] = SIGNATURES,
) -> KeyRing:
    """Read the keys of a JWK Set (RFC 7517, section 5) that fit ``algorithms`` and ``uses``.

    A key that ``previous`` holds too keeps its object, and with it what was proven under it.
    Raises ``BadKeySet``; an empty set is one, so that it never replaces a good ring.
    """
    usable: list[Key] = []
    skipped: list[Skipped] = []
    for place, jwk in enumerate(_published(document)):
        try:
            key = read_jwk(jwk, issuer, algorithms, uses)
        except DangerousKey as danger:
            raise BadKeySet(f"keys[{place}] is {danger}") from None
        if isinstance(key, Skipped):
            skipped.append(key)
        else:
            usable.append(_kept(key, previous))
    return _ring(usable, skipped, document)


def _ring(usable: list[Key], skipped: list[Skipped], document: bytes) -> KeyRing:
    named = {key.kid: key for key in usable if key.kid is not None}
    only = usable[0] if len(usable) == 1 else None
    if only is None:
        nameless = Skipped(None, "it has no kid, and there are others")
        skipped = [*skipped, *(nameless for key in usable if key.kid is None)]
    if not named and only is None:
        reasons = "; ".join(sorted({one.reason for one in skipped})) or "the set is empty"
        raise BadKeySet(f"no usable key: {reasons}")
    return KeyRing(MappingProxyType(named), only, tuple(skipped), document)


def _kept(key: Key, previous: KeyRing | None) -> Key:
    before = None if previous is None else previous.find(key.kid)
    return before if before is not None and before == key else key


def _published(document: bytes) -> list[JsonObject]:
    try:
        jwks = parse_object(document, max_depth=_MAX_DEPTH).get("keys")
    except ValueError as error:
        raise BadKeySet(f"not a JSON object: {error}") from None
    if not isinstance(jwks, list):
        raise BadKeySet("'keys' is not an array")
    if len(jwks) > _MAX_KEYS:
        raise BadKeySet(f"{len(jwks)} keys, more than {_MAX_KEYS}")
    kids: set[str] = set()
    for place, jwk in enumerate(jwks):
        _refuse_what_no_issuer_publishes(jwk, f"keys[{place}]", kids)
    return jwks


def _refuse_what_no_issuer_publishes(jwk: Any, place: str, kids: set[str]) -> None:
    if not isinstance(jwk, dict):
        raise BadKeySet(f"{place} is not an object")
    leaked = sorted(_PRIVATE & jwk.keys())
    if leaked:
        raise BadKeySet(f"{place} has the private member {leaked[0]!r}")
    if jwk.get("kty") == "oct":
        raise BadKeySet(f"{place} is a symmetric key")
    if "kid" not in jwk:
        return
    kid = jwk["kid"]
    if not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
        raise BadKeySet(f"{place}: 'kid' is not a string of 1 to {_MAX_KID} characters")
    if kid in kids:
        raise BadKeySet(f"{place}: kid {kid!r} stands there twice")
    kids.add(kid)
