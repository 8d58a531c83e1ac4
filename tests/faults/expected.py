"""What has to become of a call while some parts are down: the line walked with the stance table.

Nothing of the table is copied: ``sidecar.core.stance`` is asked, and ``sidecar.core.lanes`` for the
lane in which Envoy has the route.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from itertools import chain, combinations
from typing import Final

from sidecar.core.catalogue import Catalogue
from sidecar.core.lanes import may_be_open
from sidecar.core.model import Dependency, Stance
from sidecar.core.stance import OUTAGE_REASON, stance_of
from tests.faults.kinds import GUARD, STRICT, Kind, Step, Token

PASSED: Final = "passed"
UNASKED: Final = "passed unasked"
"""By Envoy's open lane, marked by Envoy."""
ENVOYS_OWN: Final = "envoy: 503"

_LINE: Final = (
    (Step.KEY, Dependency.KEYS),
    (Step.SIGNATURE, None),
    (Step.DENY_LIST, Dependency.DENY_LIST),
    (Step.SCOPE, None),
    (Step.POLICY, Dependency.POLICY),
)


def passed_without(skipped: Iterable[str]) -> str:
    """The outcome of a call that passed although these questions had no answer."""
    words = ", ".join(sorted(skipped))
    return f"{PASSED} without {words}" if words else PASSED


def expected(kind: Kind, down: AbstractSet[Dependency], catalogue: Catalogue) -> str:
    """The one outcome of such a call while exactly these parts are down."""
    lane_is_open = may_be_open(catalogue.routes[kind.route], kind.method)
    if kind.token is Token.FORGED and lane_is_open:
        return GUARD
    if Dependency.SIDECAR in down:
        stance = stance_of(Dependency.SIDECAR, kind.access, (), 0.0)
        if not lane_is_open or stance is not Stance.OPEN:
            return ENVOYS_OWN
        return STRICT if kind.token is Token.SINGLE else UNASKED
    skipped: list[str] = []
    for step, dependency in (*_LINE, (Step.CLAIM, kind.claim)):
        refused = kind.refused[1].word if kind.refused and kind.refused[0] is step else ""
        if dependency is None or dependency not in down:
            if refused:
                return refused
        elif refused and step is Step.DENY_LIST:
            return refused  # the last known list still holds
        elif stance_of(dependency, kind.access, (), 0.0) is Stance.CLOSED:
            return OUTAGE_REASON[dependency].word
        else:
            skipped.append(dependency.value)
    return passed_without(skipped)


def possible(
    kind: Kind,
    down: AbstractSet[Dependency],
    perhaps: AbstractSet[Dependency],
    catalogue: Catalogue,
) -> frozenset[str]:
    """Every outcome while ``down`` are down and each of ``perhaps`` may be."""
    sets = chain.from_iterable(combinations(perhaps, size) for size in range(len(perhaps) + 1))
    return frozenset(expected(kind, down | set(some), catalogue) for some in sets)
