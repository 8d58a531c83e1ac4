"""What callers, hosts, claims and headers are called in a configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sidecar.config.grammar import matching
from sidecar.config.shape import Shown

ClaimName = Annotated[
    str,
    Shown("claim's name"),
    Field(max_length=256),
    matching(
        r"[!-)+-~]*", 'must be a claim\'s name, a JSON pointer that begins with /, or "" for none'
    ),
]
ScopeWord = Annotated[
    str,
    Shown("scope word"),
    matching(r"[!#-\[\]-~]{1,256}", 'must be a word of a scope: visible ASCII without " and \\'),
]
"""RFC 6749, section 3.3."""
TrustDomain = Annotated[
    str,
    Shown("`spiffe://domain`"),
    matching(r"spiffe://[a-z0-9._-]{1,255}", "must be a trust domain: spiffe://example.org"),
]
SpiffeId = Annotated[
    str,
    Shown("SPIFFE id"),
    matching(
        r"spiffe://[a-z0-9._-]{1,255}(/[A-Za-z0-9._-]+)+",
        "must be a SPIFFE id: spiffe://example.org/path",
    ),
]
Host = Annotated[
    str,
    Shown("host name"),
    matching(r"[a-z0-9.-]{1,253}", "must be a host name in lower case, without a port"),
]
Origin = Annotated[
    str,
    Shown("`https://host`"),
    matching(
        r"https?://[a-z0-9.-]{1,253}(:[0-9]{1,5})?",
        "must be an origin in lower case: https://tools.example.com",
    ),
]
SessionHeader = Annotated[
    str,
    Shown("header, or `off`"),
    matching(
        r"(?!(authorization|cookie|dpop|proxy-authorization)$)[a-z0-9!#$%&'*+.^_`|~-]{1,128}",
        "must be a header in lower case, and none that holds a credential",
    ),
]
LowerHeader = Annotated[
    str,
    Shown("header or parameter"),
    matching(r"[a-z0-9!#$%&'*+.^_`|~-]{1,128}", "must be a name in lower case"),
]
