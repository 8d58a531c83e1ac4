"""The table of bad tokens: 108 cases, each with the standard that it breaks and the gate's word.

``docs/bad-tokens.md`` is printed from it; ``tests/component/test_bad_tokens.py`` sends each row
through the pipeline, ``tests/e2e/test_guard_refuses_bad_tokens.py`` past a real Envoy whose sidecar
is dead.
"""

from __future__ import annotations

import re
from typing import Final

from tests import (
    bad_tokens_binding,
    bad_tokens_claims,
    bad_tokens_delegation,
    bad_tokens_form,
    bad_tokens_json,
    bad_tokens_kinds,
)
from tests.bad_tokens_kit import Case

LAST: Final = 108

CASES: Final[tuple[Case, ...]] = (
    *bad_tokens_form.CASES,
    *bad_tokens_json.CASES,
    *bad_tokens_claims.CASES,
    *bad_tokens_delegation.CASES,
    *bad_tokens_binding.CASES,
    *bad_tokens_kinds.CASES,
)


def numbered(case: Case) -> int:
    """The number without its letter."""
    match = re.fullmatch(r"([0-9]+)[a-z]?", case.number)
    assert match is not None
    return int(match[1])
