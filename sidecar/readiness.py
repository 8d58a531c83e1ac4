"""Whether this sidecar may be asked: ready only with keys, policy and a deny list.

A new sidecar is not ready until every part it needs was there once. After that it stays ready as
long as any issuer's keys are usable: for an issuer whose keys have aged out the stance is closed
anyway, and taking the whole sidecar away would close the other issuers' calls with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


class Readiness:
    """Named parts, each with a question that costs nothing to ask."""

    def __init__(self, keys: Callable[[], Mapping[str, bool]]) -> None:
        """``keys`` says, per issuer, whether it has usable keys."""
        self._keys = keys
        self._complete_once = False
        self._draining = False

    def parts(self) -> dict[str, bool]:
        """Every part by name, for ``/readyz``.

        Policy and deny list are part of the assembly: without them nothing runs that could ask.
        """
        keys = {f"keys:{issuer}": usable for issuer, usable in self._keys().items()}
        return {"policy": True, "deny_list": True, "serving": not self._draining, **keys}

    def ready(self) -> bool:
        """Whether checks should be sent here now."""
        keys = self._keys()
        self._complete_once = self._complete_once or all(keys.values())
        return self._complete_once and any(keys.values()) and not self._draining

    def drain(self) -> None:
        """Never ready again."""
        self._draining = True
