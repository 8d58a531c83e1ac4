"""SPIFFE ids: ``spiffe://trust-domain/path`` (SPIFFE-ID, section 2)."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 2048
_SPIFFE_ID: Final = re.compile(
    r"(spiffe://[a-z0-9._-]{1,255})((?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)*)"
)


def trust_domain_of(subject: object) -> str:
    """``spiffe://trust-domain`` of a SPIFFE id, itself one; empty for anything else."""
    if not isinstance(subject, str) or len(subject) > _LONGEST:
        return ""
    match = _SPIFFE_ID.fullmatch(subject)
    return match[1] if match else ""
