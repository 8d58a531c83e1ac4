"""Second credentials: what stands beside the token and a tool could honour instead of it.

A tool that takes a cookie or an API key would serve somebody other than the verified agent. So
such headers do not reach it, and a query that holds one is refused (a query is logged by everybody
on its way, and Envoy cannot rewrite each spelling of it), unless the route lists the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

from sidecar.core.credential_names import (
    BELIEVED,
    BELIEVED_FAMILIES,
    FOLDED,
    HARMLESS,
    NO_CREDENTIALS,
    WORDS,
)
from sidecar.core.model import Call, Refused, Request
from sidecar.core.reasons import Reason

_SEPARATOR: Final = re.compile(r"[-_.]")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110, section 5.6.2


_PIECE: Final = re.compile(r"[\[\].:]+")
_FORM: Final = b"application/x-www-form-urlencoded"


def is_withheld(header_name: str) -> bool:
    """Whether policy is not told of a header, by the words of its lower-case name.

    Whatever does not reach the tool, and some that do (``idempotency-key``): who asks must rather
    withhold one.
    """
    name = header_name
    words = (name.replace("_", "-") if "_" in name else name).split("-")
    if WORDS.isdisjoint(words):
        return _is_second(name)
    return name not in NO_CREDENTIALS


def is_credential_parameter(name: str) -> bool:
    """Whether a query parameter's decoded name stands for a credential.

    Only letters and digits count: PHP reads " api_key" as "api_key". A name in brackets or behind
    a dot counts, too: "credentials[apiKey]".
    """
    folded = name.casefold()
    pieces = (folded, *_PIECE.split(folded))
    return any("".join(filter(str.isalnum, piece)) in FOLDED for piece in pieces)


def second_credentials(call: Call) -> tuple[str, ...] | Refused:
    """List the request's headers that must not reach the tool, sorted.

    Not ``authorization``, which ``core.settle`` handles, nor what the route lists or names its
    session by. ``CREDENTIAL_REFUSED`` for a parameter of the query or the path that looks like a
    credential and is not listed, for an ``access_token`` in a form (RFC 6750, section 2.2), and for
    a header that Envoy could not take away by its name. Bodies are not looked at otherwise.
    """
    for parameter in _parameters(call.request):
        if is_credential_parameter(parameter) and parameter.lower() not in call.credentials:
            return Refused(Reason.CREDENTIAL_REFUSED, f"parameter {parameter[:256]!r}")
    if _is_form_with_token(call.request):
        return Refused(Reason.CREDENTIAL_REFUSED, "access_token in a form")
    kept = call.credentials | {"authorization", call.session_header}
    names = sorted(name for name in call.request.headers if name not in kept and _is_second(name))
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            return Refused(Reason.CREDENTIAL_REFUSED, f"header {name[:256]!r}")
    return tuple(names)


def _parameters(request: Request) -> Iterator[str]:
    """Every name in the query, and in the path behind a ``;`` (RFC 3986, section 3.3)."""
    yield from dict.fromkeys(name for name, _ in request.query)
    for segment in request.segments:
        for parameter in segment.split(";")[1:]:
            yield parameter.partition("=")[0]


def _is_form_with_token(request: Request) -> bool:
    kinds = request.headers.get("content-type", ())
    if not any(kind.strip().lower().startswith(_FORM) for kind in kinds):
        return False
    names = (pair.partition(b"=")[0] for pair in request.body.split(b"&"))
    return any(map(_is_token_name, names))


def _is_token_name(raw: bytes) -> bool:
    name = unquote_plus(raw.decode("latin-1")).casefold()
    return "".join(filter(str.isalnum, name)) == "accesstoken"


def _is_second(name: str) -> bool:
    # Envoy's own (x-envoy-auth-partial-body): clients cannot send them, nor we take them away.
    if name in HARMLESS or name.startswith("x-envoy-"):
        return False
    # A tool behind CGI or WSGI reads "x_forwarded_user" as "x-forwarded-user".
    dashed = name.replace("_", "-")
    if dashed in BELIEVED or dashed.startswith(BELIEVED_FAMILIES):
        return True
    words = _SEPARATOR.split(name)  # a tool may split at a dot
    return not (WORDS.isdisjoint(words) and FOLDED.isdisjoint(words))
