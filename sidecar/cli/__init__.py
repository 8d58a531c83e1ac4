"""The command ``scopegate``. Each command imports what it needs when it runs: help is instant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sidecar.cli.catalogue import app as catalogue
from sidecar.cli.deny import app as deny
from sidecar.cli.keys import app as keys
from sidecar.cli.token import app as token

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,  # a traceback's locals could hold a token
)
app.add_typer(deny, name="deny")
app.add_typer(token, name="token")
app.add_typer(keys, name="keys")
app.add_typer(catalogue, name="catalogue")


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it so
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - help is instant

        typer.echo(f"scopegate {version('scopegate')}")
        raise typer.Exit


@app.callback()
def scopegate(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """An Envoy ext_authz sidecar that lets AI agents' tool calls through, or not."""
    del version  # printed before anything else is looked at


ConfigFile = Annotated[Path, typer.Option("--config", help="The settings file (YAML).")]


@app.command()
def sidecar(config: ConfigFile) -> None:
    """Run the sidecar until SIGTERM, then drain."""
    from sidecar.cli.run import run_sidecar  # noqa: PLC0415 - start-up time of the other commands

    run_sidecar(config)


@app.command()
def validate(
    config: ConfigFile,
    *,
    offline: Annotated[bool, typer.Option(help="Do not fetch the issuers' keys.")] = False,
) -> None:
    """Check configuration, catalogue, policies, and that the issuers' keys can be had."""
    from sidecar.cli.validate import validate as run  # noqa: PLC0415 - as above

    run(config, offline=offline)


def main() -> None:
    """The console script."""
    app()
