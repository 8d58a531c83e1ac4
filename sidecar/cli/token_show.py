"""How ``scopegate token inspect`` shows what it found: for people, or as JSON.

Never the signature, and never the segments: what is printed cannot be used as a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sidecar.cli.plain import json_text, moment, plain, without_secrets
from sidecar.cli.token_findings import Findings, OfferStep, Result, RouteStep, Step
from sidecar.cli.token_hints import dates_of
from sidecar.core.model import JsonObject

_WIDTH: Final = 11
NOT_ASKED: Final = "not asked here: the deny list, the policy, and what was used before"


def verdict_of(findings: Findings) -> str:
    """Say it in one line."""
    if not findings.is_judged:
        return f"{'well-formed' if findings.is_good else 'malformed'}; no more was checked"
    if findings.is_good:
        names = (route.step.name for route in findings.routes or () if route.is_open)
        return f"would be accepted at {', '.join(names)}"
    routes = findings.routes or ()
    if any(route.is_open for route in routes):
        routes = ()  # the token is good for these calls, but for what its steps say
    steps = (*findings.steps, *(route.step for route in routes))
    reasons = [one.reason for one in steps if one.result is not Result.OK and one.reason]
    return "would be refused: " + ", ".join(dict.fromkeys(reasons))


def as_text(findings: Findings) -> Iterator[str]:
    """Give the lines, each of visible ASCII and spaces."""
    yield f"looks like {findings.kind.words}"
    yield from _part("header", findings.parts.header)
    yield from _part("payload", findings.parts.payload)
    dates = dates_of(findings.parts.payload or {}, findings.now)
    if dates:
        yield f"dates, seen from {moment(findings.now)}"
        yield from (f"  {name:<{_WIDTH}} {words}" for name, (_, words) in dates.items())
    yield "steps"
    for step in findings.steps:
        yield from _lines(step)
    if findings.routes is not None:
        yield "routes"
        for route in findings.routes:
            yield from _route_lines(route)
        yield NOT_ASKED
    yield verdict_of(findings)


def _part(name: str, members: JsonObject | None) -> Iterator[str]:
    if members is None:
        yield f"{name}: cannot be read"
        return
    yield name
    yield from json_text(without_secrets(members), indent=2).splitlines()


def _lines(step: Step, indent: str = "  ") -> Iterator[str]:
    told = ": ".join(part for part in (step.reason, step.detail) if part)
    told = f"{step.result.value}: {told}" if told else step.result.value
    yield plain(f"{indent}{step.name:<{_WIDTH}} {told}")
    if step.hint:
        yield plain(f"{indent}{'':<{_WIDTH}} {step.hint}")


def _route_lines(route: RouteStep) -> Iterator[str]:
    yield from _lines(route.step)
    for offer in route.offers:
        yield from _offer_lines(offer)


def _offer_lines(offer: OfferStep) -> Iterator[str]:
    yield from _lines(offer.step, "    ")
    kind = ", ".join(
        one for one in (offer.access, offer.risk, "single use" if offer.single_use else "") if one
    )
    by = f", covered by {offer.by}" if offer.by else ""
    yield plain(f"    {'':<{_WIDTH}} wants {offer.scope}{by} ({kind})")
    for need in offer.needs:
        yield plain(f"    {'':<{_WIDTH}} the caller must show {need}")


def as_json(findings: Findings) -> str:
    """Give one JSON object, on one line of ASCII."""
    parts = findings.parts
    dates = dates_of(parts.payload or {}, findings.now)
    routes = None if findings.routes is None else [_route(one) for one in findings.routes]
    said = {
        "verdict": verdict_of(findings),
        "good": findings.is_good,
        "at": findings.now,
        "looks_like": {"words": findings.kind.words, "profile": findings.kind.profile or None},
        "header": without_secrets(parts.header),
        "payload": without_secrets(parts.payload),
        "dates": {name: {"value": at, "words": words} for name, (at, words) in dates.items()},
        "steps": [_step(step) for step in findings.steps],
        "routes": routes,
    }
    return json_text(said)


def _step(step: Step) -> dict[str, Any]:
    return {
        "name": step.name,
        "result": step.result.value,
        "reason": step.reason or None,
        "detail": step.detail or None,
        "hint": step.hint or None,
    }


def _route(route: RouteStep) -> dict[str, Any]:
    return {**_step(route.step), "operations": [_offer(one) for one in route.offers]}


def _offer(offer: OfferStep) -> dict[str, Any]:
    return {
        **_step(offer.step),
        "scope": offer.scope,
        "covered_by": offer.by or None,
        "access": offer.access,
        "risk": offer.risk or None,
        "single_use": offer.single_use,
        "needs": list(offer.needs),
    }
