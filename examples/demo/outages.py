"""The rows in which an agent is revoked, and those in which the sidecar dies and comes back."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from examples.demo.client import Answer, call
from examples.demo.issuer import ISSUER, TENANT
from examples.demo.processes import Stage
from examples.demo.program import program, until
from examples.demo.rows import Group, Scenario, Seen

_MARK: Final = "x-envoy-auth-failure-mode-allowed"
_REVOKED_WITHIN: Final = 1.0


async def revoked(stage: Stage) -> Seen:
    """Revoke an agent by the operator's command and wait for its first refusal."""
    token = stage.issuer.mint("read:customers:7", agent_id="agent-9", sub="agent-9")
    before = await call(stage.http, "GET", "/customers/7", token)
    arguments = ("--socket", "admin.sock", "--issuer", ISSUER, "--tenant", TENANT)
    command = await asyncio.create_subprocess_exec(
        program("scopegate"), "deny", "add", *arguments, "--agent", "agent-9", "--for", "600",
        cwd=stage.directory, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    if await command.wait():
        return Seen("scopegate deny add failed", 0)
    answers: list[Answer] = []

    async def refused() -> bool:
        answers.append(await call(stage.http, "GET", "/customers/7", token))
        return answers[-1].status != before.status

    took = await until(refused, "the revocation to hold", _REVOKED_WITHIN)
    note = f"first refusal {took * 1000:.0f} ms after scopegate deny add"
    return Seen(f"{before.word}, then {answers[-1].word}", answers[-1].milliseconds, (note,))


async def others_unharmed(stage: Stage) -> Seen:
    """Call as an agent that nobody revoked."""
    answer = await call(stage.http, "GET", "/customers/7", stage.issuer.mint("read:customers:7"))
    return Seen(answer.word, answer.milliseconds)


async def dead_read(stage: Stage) -> Seen:
    """Kill the sidecar; a good read passes by Envoy's open lane, marked."""
    await stage.sidecar.kill()
    token = stage.issuer.mint("read:customers:7")
    answer = await call(
        stage.http, "GET", "/customers/7", token, headers=[("X-Agent-Id", "the-boss")]
    )
    seen = answer.headers
    marked = "marked" if seen.get(_MARK) == ["true"] else "not marked"
    told = sorted(name for name in seen if name.startswith(("x-agent-", "authorization")))
    notes = (f"tool saw {_MARK}: {', '.join(seen.get(_MARK, ['nothing']))}",)
    got = f"{answer.word} as {', '.join(told) or 'nobody'}, {marked}"
    return Seen(got, answer.milliseconds, notes)


async def dead_forged_read(stage: Stage) -> Seen:
    """The guard checks tokens, whether or not a sidecar lives."""
    token = stage.issuer.mint("read:customers:7", forged=True)
    answer = await call(stage.http, "GET", "/customers/7", token)
    return Seen(answer.word, answer.milliseconds)


async def dead_sensitive_read(stage: Stage) -> Seen:
    """Health records have no open lane."""
    token = stage.issuer.mint("read:records:5")
    answer = await call(stage.http, "GET", "/records/5", token)
    return Seen(answer.word, answer.milliseconds)


async def dead_write(stage: Stage) -> Seen:
    """Writes have no open lane."""
    token = stage.issuer.mint("write:customers:7")
    answer = await call(stage.http, "PUT", "/customers/7", token)
    return Seen(answer.word, answer.milliseconds)


async def back(stage: Stage) -> Seen:
    """Start the sidecar again; Envoy's health check finds it."""
    started = time.monotonic()
    await stage.revive()
    took = time.monotonic() - started
    token = stage.issuer.mint("read:customers:7", "write:customers:7", "read:records:5")
    read = await call(stage.http, "GET", "/customers/7", token)
    write = await call(stage.http, "PUT", "/customers/7", token)
    record = await call(stage.http, "GET", "/records/5", token)
    who = ", ".join(read.headers.get("x-agent-id", ["nobody"]))
    got = f"{read.word} as {who}, {write.word}, {record.word}"
    return Seen(got, read.milliseconds, (f"{took:.1f} s from start to the first check",))


REVOCATION: Final = Group(
    "an agent is revoked",
    (
        Scenario("agent-9 revoked", "200, then 401 revoked", revoked),
        Scenario("agent-7 goes on", "200", others_unharmed),
    ),
)

DEATH: Final = Group(
    "the sidecar is killed",
    (
        Scenario("read", "200 as nobody, marked", dead_read),
        Scenario("read, forged token", "401 Jwt verification fails", dead_forged_read),
        Scenario("sensitive read", "503", dead_sensitive_read),
        Scenario("write", "503", dead_write),
        Scenario("sidecar back: read, write, record", "200 as agent-7, 200, 200", back),
    ),
)
