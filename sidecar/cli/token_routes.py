"""Which calls a token is good for: audience, tenant, age, scope and caller, operation by operation.

The deny list, the policy and what was used up are not asked: they are a running sidecar's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from sidecar.cli.offers import Offer, call_of, offers_of, request_of
from sidecar.cli.token_claims import Attempt
from sidecar.cli.token_findings import OfferStep, Result, RouteStep, Step, ok, refused
from sidecar.cli.token_hints import Circumstances
from sidecar.config.build import Configuration
from sidecar.core.catalogue import Route
from sidecar.core.freshness import Limit, too_old
from sidecar.core.jsonrpc import TOOLS_CALL
from sidecar.core.lanes import markers_of
from sidecar.core.locate import locate
from sidecar.core.model import Agent, Binding, Call, Protocol, Refused, ToolCall
from sidecar.core.reasons import Reason
from sidecar.core.scope import scope_floor
from sidecar.core.target import parse_target
from sidecar.nearest import unknown_name


@dataclass(frozen=True, slots=True)
class Asked:
    """Which calls somebody asks about; empty parts stand for all of them."""

    route: str = ""
    method: str = ""
    path: str = ""
    """With its query, if any."""
    tool: str = ""


class NotOfferedError(Exception):
    """The catalogue has no such route or operation; the text says what it has."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges the calls of one token whose claims stand for ``agent``."""

    configuration: Configuration
    attempt: Attempt
    agent: Agent
    around: Circumstances

    def route(self, route: Route, asked: Asked) -> RouteStep:
        """Judge the calls of a route that ``asked`` names."""
        if asked.path:
            return self._located(route, asked)
        offers = _asked_offers(route, self.configuration, asked)
        scopes = self.agent.scopes
        return self._judged(
            route.name,
            [(one.name, str(one.operation.scope), call_of(one, scopes)) for one in offers],
        )

    def _located(self, route: Route, asked: Asked) -> RouteStep:
        """Judge the one call that the gate makes of a request."""
        call = _locate(route, asked, self.configuration)
        if isinstance(call, Refused):
            return RouteStep(refused(route.name, call, self.around))
        name = f"tool {asked.tool}" if asked.tool else asked.method or "GET"
        return self._judged(route.name, [(name, str(call.scope), call)])

    def _judged(self, name: str, calls: list[tuple[str, str, Call]]) -> RouteStep:
        """Judge calls of one route, each with a name and the scope that it wants."""
        if not calls:
            return RouteStep(Step(name, Result.REFUSED, "it offers nothing"))
        first = calls[0][2]
        answer = self.attempt.admit(first)  # audience and tenant are the whole route's
        if isinstance(answer, Refused):
            return RouteStep(refused(name, answer, replace(self.around, call=first)))
        offers = tuple(self._offer(*call) for call in calls)
        passing = [one.step.name for one in offers if one.step.result is Result.OK]
        if passing:
            return RouteStep(ok(name, ", ".join(passing)), offers)
        return RouteStep(replace(offers[0].step, name=name, hint="no operation of it"), offers)

    def _offer(self, name: str, wants: str, call: Call) -> OfferStep:
        limits = _limits_of(call, self.configuration)
        held = ", ".join(map(str, self.agent.scopes))
        around = replace(self.around, call=call, limits=limits, lacks=held)
        lifetimes = self.configuration.settings.lifetimes.limits()
        needs = _needs_of(self.agent, call, self.attempt, self.configuration)
        why = too_old(self.agent, call, lifetimes, now=self.around.now)
        why = why or (needs if isinstance(needs, Refused) else None)
        why = why or scope_floor(self.agent, call)
        return OfferStep(
            step=refused(name, why, around) if why else ok(name),
            scope=wants,
            by=next((str(one) for one in self.agent.scopes if one.covers(call.scope)), ""),
            access=call.access.value,
            risk=call.risk.value if call.risk else "",
            single_use=call.single_use or self.agent.single_use,
            needs=() if isinstance(needs, Refused) else needs,
        )


def routes_asked(configuration: Configuration, asked: Asked) -> tuple[Route, ...]:
    """Find the routes that are meant. Raises ``NotOfferedError``."""
    routes = configuration.catalogue.routes
    if not asked.route:
        return tuple(routes.values())
    route = routes.get(asked.route)
    if route is None:
        raise NotOfferedError(f"--route: {unknown_name(asked.route, routes)}")
    if not asked.path and not list(_asked_offers(route, configuration, asked)):
        offers = ", ".join(offer.name for offer in offers_of(route, configuration.catalogue))
        raise NotOfferedError(f"the route {route.name} offers {offers}, and not that")
    return (route,)


def _asked_offers(route: Route, configuration: Configuration, asked: Asked) -> Iterator[Offer]:
    for offer in offers_of(route, configuration.catalogue):
        # HEAD is GET without the body (RFC 9110, section 9.3.2).
        as_head = asked.method == "HEAD" and route.operation_for("HEAD") is offer.operation
        if asked.method not in ("", offer.method) and not as_head:
            continue
        if asked.tool in ("", offer.tool):
            yield offer


def _locate(route: Route, asked: Asked, configuration: Configuration) -> Call | Refused:
    target = parse_target(asked.path.encode())
    if isinstance(target, Refused):
        return target
    method, tool = asked.method or "GET", None
    if route.protocol is Protocol.MCP:
        tool = ToolCall(TOOLS_CALL if asked.tool else asked.method, asked.tool, {}, 1)
        method = "POST"
    request = request_of(route, method, target.path, target.segments, tool)
    request = replace(request, raw_query=target.raw_query, query=target.query)
    return locate(request, configuration.catalogue, markers_of(configuration.catalogue))


def _limits_of(call: Call, configuration: Configuration) -> Mapping[str, Limit]:
    lifetimes = configuration.settings.lifetimes.limits()
    limits = {call.access.value: lifetimes.by_access.get(call.access, Limit())}
    if call.risk is not None:
        limits[call.risk.value] = lifetimes.by_risk.get(call.risk, Limit())
    return limits


def _needs_of(
    agent: Agent, call: Call, attempt: Attempt, configuration: Configuration
) -> tuple[str, ...] | Refused:
    """Say what the caller must show; refused when no caller could (``core.binding``)."""
    cnf = agent.confirmation
    ways: dict[Binding, str] = {Binding.FIRST_PEER: "the caller that came with it first"}
    if cnf and cnf.certificate:
        ways[Binding.CERTIFICATE] = f"the client certificate whose x5t#S256 is {cnf.certificate}"
    if cnf and cnf.jwk_thumbprint:
        ways[Binding.DPOP] = f"Authorization: DPoP, and a proof by the key {cnf.jwk_thumbprint}"
    asked = {
        "token": frozenset(ways) & {Binding.CERTIFICATE, Binding.DPOP},
        "issuer": attempt.issuer.bind,
        "route": call.bind,
        "tenant": configuration.callers.tenants.get(agent.tenant, frozenset[Binding]()),
    }
    if agent.actor.startswith("spiffe://"):
        ways[Binding.SPIFFE] = f"a client certificate for {agent.actor}"
    needs: list[str] = []
    for who, wanted in asked.items():
        can = sorted(wanted & ways.keys(), key=lambda one: one.value)
        if wanted and not can:
            names = " or ".join(sorted(binding.value for binding in wanted))
            return Refused(Reason.BINDING_REFUSED, f"the {who} wants {names}")
        # What the token itself asks for has to be shown in full, anything else in one way.
        texts = [ways[one] for one in can]
        needs.extend(texts if who == "token" else [" or ".join(texts)] if texts else [])
    return tuple(dict.fromkeys(needs))
