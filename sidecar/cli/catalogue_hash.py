"""``scopegate catalogue hash``: the ``capability_hash`` that a broker puts into a token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import typer

from sidecar.cli.configuration import configuration_at
from sidecar.cli.offers import Offer, offers_of, reached_by
from sidecar.cli.plain import plain
from sidecar.config.build import Configuration
from sidecar.core.capabilities import capability_hash
from sidecar.core.model import Scope
from sidecar.core.scope import parse_scope
from sidecar.nearest import unknown_name


def print_hash(config: Path, tenant: str, texts: Sequence[str], *, show: bool) -> None:
    """Print the hash on a line of its own and, if ``show``, a line for each operation.

    Exit status 2 for settings, a tenant or a scope that cannot be used.
    """
    scopes = tuple(_scope(text) for text in texts)
    configuration = configuration_at(config)
    known = _tenants(configuration)
    if tenant not in known:
        _fail(f"--tenant: {unknown_name(tenant, known)}")
    reached = list(_reached(configuration, tenant, scopes))
    typer.echo(capability_hash(configuration.catalogue, tenant, scopes))
    if not reached:
        typer.echo("scopegate catalogue hash: these scopes reach nothing in that tenant", err=True)
    if show:
        for offer in reached:
            typer.echo(plain(f"{offer.route.name} {offer.name} {offer.operation.scope}"))


def _scope(text: str) -> Scope:
    scope = parse_scope(text)
    if scope is None:
        _fail("--scope: must be action:resource:identifier, such as read:orders:*")
    return scope


def _tenants(configuration: Configuration) -> frozenset[str]:
    of_routes = {route.tenant for route in configuration.catalogue.routes.values() if route.tenant}
    return frozenset(of_routes).union(*(one.tenants for one in configuration.issuers.values()))


def _reached(
    configuration: Configuration, tenant: str, scopes: tuple[Scope, ...]
) -> Iterator[Offer]:
    catalogue = configuration.catalogue
    for route in catalogue.routes.values():
        if route.tenant in (None, tenant):
            for offer in offers_of(route, catalogue):
                if reached_by(scopes, offer.operation):
                    yield offer


def _fail(message: str) -> NoReturn:
    typer.echo(f"scopegate catalogue hash: {message}", err=True)
    raise typer.Exit(2)
