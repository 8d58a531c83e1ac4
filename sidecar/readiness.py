"""Whether this sidecar may be asked: ready only with keys, policy and a deny list.

A new sidecar is not ready until every part it needs was there once. After that it stays ready
until it drains: what is silent later is the stance's business, call by call. Taking the sidecar
away would hand reads to Envoy's open lane, where nobody asks for revocation or scope; even when
no issuer has usable keys, for then the stance refuses every call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

Question = Callable[[], bool]


class Readiness:
    """Named parts, each with a question that costs nothing to ask."""

    def __init__(
        self, keys: Callable[[], Mapping[str, bool]], parts: Mapping[str, Question] | None = None
    ) -> None:
        """``keys`` says, per issuer, whether it has usable keys; ``parts`` are all others."""
        self._keys = keys
        self._parts = dict(parts or {})
        self._complete_once = False
        self._draining = False

    def parts(self) -> dict[str, bool]:
        """Every part by name, for ``/readyz``."""
        keys = {f"keys:{issuer}": usable for issuer, usable in self._keys().items()}
        parts = {name: there() for name, there in self._parts.items()}
        return {**parts, "serving": not self._draining, **keys}

    def ready(self) -> bool:
        """Whether checks should be sent here now."""
        if not self._complete_once:
            self._complete_once = all(self._keys().values()) and all(
                there() for there in self._parts.values()
            )
        return self._complete_once and not self._draining

    def drain(self) -> None:
        """Never ready again."""
        self._draining = True
