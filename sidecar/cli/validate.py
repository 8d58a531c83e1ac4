"""``scopegate validate``: what is wrong, one line each, or what a sidecar would work with."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from sidecar.clock import SystemClock
from sidecar.config.build import Configuration
from sidecar.config.validate import Report
from sidecar.config.validate import validate as examine
from sidecar.core.catalogue import Route
from sidecar.core.keyring import KeyRing
from sidecar.core.lanes import Lane, lane_digest, lanes_of, may_be_open
from sidecar.core.model import Protocol
from sidecar.core.stance import has_ended
from sidecar.outages import last_day

_FAULTY: Final = 2
_MARKER: Final = "marker"


def validate(config: Path, *, offline: bool = False) -> None:
    """Check settings, catalogue, policies and keys; exit status 2 when something is wrong.

    A problem is one line on standard output: ``file:line: field: message``.
    """
    report = asyncio.run(examine(config, os.environ, offline=offline))
    for problem in report.problems:
        typer.echo(str(problem))
    if report.problems or report.configuration is None:
        raise typer.Exit(_FAULTY)
    console = Console(markup=False, highlight=False, emoji=False)
    show(report, report.configuration, console, now=SystemClock().now())


def show(report: Report, configuration: Configuration, console: Console, *, now: float) -> None:
    """Print what a sidecar would work with; ``now`` in seconds since the epoch."""
    routes = configuration.catalogue.routes.values()
    console.print(_issuers(report, configuration))
    console.print(_routes(routes))
    if any(route.outages for route in routes):
        console.print(_exceptions(routes, now))
    if report.policy_revision:
        console.print(f"policy revision {report.policy_revision}", soft_wrap=True)
    else:
        console.print("the policies are OPA's: whether it has them was not checked")
    if not report.keys:
        console.print("offline: whether the issuers' keys can be had was not checked")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        # A marker is for copying: it stays whole. The rest may be folded, but never cut off.
        table.add_column(column, overflow="fold", no_wrap=column == _MARKER)
    return table


def _issuers(report: Report, configuration: Configuration) -> Table:
    table = _table("Issuers", "name", "issuer", "tenants", "keys")
    for issuer in configuration.settings.issuers:
        ring = report.keys.get(issuer.name)
        tenants = " ".join(sorted(issuer.tenants))
        table.add_row(issuer.name, issuer.issuer, tenants, _keys(ring) if ring else "not checked")
    return table


def _keys(ring: KeyRing) -> str:
    keys = ring.keys.values() or ([ring.only] if ring.only else [])
    found = [f"{key.algorithm} {key.kid or 'without kid'}" for key in keys]
    skipped = [f"skipped {key.kid or 'without kid'}: {key.reason}" for key in ring.skipped]
    return "\n".join(found + skipped)


def _routes(routes: Iterable[Route]) -> Table:
    table = _table("Routes", "route", "path", "lane", "methods", _MARKER)
    for route in routes:
        path = "/" + "/".join(route.path)
        for lane in lanes_of(route):
            methods = " ".join(_methods(route, lane)) or "none"
            table.add_row(route.name, path, lane.value, methods, lane_digest(route, lane))
    return table


def _methods(route: Route, lane: Lane) -> list[str]:
    offered = set(route.operations)
    if route.protocol is Protocol.MCP:
        offered = {"POST"}
    elif "GET" in offered:
        offered.add("HEAD")
    return sorted(one for one in offered if may_be_open(route, one) is (lane is Lane.OPEN))


def _exceptions(routes: Iterable[Route], now: float) -> Table:
    table = _table("Exceptions to the stance", "route", "when", "access", "stance", "until", "why")
    for route in routes:
        for one in route.outages:
            until = last_day(one.until) or "no end"
            if has_ended(one, now):
                until = f"warning: ended {until}, holds no more"
            cell = (one.dependency.value, one.access.value, one.stance.value)
            table.add_row(route.name, *cell, until, one.reason)
    return table
