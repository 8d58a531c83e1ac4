"""``scopegate sidecar``: load the configuration, or say what is wrong with it, and serve."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import typer

from sidecar.adapters.regorus_policy import PolicyLoadError
from sidecar.config.build import load_configuration
from sidecar.config.problem import ConfigurationError
from sidecar.lifecycle import run
from sidecar.logs import configure


def run_sidecar(config: Path) -> None:
    """Run until SIGTERM. Exit status 2 when the configuration does not hold, 1 for an address."""
    try:
        configuration = load_configuration(config, os.environ)
        configure(configuration.settings.log.level)
        asyncio.run(run(configuration))
    except (ConfigurationError, PolicyLoadError) as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None
    except OSError as taken:
        typer.echo(f"scopegate sidecar: {taken}", err=True)
        raise typer.Exit(1) from None
