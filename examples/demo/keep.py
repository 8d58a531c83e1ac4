"""``KEEP=1``: the stage stays up, with commands to try by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from examples.demo.client import tool_call
from examples.demo.issuer import ISSUER, TENANT, Issuer
from examples.demo.processes import ENVOY_PORT, SIDECAR_PORT, Stage
from examples.demo.program import program

_LIFETIME_S: Final = 900
_RENEWED_EVERY_S: Final = 600
_SCOPES: Final = {
    "R": "read:customers:*",
    "W": "write:customers:7",
    "P": "write:payments:transfer",
}


async def keep_running(console: Console, stage: Stage) -> None:
    """Print the commands, keep their tokens fresh, and wait for Ctrl-C."""
    transfer = stage.directory / "transfer.json"
    transfer.write_text(json.dumps(tool_call("transfer", to="bob", amount=5000)))
    tokens = stage.directory / "tokens"
    _write_tokens(stage.issuer, tokens)
    console.print(f"\nrunning in {stage.directory}. Try:", soft_wrap=True)
    for meaning, command in _commands(stage.directory, tokens, transfer):
        console.print(Text(f"\n# {meaning}", style="dim"))
        console.print(Text(command), soft_wrap=True)
    console.print("\nCtrl-C ends it.")
    while True:
        await asyncio.sleep(_RENEWED_EVERY_S)
        _write_tokens(stage.issuer, tokens)


def _write_tokens(issuer: Issuer, path: Path) -> None:
    """Write a file for a shell to source: each variable is a whole header."""
    path.touch(mode=0o600)
    lines = [
        f"{name}='Authorization: Bearer {issuer.mint(scope, lifetime=_LIFETIME_S)}'\n"
        for name, scope in _SCOPES.items()
    ]
    path.write_text("".join(lines))


def _commands(directory: Path, tokens: Path, transfer: Path) -> Iterator[tuple[str, str]]:
    """What each is for, and the command."""
    envoy = f"http://127.0.0.1:{ENVOY_PORT}"
    customer = f"{envoy}/customers/7"
    deny = f"{program('scopegate')} deny add --socket {directory / 'admin.sock'}"
    minutes = _LIFETIME_S // 60
    yield (
        f"tokens to read, write and pay, for {minutes} minutes; again for new ones",
        f". {tokens}",
    )
    yield "read: 200", f'curl -i {customer} -H "$R"'
    yield "write: 200", f'curl -i -X PUT {customer} -H "$W"'
    yield "write with the token to read: 403", f'curl -i -X PUT {customer} -H "$R"'
    yield (
        "transfer of 5000: 403, needs an approval",
        f'curl -i {envoy}/mcp -H "$P" -H "Content-Type: application/json" -d @{transfer}',
    )
    yield (
        "revoke the agent for ten minutes",
        f"{deny} --issuer {ISSUER} --tenant {TENANT} --agent agent-7 --for 600",
    )
    yield "read by a revoked agent: 401", f'curl -i {customer} -H "$R"'
    yield (
        "what scopegate counted",
        f"curl -s http://127.0.0.1:{SIDECAR_PORT}/metrics | grep ^scopegate",
    )
    yield "Envoy's access log", f"tail -f {directory / 'envoy.out'}"
