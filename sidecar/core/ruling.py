"""(7) The policy engine's JSON -> Ruling: understood completely, or refused.

The contract is ``policies/schema/ruling.json``. A ruling with a member, an action or a combination
that we do not know was meant to do something that we would not do, so it is ``POLICY_ERROR``; so
is an undefined one. Which header names a ruling may set is the operator's choice: ``core.settle``.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.core.model import Action, Redaction, Refused, Ruling
from sidecar.core.reasons import Reason

MAX_DETAIL: Final = 500
"""Characters of a ruling's ``detail`` that are kept."""

_MAX_WHY: Final = 200

_Word: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_.-]{1,64}\Z")]
# RFC 9110, sections 5.1 and 5.5; of a value's characters only those that need no encoding.
_HeaderName: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"\A[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}\Z")
]
_HeaderValue: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=r"\A(?:[!-~](?:[ -~]*[!-~])?)?\Z", max_length=4096)
]
_Pointer: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A(?:/(?:[^~/]|~[01])*)+\Z")]


class _InHeader(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="in", tag="header"
):
    name: _HeaderName
    replacement: _HeaderValue | UnsetType = msgspec.field(default=UNSET, name="with")


class _InQuery(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="in", tag="query"
):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    replacement: str | UnsetType = msgspec.field(default=UNSET, name="with")


class _InBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="in", tag="body"):
    name: _Pointer
    replacement: str | UnsetType = msgspec.field(default=UNSET, name="with")


class _Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    action: Action
    reason: _Word = ""
    detail: str = ""
    headers: Annotated[dict[_HeaderName, _HeaderValue], msgspec.Meta(max_length=32)] = {}
    redact: Annotated[tuple[_InHeader | _InQuery | _InBody, ...], msgspec.Meta(max_length=64)] = ()
    single_use: bool = False


_decode: Final = msgspec.json.Decoder(_Answer).decode


def parse_ruling(answer: bytes | str) -> Ruling | Refused:
    """Read the JSON text of a ruling.

    ``{action, reason?, detail?, headers?: {name: value}, redact?: [{in, name, with?}],
    single_use?}``. Whatever is not exactly that is ``Refused(POLICY_ERROR)`` with a detail that
    names the faulty member.
    """
    try:
        parsed = _decode(answer)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        return _refused(str(error))
    if (parsed.action is Action.SANITIZE) != bool(parsed.redact):
        return _refused("redact goes with sanitize, and sanitize with redact")
    headers = tuple((name.lower(), value) for name, value in parsed.headers.items())
    if len(dict(headers)) != len(headers):
        return _refused("headers name one header twice")
    redact = tuple(dict.fromkeys(_redaction(place) for place in parsed.redact))
    if len({(place.place, place.name) for place in redact}) != len(redact):
        return _refused("redact names one place twice")
    return Ruling(
        action=parsed.action,
        reason=parsed.reason,
        detail=parsed.detail[:MAX_DETAIL],
        headers=headers,
        redact=redact,
        single_use=parsed.single_use,
    )


def _redaction(found: _InHeader | _InQuery | _InBody) -> Redaction:
    replacement = None if found.replacement is UNSET else found.replacement
    match found:
        case _InHeader():
            return Redaction("header", found.name.lower(), replacement)
        case _InQuery():
            return Redaction("query", found.name, replacement)
        case _InBody():
            return Redaction("body", found.name, replacement)


def _refused(why: str) -> Refused:
    return Refused(Reason.POLICY_ERROR, f"ruling: {why[:_MAX_WHY]}")
