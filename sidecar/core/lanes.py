"""(1) Envoy's lanes: which requests pass when the sidecar is dead, and how Envoy proves its setup.

Envoy has two ext_authz filters, one that fails open and one that fails closed, chosen by route and
method. Each route of Envoy sends a marker with a digest of what the lane was generated from, so
that a sidecar never works with an Envoy that is set up for something else. A digest is no secret:
who can forge a check can read it. It tells a wrong setup, not an attacker.
"""

from __future__ import annotations

import hashlib
import json
from enum import Enum
from typing import Final

from sidecar.core.access import http_access, is_graphql
from sidecar.core.catalogue import Catalogue, Route
from sidecar.core.model import Access, Dependency, Risk, Stance
from sidecar.core.stance import stance_of

FORMAT: Final = 1
"""Raised whenever the meaning of a marker changes."""

_OPEN_METHODS: Final = ("GET", "HEAD")


class Lane(Enum):
    """One of Envoy's two ext_authz filters; the value is ``context_extensions.lane``."""

    OPEN = "open"
    CLOSED = "closed"


def may_be_open(route: Route, method: str) -> bool:
    """Whether requests of this method may pass when the sidecar is dead, behind Envoy's guard.

    Never for MCP, whose reads and writes are all POST and whose routes have no operations by
    method; nor for what is single-use, since nobody would claim it; nor for what is bound to its
    caller, since nobody would compare; nor for what is of high risk; nor for GraphQL, whose GETs
    may write.
    """
    operation = route.operation_for(method)
    return (
        operation is not None
        and method in _OPEN_METHODS
        and not (route.single_use or operation.single_use)
        and route.tenant is None
        and not route.bind
        and operation.risk is not Risk.HIGH
        and not is_graphql(route.path)
        and _stance_when_dead(route, http_access(route, operation, method)) is Stance.OPEN
    )


def _stance_when_dead(route: Route, access: Access) -> Stance:
    # Envoy's lanes are static. What could end is no exception to this row (``core.stance``), so
    # that the time, here the epoch, does not matter.
    return stance_of(Dependency.SIDECAR, access, route.outages, now=0.0)


def lanes_of(route: Route) -> tuple[Lane, ...]:
    """List the lanes in which Envoy may put requests of this route."""
    if any(may_be_open(route, method) for method in _OPEN_METHODS):
        return (Lane.OPEN, Lane.CLOSED)
    return (Lane.CLOSED,)


def lane_digest(route: Route, lane: Lane) -> str:
    """Digest what a lane depends on into 16 hexadecimal digits (``context_extensions.marker``).

    Canonical JSON keeps the fields apart, None included. A route without an exception for the
    sidecar has no field for it, so that its Envoy need not be set up again.
    """
    fields: dict[str, object] = {
        "format": FORMAT,
        "route": route.name,
        "lane": lane.value,
        "protocol": route.protocol.value,
        "access": None if route.access is None else route.access.value,
        "single_use": route.single_use,
        "rewrite": route.rewrite.value,
        "forward_token": route.forward_token,
        "audience": route.audience,
        "tenant": route.tenant,
    }
    exceptions = [one for one in route.outages if one.dependency is Dependency.SIDECAR]
    if exceptions:
        fields["sidecar"] = {one.access.value: one.stance.value for one in exceptions}
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def accepted_marker(route: str, lane: Lane, digest: str) -> str:
    """Write a marker as sets of markers hold it: a digest counts for its own route and lane only.

    No lane and no digest holds a ``/``, so that no two markers share a form.
    """
    return f"{route}/{lane.value}/{digest}"


def markers_of(catalogue: Catalogue) -> frozenset[str]:
    """List every marker that an Envoy generated from this catalogue sends.

    ``Generation.markers`` holds these, together with those of the catalogue before it.
    """
    return frozenset(
        accepted_marker(route.name, lane, lane_digest(route, lane))
        for route in catalogue.routes.values()
        for lane in lanes_of(route)
    )
