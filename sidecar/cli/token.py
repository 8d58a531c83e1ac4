"""``scopegate token``: what a token says, and why it would be refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup


class _Group(TyperGroup):
    """Repeats nothing of a command that is not there: it may be a token."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            _refuse_argument()
        return super().resolve_command(ctx, args)


app = typer.Typer(no_args_is_help=True, cls=_Group, help="Explain tokens.")


@app.callback()
def token() -> None:
    """Explain tokens."""


@app.command()
def inspect(  # noqa: PLR0917 - an option each
    misplaced: Annotated[
        list[str] | None, typer.Argument(hidden=True, metavar="< TOKEN-FILE")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Judge it by these settings (YAML), as the gate does.")
    ] = None,
    route: Annotated[str, typer.Option(help="For this route only.")] = "",
    method: Annotated[str, typer.Option(help="For this HTTP or MCP method only.")] = "",
    path: Annotated[str, typer.Option(help="For this path, such as /orders/7?all=1.")] = "",
    tool: Annotated[str, typer.Option(help="For this MCP tool only.")] = "",
    at: Annotated[
        str, typer.Option(help="As if it were then: RFC 3339, or seconds since the epoch.")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option(help="Where the token is; else on standard input.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Print what a token says, without its signature, and why the gate would refuse it.

    Reads one token from standard input, or from a file.

    Exit status 0: it would be accepted (without --config: it is well-formed).

    Exit status 1: it would be refused. Exit status 2: the command is wrong.
    """
    if misplaced and misplaced != ["-"]:
        _refuse_argument()
    from sidecar.cli.token_inspect import Options, inspect_token  # noqa: PLC0415 - help is instant
    from sidecar.cli.token_routes import Asked  # noqa: PLC0415 - help is instant

    asked = Asked(route, method, path, tool)
    inspect_token(Options(config, asked, at, token_file, as_json))


def _refuse_argument() -> NoReturn:
    from sidecar.cli.token_input import AS_ARGUMENT  # noqa: PLC0415 - help is instant

    typer.echo(f"scopegate token inspect: {AS_ARGUMENT}", err=True)
    raise typer.Exit(2)
