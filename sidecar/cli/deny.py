"""``scopegate deny``: the operator's hand on one sidecar's deny list, or through a relay on all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

app = typer.Typer(
    no_args_is_help=True, help="Revoke agents, tokens, tasks; lift revocations; list; relay."
)

Socket = Annotated[Path, typer.Option(help="The sidecar's admin socket, or the relay's.")]
Issuer = Annotated[str, typer.Option(help="The exact issuer (iss) of the tokens.")]
Tenant = Annotated[str, typer.Option(help="Their tenant; not with --kid.")]
Jti = Annotated[str, typer.Option(help="One token.")]
Agent = Annotated[str, typer.Option(help="Every token of an agent, and of its children.")]
Task = Annotated[str, typer.Option(help="Every token of a task.")]
Session = Annotated[str, typer.Option(help="Every token of a session.")]
Chain = Annotated[str, typer.Option(help="Whatever this root agent delegated.")]
Kid = Annotated[str, typer.Option(help="Every token under one key of the issuer.")]
Lasts = Annotated[
    float, typer.Option("--for", help="Seconds; at least the longest lifetime of a token.")
]
IssuedBefore = Annotated[
    float, typer.Option(help="Only tokens issued before this time (seconds since the epoch).")
]
Reason = Annotated[str, typer.Option(help="For the record.")]
Source = Annotated[
    Path | None,
    typer.Option("--from", help="JSON lines, one entry each, for a relay; - is standard input."),
]
_USAGE: Final = 2


def _target(kinds: dict[str, str]) -> tuple[str, str]:
    given = [(kind, value) for kind, value in kinds.items() if value]
    if len(given) != 1:
        names = ", ".join(f"--{kind}" for kind in kinds)
        _fail(f"give exactly one of {names}", _USAGE)
    return given[0]


@app.command()
def add(  # noqa: PLR0917 - an option each
    socket: Socket,
    issuer: Issuer = "",
    tenant: Tenant = "",
    jti: Jti = "",
    agent: Agent = "",
    task: Task = "",
    session: Session = "",
    chain: Chain = "",
    kid: Kid = "",
    lasts: Lasts = 86_400,
    issued_before: IssuedBefore = 0,
    reason: Reason = "",
    source: Source = None,
) -> None:
    """Refuse from the next check on."""
    kinds = {
        "jti": jti, "agent": agent, "task": task, "session": session, "chain": chain, "kid": kid
    }  # fmt: skip
    entry: dict[str, Any] = {
        "issuer": issuer, "tenant": tenant, "lasts": lasts,
        "not_before": issued_before or None, "reason": reason,
    }  # fmt: skip
    if source is None:
        _add_one(socket, kinds, entry)
    elif any(kinds.values()):
        _fail("with --from, each line names its kind and value", _USAGE)
    else:
        _add_many(socket, source, entry)


@app.command()
def remove(  # noqa: PLR0917 - an option each
    socket: Socket,
    issuer: Issuer,
    tenant: Tenant = "",
    jti: Jti = "",
    agent: Agent = "",
    task: Task = "",
    session: Session = "",
    chain: Chain = "",
    kid: Kid = "",
) -> None:
    """Lift what was added under the same key; exit status 1 when there was nothing."""
    kind, value = _target(
        {"jti": jti, "agent": agent, "task": task, "session": session, "chain": chain, "kid": kid}
    )
    key = {"kind": kind, "issuer": issuer, "tenant": tenant, "value": value}
    answer = _call(socket, "DELETE", params=key)
    _say("lifted", f"{kind} {value} of {tenant or 'every tenant'} at {issuer}", answer)


@app.command(name="list")
def list_entries(socket: Socket) -> None:
    """Print what holds now, one entry a line, as JSON."""
    import msgspec  # noqa: PLC0415 - help is instant

    for entry in _call(socket, "GET")["entries"]:
        typer.echo(msgspec.json.encode(entry).decode())


@app.command()
def keygen(
    out: Annotated[Path, typer.Option(help="The private key; must not exist.")],
    public: Annotated[Path, typer.Option(help="The set of public keys; joined if it exists.")],
) -> None:
    """Make a key for a relay."""
    from sidecar.cli.keygen import keygen as make  # noqa: PLC0415 - help is instant

    make(out, public)


@app.command()
def relay(
    config: Annotated[Path, typer.Option(help="The relay's settings file (YAML).")],
    *,
    init: Annotated[bool, typer.Option("--init", help="First start: make the journal.")] = False,
    new_feed: Annotated[
        bool, typer.Option("--new-feed", help="Begin a new feed with what holds in the journal.")
    ] = False,
) -> None:
    """Sign revocations and publish them for every sidecar, until SIGTERM."""
    from sidecar.cli.relay import run_relay  # noqa: PLC0415 - help is instant

    run_relay(config, init=init, new_feed=new_feed)


def _add_one(socket: Path, kinds: dict[str, str], entry: dict[str, Any]) -> None:
    kind, value = _target(kinds)
    if not entry["issuer"]:
        _fail("give --issuer", _USAGE)
    answer = _call(socket, "POST", json={"kind": kind, "value": value, **entry})
    where = f"{entry['tenant'] or 'every tenant'} at {entry['issuer']}"
    _say("denied", f"{kind} {value} of {where}, {entry['lasts']:g} s", answer)


def _add_many(socket: Path, source: Path, defaults: dict[str, Any]) -> None:
    from sidecar.cli.deny_client import DenyFailed  # noqa: PLC0415 - help is instant
    from sidecar.cli.deny_many import BadFileError, add_many  # noqa: PLC0415 - help is instant

    try:
        added = add_many(socket, source, defaults)
    except BadFileError as wrong:
        _fail(str(wrong), 1)
    except DenyFailed as failed:
        _fail(str(failed), failed.status)
    _say("denied", f"{added.entries} entries", {"published": added.published})


def _say(done: str, what: str, answer: Mapping[str, Any]) -> None:
    """A sidecar has done it; a relay may have it on its disk only."""
    if answer.get("published", True):
        typer.echo(f"{done}: {what}")
    else:
        typer.echo(f"kept, will be {done} as soon as the relay reaches Redis: {what}")


def _call(socket: Path, method: str, **request: Any) -> Any:
    import asyncio  # noqa: PLC0415 - help is instant

    from sidecar.cli.deny_client import DenyFailed, call  # noqa: PLC0415 - help is instant

    try:
        return asyncio.run(call(socket, method, **request))
    except DenyFailed as failed:
        _fail(str(failed), failed.status)


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"scopegate deny: {message}", err=True)
    raise typer.Exit(status)
