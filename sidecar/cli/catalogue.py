"""``scopegate catalogue``: what whoever mints tokens needs to know of the catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Ask the catalogue.")


@app.callback()
def catalogue() -> None:
    """Ask the catalogue."""


@app.command(name="hash")
def hash_scopes(
    config: Annotated[Path, typer.Option(help="The settings file (YAML).")],
    tenant: Annotated[str, typer.Option(help="The tenant of the token.")],
    scope: Annotated[list[str], typer.Option(help="A scope of the token; give each of them.")],
    *,
    show: Annotated[
        bool, typer.Option("--list", help="Print the operations that they reach, too.")
    ] = False,
) -> None:
    """Print the capability_hash of a token with these scopes, for whoever mints it."""
    from sidecar.cli.catalogue_hash import print_hash  # noqa: PLC0415 - help is instant

    print_hash(config, tenant, scope, show=show)
