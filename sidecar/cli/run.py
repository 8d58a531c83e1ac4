"""``scopegate sidecar``: load the configuration, or say what is wrong with it, and serve."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import typer

from sidecar.adapters.deny_file import BrokenDenyFileError
from sidecar.adapters.regorus_policy import PolicyLoadError
from sidecar.config.build import Configuration, load_configuration
from sidecar.config.problem import ConfigurationError
from sidecar.config.validate import policy_problems
from sidecar.lifecycle import run
from sidecar.logs import configure


def run_sidecar(config: Path) -> None:
    """Run until SIGTERM.

    Exit status 2, and what ``scopegate validate`` says, when configuration or policies do not hold;
    1 for an address that is taken and for a deny list's file that cannot be used.
    """
    try:
        _run(load_configuration(config, os.environ))
    except ConfigurationError as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None
    except (OSError, BrokenDenyFileError) as unusable:
        typer.echo(f"scopegate sidecar: {unusable}", err=True)
        raise typer.Exit(1) from None


def _run(configuration: Configuration) -> None:
    configure(configuration.settings.log.level)
    try:
        asyncio.run(run(configuration))
    except PolicyLoadError as wrong:
        raise ConfigurationError(policy_problems(wrong, configuration.origin)) from None
