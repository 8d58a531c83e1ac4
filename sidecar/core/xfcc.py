"""``x-forwarded-client-cert``: who a proxy says its client was, as Envoy writes it.

Elements stand between commas, one per proxy and the nearest last; pairs of an element between
semicolons; a value may be quoted (Envoy, HTTP connection manager, header manipulation). The text
to the left of a proxy's own element came from its client. So a header that two readers could cut
in two ways says nothing at all, and no part of it is repaired.

Envoy 1.40 quotes no URI and no DNS name. Whoever gets a certificate whose SAN holds a comma can
write elements of its own: the hops' certificate authorities must not sign such names. No SPIFFE id
holds one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.core.compact import encode_base64url

MAX_BYTES: Final = 16 * 1024
MAX_ELEMENTS: Final = 16
MAX_PAIRS: Final = 256
"""In all elements together: each takes longer to read than to send."""

# Keys ignore case. Only quoted values may hold what separates, or a space; Envoy writes subjects as
# RFC 2253 has them, where a backslash stands before the character that it takes the meaning from.
_PAIR: Final = re.compile(
    rb"(?i:(?P<key>By|Hash|Cert|Chain|Subject|URI|DNS))="
    rb'(?:"(?P<quoted>(?:[ !#-\[\]-~]|\\[ -~])*+)"|(?P<plain>[!#-+\--:<>-\[\]-~]*+))'
    rb"(?P<end>;|[ \t]*,[ \t]*|\Z)"
)
_HASH: Final = re.compile(rb"[0-9A-Fa-f]{64}")
_ONCE: Final = frozenset((b"hash", b"cert", b"chain", b"subject"))


@dataclass(frozen=True, slots=True)
class Element:
    """What one proxy says of its client."""

    uris: tuple[str, ...]
    """The URI SANs of its certificate: Envoy writes one that is empty when there are none."""
    certificate: str
    """base64url of the SHA-256 of its DER certificate, or empty when the proxy does not say."""


def parse(values: Sequence[bytes]) -> tuple[Element, ...]:
    """Read the header's values, joined in their order: the nearest proxy's element comes last.

    Nothing when any part is malformed, or beyond ``MAX_BYTES``, ``MAX_ELEMENTS`` or ``MAX_PAIRS``.
    Never raises.
    """
    raw = b",".join(values)
    if len(raw) > MAX_BYTES:
        return ()
    elements: list[Element] = []
    pairs: list[tuple[bytes, bytes]] = []
    position, end, left = 0, b";", MAX_PAIRS
    while end:
        match = _PAIR.match(raw, position)
        # To readers who know no escape but the one of a quote, such a value goes on.
        if match is None or (match["quoted"] or b"").endswith(b"\\") or not left:
            return ()
        left -= 1
        position, end = match.end(), match["end"]
        pairs.append((match["key"].lower(), match["quoted"] or match["plain"] or b""))
        if end == b";":
            continue
        element = _element(pairs)
        if element is None or len(elements) == MAX_ELEMENTS:
            return ()
        elements.append(element)
        pairs = []
    return tuple(elements)


def _element(pairs: Sequence[tuple[bytes, bytes]]) -> Element | None:
    """Make an element of its pairs; None when one stands twice that may not, or is no hash."""
    keys = [key for key, _ in pairs]
    if any(keys.count(key) > 1 for key in _ONCE):
        return None
    digest = dict(pairs).get(b"hash")
    if digest is not None and not _HASH.fullmatch(digest):
        return None
    return Element(
        uris=tuple(value.decode("ascii") for key, value in pairs if key == b"uri"),
        certificate=encode_base64url(bytes.fromhex(digest.decode())) if digest else "",
    )
