"""What an operator may revoke: requests in JSON to entries, for a sidecar's socket and a relay's.

An entry that no token could ever fall under is refused: a typo in an emergency must not look like a
revocation. So is one that the signed feed (``core.feed_wire``) could not carry.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeAlias

import msgspec
from aiohttp import web

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.nearest import unknown_name

LONGEST_ENTRY: Final = 4096
"""Bytes of one entry, as JSON."""
LONGEST_REASON: Final = 1024
"""Characters."""
LONGEST_TIME: Final = 10 * 366 * 86_400
"""Seconds for which an entry may hold: ten years."""
LATEST_DATE: Final = 253_402_300_800
"""The end of the year 9999, in seconds since the epoch."""
_VALUE: Final = re.compile(r"[!-~]{1,256}")
"""What ``core.verify`` takes from a claim."""
_KID: Final = re.compile(r".{1,256}", re.DOTALL)
"""What ``core.jws`` takes for a ``kid``."""

Tenants: TypeAlias = Mapping[str, Collection[str]]
"""The tenants that may be named, by exact ``iss``."""


class DenyTarget(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The query of ``DELETE /deny``, and what its ``POST`` names."""

    kind: DenyKind
    issuer: str
    tenant: str = ""
    value: str


class DenyRequest(DenyTarget, kw_only=True):
    """The body of ``POST /deny``. ``lasts`` is in seconds from now."""

    lasts: float
    not_before: float | None = None
    reason: str = ""


def entry_of(wanted: DenyRequest, tenants: Tenants, now: float) -> DenyEntry:
    """The entry that is asked for at ``now``. Raises ``ValueError``, which names the field."""
    if wanted.lasts <= 0:
        raise ValueError("lasts: must be a positive number of seconds")
    if wanted.lasts > LONGEST_TIME:
        raise ValueError(f"lasts: must be at most {LONGEST_TIME} seconds, ten years")
    if wanted.not_before is not None and not 0 <= wanted.not_before <= LATEST_DATE:
        raise ValueError("not_before: must be in seconds since the epoch")
    if len(wanted.reason) > LONGEST_REASON:
        raise ValueError(f"reason: must have at most {LONGEST_REASON} characters")
    key = key_of(wanted, tenants)
    return DenyEntry(key, now + wanted.lasts, wanted.not_before, wanted.reason)


def key_of(wanted: DenyTarget, tenants: Tenants) -> DenyKey:
    """Raises ``ValueError`` for what no token could ever fall under."""
    known, is_kid = tenants.get(wanted.issuer), wanted.kind is DenyKind.KID
    if known is None:
        raise ValueError(f"issuer: {unknown_name(wanted.issuer, tenants)}")
    if is_kid != (not wanted.tenant):
        raise ValueError("tenant: required, except for a kid, which is the issuer's alone")
    if wanted.tenant and wanted.tenant not in known:
        raise ValueError(f"tenant: {unknown_name(wanted.tenant, known)}")
    if not (_KID if is_kid else _VALUE).fullmatch(wanted.value):
        raise ValueError("value: must be what a token can say: 1 to 256 visible ASCII characters")
    return DenyKey(wanted.kind, wanted.issuer, wanted.tenant, wanted.value)


def target_in(request: web.Request, tenants: Tenants) -> DenyKey:
    """The key in the query of ``DELETE /deny``. Raises ``ValueError``."""
    return key_of(msgspec.convert(dict(request.query), DenyTarget), tenants)


def plain(entry: DenyEntry) -> Mapping[str, Any]:
    """An entry as answers show it."""
    shown: Mapping[str, Any] = msgspec.to_builtins(entry)
    return shown


def refusal(error: str, status: int = 400) -> web.Response:
    """An answer that says what is wrong."""
    return web.json_response({"error": error}, status=status)


def too_long() -> web.Response:
    """The answer to a longer entry than ``LONGEST_ENTRY``."""
    return refusal(f"must have at most {LONGEST_ENTRY} bytes", status=413)
