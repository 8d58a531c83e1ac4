"""``scopegate token inspect``: what a token says, and what the gate would say to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import NoReturn

import typer

from sidecar.cli.configuration import configuration_at
from sidecar.cli.token_findings import Findings
from sidecar.cli.token_input import Given, NoTokenError, read_token
from sidecar.cli.token_routes import Asked, NotOfferedError
from sidecar.cli.token_show import as_json, as_text
from sidecar.cli.token_steps import judge, look_at
from sidecar.clock import SystemClock
from sidecar.core.rfc3339 import seconds_of


@dataclass(frozen=True, slots=True)
class Options:
    """The command line."""

    config: Path | None
    asked: Asked
    at: str
    """RFC 3339, or seconds since the epoch; empty for now."""
    token_file: Path | None
    as_json: bool


def inspect_token(options: Options) -> None:
    """Print it.

    Exit status 0 when the token would be accepted (without settings: is well-formed), 1 when it
    would be refused, 2 when the command is wrong.
    """
    now = _moment(options.at)
    if options.config is None and options.asked != Asked():
        _fail("--route, --method, --path and --tool need --config")
    if options.asked != Asked() and not options.asked.route:
        _fail("--method, --path and --tool need --route")
    try:
        given = read_token(options.token_file)
        findings = _findings(given, options, now)
    except (NoTokenError, NotOfferedError) as wrong:
        _fail(str(wrong))
    lines = (as_json(findings),) if options.as_json else as_text(findings)
    for line in lines:
        typer.echo(line)
    raise typer.Exit(0 if findings.is_good else 1)


def _findings(given: Given, options: Options, now: float) -> Findings:
    if options.config is None:
        return look_at(given, now)
    configuration = configuration_at(options.config)
    return asyncio.run(judge(given, configuration, options.asked, now))


def _moment(text: str) -> float:
    if not text:
        return SystemClock().now()
    moment = seconds_of(text)
    if moment is None:
        try:
            moment = float(text)
        except ValueError:
            moment = None
    if moment is None or not isfinite(moment):
        _fail("--at: must be a time such as 2027-01-15T08:00:00Z, or seconds since the epoch")
    return moment


def _fail(message: str) -> NoReturn:
    typer.echo(f"scopegate token inspect: {message}", err=True)
    raise typer.Exit(2)
