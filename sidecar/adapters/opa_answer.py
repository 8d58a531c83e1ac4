"""OPA's answer -> ruling and revision: understood completely, or refused, and nothing quoted.

OPA's messages quote values of the question, and so what a caller sent. Only its code words and the
places in the policies' files are kept.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from sidecar.adapters.opa_client import HTTP_OK, Answer
from sidecar.core.model import Refused, Ruling
from sidecar.core.reasons import Reason
from sidecar.core.ruling import parse_ruling

UNKNOWN_REVISION: Final = "unknown"
"""Until OPA has said what it has loaded, and when it has no bundle with a revision."""

_WORD: Final = re.compile(r"[A-Za-z0-9._:+/-]{1,64}")


class _Bundle(msgspec.Struct, frozen=True):
    revision: str = ""


class _Provenance(msgspec.Struct, frozen=True):
    bundles: dict[str, _Bundle] = {}


class _Data(msgspec.Struct, frozen=True):
    """OPA's REST API, "Get a Document (with Input)"; members that are not named are ignored."""

    result: Raw | UnsetType = UNSET
    provenance: _Provenance = _Provenance()


_Code = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_]{1,40}\Z")]


class _Location(msgspec.Struct, frozen=True):
    file: Annotated[str, msgspec.Meta(max_length=200)]
    row: int


class _Fault(msgspec.Struct, frozen=True):
    code: _Code
    location: _Location | None = None


class _Error(msgspec.Struct, frozen=True):
    """OPA's REST API, "Errors"; its messages quote values of the input, so they are not read."""

    code: _Code
    errors: tuple[_Fault, ...] = ()


_read_data: Final = msgspec.json.Decoder(_Data).decode
_read_error: Final = msgspec.json.Decoder(_Error).decode


@dataclass(frozen=True, slots=True)
class Said:
    """What one answer says."""

    ruling: Ruling | Refused
    revision: str | None
    """Of the bundles that it was made from; None when the answer does not say."""


def read_answer(answer: Answer) -> Said:
    """Read the answer to ``POST /v1/data/...?provenance=true``."""
    if answer.body is None:
        return _refused("OPA's answer is too large, or compressed")
    if answer.status != HTTP_OK:
        return _refused(_fault_of(answer.status, answer.body))
    try:
        data = _read_data(answer.body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _refused("OPA's answer could not be understood")
    if isinstance(data.result, UnsetType):
        ruling = Refused(Reason.POLICY_ERROR, "the ruling is undefined")
        return Said(ruling, _revision_of(data.provenance))
    return Said(parse_ruling(bytes(data.result)), _revision_of(data.provenance))


def _refused(detail: str) -> Said:
    return Said(Refused(Reason.POLICY_ERROR, detail), None)


def _fault_of(status: int, body: bytes) -> str:
    """Where it failed, and OPA's code word for how."""
    try:
        error = _read_error(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return f"OPA answered with status {status}"
    for fault in error.errors:
        if fault.location is not None and fault.location.file.isprintable():
            return f"{fault.location.file}:{fault.location.row}: {fault.code}"
    return error.code


def _revision_of(provenance: _Provenance) -> str:
    named = [(name, one.revision) for name, one in provenance.bundles.items() if one.revision]
    if not named:
        return UNKNOWN_REVISION
    if len(named) == 1 and _WORD.fullmatch(named[0][1]):
        return named[0][1]
    return hashlib.sha256(msgspec.json.encode(sorted(named))).hexdigest()[:16]
