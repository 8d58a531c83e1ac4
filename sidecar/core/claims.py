"""Claims of a signed token, read one by one: where they are, and what form they may have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sidecar.core.model import JsonObject, Refused
from sidecar.core.reasons import Reason

if TYPE_CHECKING:
    from sidecar.core.profile import IssuerProfile

_LAST_DATE: Final = 2**53  # beyond it a double skips seconds
_MAX_SHOWN: Final = 256

# All of an agent's texts may end up in a header: visible ASCII, so no line ends and no spaces.
_TEXT: Final = re.compile(r"[!-~]{1,256}")
TEXT: Final = "text"
"""A text of the form that ``is_text`` wants: the default of a claim that need not be there."""


def claim_of(claims: JsonObject, name: str, default: Any) -> Any:
    """Find a claim by its name, or by a JSON pointer if that begins with ``/`` (RFC 6901).

    ``default`` when it is not there, or when ``name`` is empty: these tokens have no such claim.
    """
    if not name:
        return default
    if not name.startswith("/"):
        return claims.get(name, default)
    found: Any = claims
    for part in name[1:].split("/"):
        member = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, dict) or member not in found:
            return default
        found = found[member]
    return found


def is_date(value: object) -> bool:
    """Tell whether it is a finite number of seconds; to Python, True is a number too."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -_LAST_DATE <= value <= _LAST_DATE


def is_text(value: object) -> bool:
    """Tell whether it is a text that may stand in a header: 1 to 256 visible ASCII characters."""
    return isinstance(value, str) and _TEXT.fullmatch(value) is not None


def audience(claims: JsonObject, wanted: str, issuer: IssuerProfile) -> Refused | None:
    """Refuse an ``aud`` without ``wanted`` as an exact member (RFC 7519, section 4.1.3)."""
    if issuer.audience_optional and "aud" not in claims:
        return None
    value = claims.get("aud")
    members = [value] if isinstance(value, str) else value
    if (
        isinstance(members, list)
        and all(isinstance(member, str) and member not in ("", "*") for member in members)
        and wanted in members
        and (len(members) == 1 or not issuer.single_audience)
    ):
        return None
    return Refused(Reason.AUDIENCE_REFUSED, f"wants {wanted}")


def shown(name: str, value: str) -> str:
    """Shorten and escape a value that somebody else chose, for the record."""
    return f"{name} {value[:_MAX_SHOWN]!r}"
