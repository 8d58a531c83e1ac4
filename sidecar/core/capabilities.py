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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from sidecar.core.catalogue import Catalogue, Operation, Route
from sidecar.core.model import Agent, Protocol, Refused, Scope
from sidecar.core.profile import IssuerProfile, Match
from sidecar.core.reasons import Reason

UNKNOWN: Final = "unknown"
"""What ``ports.Policy.revision`` says until it has been heard of."""

_NOTHING: Final = "nothing that it names"
_FORMAT: Final = 1
"""Raised whenever the meaning of a hash changes."""


def capability_hash(catalogue: Catalogue, tenant: str, scopes: Iterable[Scope]) -> str:
    """Digest what ``scopes`` reach in ``tenant``: base64url of a SHA-256, 43 characters.

    The order of scopes and a scope that reaches nothing change nothing.
    """
    return Capabilities(catalogue).of(tenant, scopes)


@dataclass(frozen=True, slots=True)
class Offer:
    """One operation of the catalogue, as far as a token can be minted for it."""

    identifier: str | None
    """What a scope's identifier must be; None when a path fills it, so that any one reaches it."""
    digest: str
    """Of everything that the catalogue says of it; hexadecimal."""

    def is_reached_by(self, scope: Scope) -> bool:
        """Whether a scope of the same action and resource covers it, or one of its values."""
        return self.identifier is None or scope.identifier in ("*", self.identifier)


_Offers: TypeAlias = Mapping[tuple[str, str], Sequence[Offer]]
"""By action and resource of the scope that is required."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The operations of one catalogue by tenant, each digested once."""

    catalogue: Catalogue
    _of_tenant: dict[str, _Offers] = field(default_factory=dict)

    def of(self, tenant: str, scopes: Iterable[Scope]) -> str:
        """See ``capability_hash``. ``tenant`` is one that an issuer may speak for: few."""
        offers = self._of_tenant.get(tenant)
        if offers is None:
            offers = self._of_tenant[tenant] = _offers_in(self.catalogue, tenant)
        reached = {
            offer.digest
            for scope in scopes
            for offer in offers.get((scope.action, scope.resource), ())
            if offer.is_reached_by(scope)
        }
        text = _canonical({"format": _FORMAT, "operations": sorted(reached)})
        digest = hashlib.sha256(text).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _offers_in(catalogue: Catalogue, tenant: str) -> _Offers:
    offers: defaultdict[tuple[str, str], list[Offer]] = defaultdict(list)
    for route in catalogue.routes.values():
        if route.tenant not in (None, tenant):
            continue
        for kind, name, operation in _operations_of(route, catalogue):
            wanted = operation.scope
            identifier = wanted.identifier if wanted.parameter is None else None
            digest = hashlib.sha256(_canonical(_facts(route, kind, name, operation))).hexdigest()
            offers[wanted.action, wanted.resource].append(Offer(identifier, digest))
    return offers


def _facts(route: Route, kind: str, name: str, operation: Operation) -> dict[str, object]:
    return {
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
        "floor": route.access.value if route.access else None,
        "tenant": route.tenant,
        "bind": sorted(binding.value for binding in route.bind),
        "rewrite": route.rewrite.value,
        "forward_token": route.forward_token,
        "session_header": route.session_header,
        "credentials": sorted(route.credentials),
    }


def _canonical(facts: Mapping[str, object]) -> bytes:
    return json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()


def _operations_of(route: Route, catalogue: Catalogue) -> Iterator[tuple[str, str, Operation]]:
    if route.protocol is Protocol.HTTP:
        yield from (("method", name, one) for name, one in route.operations.items())
        return
    tools = catalogue.servers.get(route.server, {})
    methods = catalogue.methods.get(route.server, {})
    yield from (("tool", name, one) for name, one in tools.items())
    yield from (("mcp", name, one) for name, one in methods.items())


def minted_for(
    agent: Agent, issuer: IssuerProfile, revision: str, capabilities: Capabilities
) -> Agent | Refused:
    """Compare what the token was minted for with what is loaded; return the agent with its marks.

    ``revision`` is what the policy engine said last that it has loaded, ``UNKNOWN`` while it has
    not said: then nothing is compared to it. An engine that is elsewhere may have loaded another
    one since, so that a required ``policy_version`` is for ``minted_under``. A token that does not
    say is refused where that is required, and gets no mark elsewhere. A mark is the reason's word.
    Refused as ``STALE_CAPABILITIES``.
    """
    marks: list[str] = []
    version, tools = agent.policy_version, agent.capability_hash
    if issuer.policy_version is Match.MARK and version and revision not in (version, UNKNOWN):
        marks.append(Reason.STALE_POLICY.word)
    told = issuer.capability_hash is Match.REQUIRE or (
        issuer.capability_hash is Match.MARK and tools
    )
    if told and tools != capabilities.of(agent.tenant, agent.scopes):
        if issuer.capability_hash is Match.REQUIRE:
            return Refused(Reason.STALE_CAPABILITIES, f"minted for {tools or _NOTHING}")
        marks.append(Reason.STALE_CAPABILITIES.word)
    return replace(agent, marks=(*agent.marks, *marks)) if marks else agent


def minted_under(agent: Agent, issuer: IssuerProfile, revision: str) -> Refused | None:
    """(7) Refuse a token that was minted under another policy than the one that has just ruled.

    Only where the issuer requires agreement; a revision that nobody knows agrees with none.
    Refused as ``STALE_POLICY``.
    """
    said = agent.policy_version
    if issuer.policy_version is not Match.REQUIRE or (said == revision and said != UNKNOWN):
        return None
    return Refused(Reason.STALE_POLICY, f"minted for {said or _NOTHING}, ruled by {revision}")
