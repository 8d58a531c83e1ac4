"""``KEEP=1``: the stage stays up, with commands to try by hand."""

from __future__ import annotations

import asyncio
import json

from rich.console import Console

from examples.demo.client import tool_call
from examples.demo.issuer import ISSUER, TENANT
from examples.demo.processes import ENVOY_PORT, SIDECAR_PORT, Stage, program

_LIFETIME = 900


async def keep_running(console: Console, stage: Stage) -> None:
    """Print the commands and wait for Ctrl-C."""
    reading = stage.issuer.mint("read:customers:*", lifetime=_LIFETIME)
    writing = stage.issuer.mint("write:customers:7", lifetime=_LIFETIME)
    paying = stage.issuer.mint("write:payments:transfer", lifetime=_LIFETIME)
    call = json.dumps(tool_call("transfer", to="bob", amount=5000))
    deny = f"{program('scopegate')} deny add --socket {stage.directory / 'admin.sock'}"
    envoy = f"http://127.0.0.1:{ENVOY_PORT}"
    commands = (
        f"R={reading}",
        f"W={writing}",
        f"P={paying}",
        f'curl -i {envoy}/customers/7 -H "Authorization: Bearer $R"',
        f'curl -i -X PUT {envoy}/customers/7 -H "Authorization: Bearer $W"',
        f'curl -i -X PUT {envoy}/customers/7 -H "Authorization: Bearer $R"',
        f"curl -i {envoy}/mcp -H \"Authorization: Bearer $P\" --json '{call}'",
        f"{deny} --issuer {ISSUER} --tenant {TENANT} --agent agent-7 --for 600",
        f"curl -s http://127.0.0.1:{SIDECAR_PORT}/metrics | grep ^scopegate",
        f"tail -f {stage.directory / 'envoy.out'}",
    )
    console.print(f"\nrunning in {stage.directory}; tokens last {_LIFETIME // 60} minutes. Try:\n")
    for command in commands:
        console.print(command, soft_wrap=True, markup=False)
    console.print("\nCtrl-C ends it.")
    await asyncio.Event().wait()
