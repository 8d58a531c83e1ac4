"""(2) Find the token: exactly one credential, in exactly one place.

A request that carries two tokens is read differently by whoever picks the other one, so it is
refused rather than resolved (RFC 6750, section 2: one method per request).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from sidecar.core.model import Credential, Refused, Request, Scheme
from sidecar.core.reasons import Reason

MAX_TOKEN_BYTES: Final = 8 * 1024

# RFC 8725bis, section 3.14: anything else must be refused, else a token could also be read as a
# JSON serialisation.
_TOKEN_CHARACTERS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."

_SCHEMES: Final = MappingProxyType({scheme.value.encode(): scheme for scheme in Scheme})


def credential_of(request: Request) -> Credential | Refused:
    """Find the request's one token, as a Bearer (RFC 6750) or a DPoP credential (RFC 9449, 7.1).

    The scheme's case does not matter (RFC 9110, section 11.1). Refused as ``TOKEN_MISSING`` (no
    header, another scheme), ``TOKEN_AMBIGUOUS`` (several headers, a list in one, an
    ``access_token`` in the query) or ``TOKEN_MALFORMED`` (size, characters).
    """
    values = request.headers.get("authorization", ())
    if len(values) > 1:
        return Refused(Reason.TOKEN_AMBIGUOUS, "several Authorization headers")
    if any(name.casefold() == "access_token" for name, _ in request.query):
        return Refused(Reason.TOKEN_AMBIGUOUS, "access_token in the query")
    if not values:
        return Refused(Reason.TOKEN_MISSING, "no Authorization header")
    if b"," in values[0]:  # how Envoy and proxies join headers of one name
        return Refused(Reason.TOKEN_AMBIGUOUS, "a list in the Authorization header")
    name, _, rest = values[0].partition(b" ")
    scheme, token = _SCHEMES.get(name.lower()), rest.lstrip(b" ")
    if scheme is None or not token:
        return Refused(Reason.TOKEN_MISSING, "no Bearer or DPoP credential")
    if len(token) > MAX_TOKEN_BYTES:
        return Refused(Reason.TOKEN_MALFORMED, f"longer than {MAX_TOKEN_BYTES} bytes")
    if token.translate(None, _TOKEN_CHARACTERS):
        return Refused(Reason.TOKEN_MALFORMED, "characters that no token has")
    return Credential(scheme, token)
