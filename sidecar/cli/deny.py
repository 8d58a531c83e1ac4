"""``scopegate deny``: the operator's hand on the deny list of a running sidecar."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import typer

app = typer.Typer(
    no_args_is_help=True, help="Revoke agents, tokens, tasks; lift revocations; list."
)

Socket = Annotated[Path, typer.Option(help="The sidecar's admin socket.")]
Issuer = Annotated[str, typer.Option(help="The exact issuer (iss) of the tokens.")]
Tenant = Annotated[str, typer.Option(help="Their tenant; not with --kid.")]
Jti = Annotated[str, typer.Option(help="One token.")]
Agent = Annotated[str, typer.Option(help="Every token of an agent, and of its children.")]
Task = Annotated[str, typer.Option(help="Every token of a task.")]
Session = Annotated[str, typer.Option(help="Every token of a session.")]
Chain = Annotated[str, typer.Option(help="Whatever this root agent delegated.")]
Kid = Annotated[str, typer.Option(help="Every token under one key of the issuer.")]
_UNREACHABLE: Final = 3


def _target(kinds: dict[str, str]) -> tuple[str, str]:
    given = [(kind, value) for kind, value in kinds.items() if value]
    if len(given) != 1:
        names = ", ".join(f"--{kind}" for kind in kinds)
        _fail(f"give exactly one of {names}", 2)
    return given[0]


@app.command()
def add(  # noqa: PLR0917 - an option each
    socket: Socket,
    issuer: Issuer,
    tenant: Tenant = "",
    jti: Jti = "",
    agent: Agent = "",
    task: Task = "",
    session: Session = "",
    chain: Chain = "",
    kid: Kid = "",
    lasts: Annotated[
        float, typer.Option("--for", help="Seconds; at least the longest lifetime of a token.")
    ] = 86_400,
    issued_before: Annotated[
        float, typer.Option(help="Only tokens issued before this time (seconds since the epoch).")
    ] = 0,
    reason: Annotated[str, typer.Option(help="For the record.")] = "",
) -> None:
    """Refuse from the next check on."""
    kind, value = _target(
        {"jti": jti, "agent": agent, "task": task, "session": session, "chain": chain, "kid": kid}
    )
    entry: dict[str, Any] = {
        "kind": kind, "issuer": issuer, "tenant": tenant, "value": value,
        "lasts": lasts, "not_before": issued_before or None, "reason": reason,
    }  # fmt: skip
    _call(socket, "POST", json=entry)
    typer.echo(f"denied: {kind} {value} of {tenant or 'every tenant'} at {issuer}, {lasts:g} s")


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
    _call(socket, "DELETE", params=key)
    typer.echo(f"lifted: {kind} {value} of {tenant or 'every tenant'} at {issuer}")


@app.command(name="list")
def list_entries(socket: Socket) -> None:
    """Print what holds now, one entry a line, as JSON."""
    import msgspec  # noqa: PLC0415 - help is instant

    for entry in _call(socket, "GET")["entries"]:
        typer.echo(msgspec.json.encode(entry).decode())


def _call(socket: Path, method: str, **request: Any) -> Any:
    return asyncio.run(_request(socket, method, **request))


async def _request(socket: Path, method: str, **request: Any) -> Any:
    from aiohttp import ClientError, ClientSession, ClientTimeout, UnixConnector  # noqa: PLC0415

    connector, limit = UnixConnector(str(socket)), ClientTimeout(total=5)
    async with ClientSession(connector=connector, timeout=limit) as session:
        try:
            async with session.request(method, "http://admin/deny", **request) as response:
                # What aiohttp refuses before our handlers see it, it refuses in plain text.
                in_json = response.content_type == "application/json"
                said = f"the sidecar answered {response.status} {response.reason}; is it too long?"
                answer = await response.json() if in_json else {"error": said}
                failed = not (response.ok and in_json)
        except (ClientError, TimeoutError, OSError):
            _fail(f"no sidecar answers on {socket}", _UNREACHABLE)
    if failed:
        _fail(str(answer.get("error", "there was no such entry")), 1)
    return answer


def _fail(message: str, status: int) -> NoReturn:
    typer.echo(f"scopegate deny: {message}", err=True)
    raise typer.Exit(status)
