"""The settings for commands that explain them: read as a sidecar reads them, or told what is wrong.

A sidecar's environment changes its settings, so that whoever asks about one gives the same.
"""

from __future__ import annotations

import os
from pathlib import Path

import typer

from sidecar.config.build import Configuration, load_configuration
from sidecar.config.problem import ConfigurationError


def configuration_at(config: Path) -> Configuration:
    """Load it, or say on standard error what is wrong with it, and exit with status 2."""
    try:
        return load_configuration(config, os.environ)
    except ConfigurationError as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None
