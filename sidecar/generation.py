"""One immutable snapshot of everything an operator configured, taken once per request.

A reload builds a new generation and swaps the reference; a request that began under the old one
ends under it, so that no request sees two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.core.binding import Callers
from sidecar.core.capabilities import Capabilities
from sidecar.core.catalogue import Catalogue
from sidecar.core.freshness import Lifetimes
from sidecar.core.profile import IssuerProfile
from sidecar.core.settle import Outgoing
from sidecar.ports import Policy


@dataclass(frozen=True, slots=True)
class Generation:
    """What a request is judged by."""

    catalogue: Catalogue
    issuers: Mapping[str, IssuerProfile]
    """By exact ``iss``."""
    policy: Policy
    markers: frozenset[str]
    """Accepted markers, in the form of ``core.lanes.markers_of``."""
    outgoing: Outgoing
    """Names of the headers that an allowed request carries to the tool."""
    lifetimes: Lifetimes = Lifetimes()  # noqa: RUF009 - frozen
    callers: Callers = Callers()  # noqa: RUF009 - frozen
    capabilities: Capabilities = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "capabilities", Capabilities(self.catalogue))


class Live:
    """The current generation: one reference, read once per request and replaced whole."""

    def __init__(self, generation: Generation) -> None:
        self.current = generation
