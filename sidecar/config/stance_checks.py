"""A catalogue's exceptions to the stance table: as the core's values, and whether each can be.

Which exceptions there may be at all is the core's to say (``core.stance``). Here it is told at the
line that says otherwise; and what could never have an effect is refused too, because its author
believes that it has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sidecar.config.catalogue_file import CatalogueFile, RouteFile
from sidecar.config.checks import Misfit
from sidecar.config.settings import Settings
from sidecar.core.access import accesses_of
from sidecar.core.catalogue import Catalogue, Route
from sidecar.core.lanes import Lane, lanes_of
from sidecar.core.model import Dependency, Stance, StanceException
from sidecar.core.stance import FURTHEST_END_S, faults_of

_A_DAY_S: Final = 86400.0


def exceptions_of(route: RouteFile) -> tuple[StanceException, ...]:
    """The core's values of what a route says under ``outages``, in its order."""
    return tuple(
        StanceException(one.when, one.access, one.stance, one.until, one.reason or "")
        for one in route.outages
    )


def check_exceptions(catalogue: CatalogueFile) -> Iterator[Misfit]:
    """Which exceptions there cannot be, on any route."""
    for index, route in enumerate(catalogue.routes):
        for fault in faults_of(exceptions_of(route)):
            yield ("routes", index, "outages", fault.index, fault.field), fault.text


def check_effects(catalogue: Catalogue, *, now: float) -> Iterator[Misfit]:
    """Which exceptions have no effect on their route, or one for too long.

    ``catalogue`` holds its routes in the order of its file; ``now`` is in seconds since the epoch.
    """
    for index, route in enumerate(catalogue.routes.values()):
        reached = accesses_of(route, catalogue)
        for number, one in enumerate(route.outages):
            loc = ("routes", index, "outages", number)
            if one.access not in reached:
                yield (*loc, "access"), f"is never {one.access.value} here: no call counts as that"
            elif one.dependency is Dependency.SIDECAR and not _has_open_lane(route):
                yield (*loc, "when"), "changes nothing: this route has no open lane anyway"
            elif one.stance is Stance.OPEN and _ends_too_late(one, now):
                days = int(FURTHEST_END_S / _A_DAY_S)
                yield (*loc, "until"), f"is more than {days} days ahead: an opening must end"


def check_bindings(settings: Settings, catalogue: Catalogue) -> Iterator[Misfit]:
    """Which bindings Envoy's open lane would give up once the sidecar is dead.

    Its guard compares no certificate and takes no proof. So whoever asks for bindings has no route
    with an open lane: not by the route's ``bind``, which closes it, but for a whole issuer or
    tenant.
    """
    routes = catalogue.routes.values()
    left_open = next((route.name for route in routes if Lane.OPEN in lanes_of(route)), None)
    if left_open is None:
        return
    text = (
        f"would be given up by the open lane of route {left_open!r} while the sidecar is dead: "
        "close it there, by bind or by outages (when: sidecar, stance: closed)"
    )
    for index, issuer in enumerate(settings.issuers):
        if issuer.bind:
            yield ("issuers", index, "bind"), text
    for name in settings.tenants:
        yield ("tenants", name, "bind"), text


def _has_open_lane(route: Route) -> bool:
    return Lane.OPEN in lanes_of(replace(route, outages=()))


def _ends_too_late(one: StanceException, now: float) -> bool:
    # The last day counts whole, so that the same date is as far away all day long.
    return one.until is not None and one.until - _A_DAY_S - now > FURTHEST_END_S
