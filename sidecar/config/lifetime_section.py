"""The section on how old tokens may be for what they are used for."""

from __future__ import annotations

from types import MappingProxyType

from sidecar.config.sections import Seconds
from sidecar.config.shape import StrictModel
from sidecar.core.freshness import Lifetimes, Limit
from sidecar.core.model import Access, Risk


class AgeSettings(StrictModel):
    """Limits beside the issuer's own."""

    max_age: Seconds | None = None
    """Longest time from `iat` to the call."""
    max_lifetime: Seconds | None = None
    """Longest time from `iat` to `exp` of a token that may be used at all."""


class InteractiveAgeSettings(AgeSettings):
    """`risk: interactive`, somebody waits for it."""

    max_age: Seconds | None = 900
    """Longest time from `iat` to the call."""


class HighAgeSettings(AgeSettings):
    """`risk: high`, high privilege, or across a border of trust."""

    max_age: Seconds | None = 300
    """Longest time from `iat` to the call."""
    max_lifetime: Seconds | None = 300
    """Longest time from `iat` to `exp` of a token that may be used at all."""


class LifetimeSettings(StrictModel):
    """How old a token may be, by a call's access and its operation's risk; the strictest holds."""

    read: AgeSettings = AgeSettings()
    sensitive: AgeSettings = AgeSettings()
    write: AgeSettings = AgeSettings()
    interactive: InteractiveAgeSettings = InteractiveAgeSettings()
    high: HighAgeSettings = HighAgeSettings()
    batch: AgeSettings = AgeSettings()
    """`risk: batch`, as long as its task takes; the token must name one."""

    def limits(self) -> Lifetimes:
        """As the core has them."""
        return Lifetimes(
            MappingProxyType({one: self._limit(one.value) for one in Access}),
            MappingProxyType({one: self._limit(one.value) for one in Risk}),
        )

    def _limit(self, name: str) -> Limit:
        section: AgeSettings = getattr(self, name)
        return Limit(section.max_age, section.max_lifetime)
