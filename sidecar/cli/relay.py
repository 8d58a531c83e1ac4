"""``scopegate deny relay`` and ``keygen``: who has no broker signs revocations with his own key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NoReturn

import typer

from sidecar.config.problem import ConfigurationError
from sidecar.logs import configure
from sidecar.relay.audit import SupersededError
from sidecar.relay.journal_disk import JournalError
from sidecar.relay.settings import load_relay


def run_relay(config: Path, *, init: bool, new_feed: bool) -> None:
    """Run until SIGTERM.

    Exit status 2 for settings and for a journal that must not be used, 1 for a socket.
    """
    if init and new_feed:
        _fail("give --init for a first start, or --new-feed to go on with a journal", 2)
    try:
        from sidecar.relay.app import Start, run  # noqa: PLC0415 - needs an extra
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "redis":
            raise
        _fail("needs the client of Redis: pip install 'scopegate[redis]'", 2)
    start = Start.INIT if init else Start.NEW_FEED if new_feed else Start.GO_ON
    try:
        configuration = load_relay(config)
        configure(configuration.settings.log)
        asyncio.run(run(configuration, start))
    except ConfigurationError as wrong:
        typer.echo(str(wrong), err=True)
        raise typer.Exit(2) from None
    except (JournalError, SupersededError) as wrong:
        _fail(str(wrong), 2)
    except OSError as taken:
        _fail(str(taken), 1)


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"scopegate deny relay: {message}", err=True)
    raise typer.Exit(status)
