"""(4) What a token was minted for: the tools that it reaches, and the policy of that day.

``capability_hash`` is a digest of the operations that a token's scopes reach in a tenant, each with
what the catalogue says of it. Whoever mints computes it from the same catalogue (``scopegate
catalogue hash``); when an operation joins, leaves or changes in the reach of a token, its hash is
another one. ``policy_version`` is the revision of the policy that was loaded when it was minted.
Neither grants anything: they say when a token was meant for another state of things than ours.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from sidecar.core.catalogue import Catalogue, Operation, Route
from sidecar.core.model import Agent, Protocol, Refused, Scope
from sidecar.core.profile import IssuerProfile, Match
from sidecar.core.reasons import Reason

UNKNOWN: Final = "unknown"
"""What ``ports.Policy.revision`` says until it has been heard of."""

_FORMAT: Final = 1
"""Raised whenever the meaning of a hash changes."""
_MOST_REMEMBERED: Final = 4096


def capability_hash(catalogue: Catalogue, tenant: str, scopes: Iterable[Scope]) -> str:
    """Digest what ``scopes`` reach in ``tenant``: base64url of a SHA-256, 43 characters.

    The order of scopes and a scope that reaches nothing change nothing.
    """
    held = tuple(scopes)
    reached = sorted(
        json.dumps(fields, sort_keys=True, separators=(",", ":"))
        for fields, wanted in _offered(catalogue, tenant)
        if any(_reaches(scope, wanted) for scope in held)
    )
    text = json.dumps({"format": _FORMAT, "operations": reached}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _reaches(scope: Scope, operation: Operation) -> bool:
    wanted = operation.scope
    identifier = scope.identifier if wanted.parameter is not None else wanted.identifier
    return scope.covers(wanted.with_identifier(identifier))


def _offered(catalogue: Catalogue, tenant: str) -> Iterator[tuple[dict[str, object], Operation]]:
    for route in catalogue.routes.values():
        if route.tenant not in (None, tenant):
            continue
        for kind, name, operation in _operations_of(route, catalogue):
            fields: dict[str, object] = {
                "route": route.name,
                "audience": route.audience,
                "protocol": route.protocol.value,
                "path": list(route.path),
                "kind": kind,
                "name": name,
                "scope": str(operation.scope),
                "access": operation.access.value if operation.access else None,
                "risk": operation.risk.value if operation.risk else None,
                "single_use": operation.single_use or route.single_use,
            }
            yield fields, operation


def _operations_of(route: Route, catalogue: Catalogue) -> Iterator[tuple[str, str, Operation]]:
    if route.protocol is Protocol.HTTP:
        yield from (("method", name, one) for name, one in route.operations.items())
        return
    tools = catalogue.servers.get(route.server, {})
    methods = catalogue.methods.get(route.server, {})
    yield from (("tool", name, one) for name, one in tools.items())
    yield from (("mcp", name, one) for name, one in methods.items())


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The hashes of one catalogue, each computed once; bounded by forgetting all at once."""

    catalogue: Catalogue
    _known: dict[tuple[str, tuple[Scope, ...]], str] = field(default_factory=dict)

    def of(self, tenant: str, scopes: tuple[Scope, ...]) -> str:
        """See ``capability_hash``."""
        known = self._known.get((tenant, scopes))
        if known is None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[tenant, scopes] = capability_hash(self.catalogue, tenant, scopes)
        return known


def minted_for(
    agent: Agent, issuer: IssuerProfile, revision: str, capabilities: Capabilities
) -> Agent | Refused:
    """Compare what the token was minted for with what is loaded; return the agent with its marks.

    ``revision`` is that of the loaded policy, ``UNKNOWN`` while an engine that is elsewhere has
    not said: then nothing is compared to it, and the question to it decides. A token that does not
    say is refused where that is required, and gets no mark elsewhere. A mark is the reason's word.
    Refused as ``STALE_POLICY`` or ``STALE_CAPABILITIES``.
    """
    marks: list[str] = []
    checks: tuple[tuple[Match, str, Callable[[], str], Reason], ...] = (
        (issuer.policy_version, agent.policy_version, lambda: revision, Reason.STALE_POLICY),
        (
            issuer.capability_hash,
            agent.capability_hash,
            lambda: capabilities.of(agent.tenant, agent.scopes),
            Reason.STALE_CAPABILITIES,
        ),
    )
    for match, said, ours, reason in checks:
        if match is Match.OFF or (match is Match.MARK and not said):
            continue
        if ours() in (said, UNKNOWN):
            continue
        if match is Match.REQUIRE:
            return Refused(reason, f"minted for {said or 'nothing that it names'}")
        marks.append(reason.word)
    return replace(agent, marks=(*agent.marks, *marks)) if marks else agent
