"""The rows in which something changes or breaks: a revocation, a rotation, a dead part."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from examples.demo.client import Answer, call
from examples.demo.issuer import ISSUER, TENANT
from examples.demo.processes import Stage, program, until
from examples.demo.rows import Group, Scenario, Seen

_GUARD_REFUSED: Final = "http.tools.jwt_authn.guard.jwks_fetch_failed"
_MARK: Final = "x-envoy-auth-failure-mode-allowed"
_REVOKED_WITHIN: Final = 1.0
# Envoy and the sidecar read the keys again every five seconds.
_KEYS_KNOWN_WITHIN: Final = 12.0


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


async def rotated(stage: Stage) -> Seen:
    """Publish the next key, wait until everyone has read it, use it; the old one stays valid."""
    old = stage.issuer.mint("read:customers:7", "write:customers:7")
    following = stage.issuer.publish()
    stage.issuer.use(following)
    new = stage.issuer.mint("read:customers:7", "write:customers:7")

    async def known() -> bool:
        return (await _read_and_write(stage, new)) == "200 and 200"

    took = await until(known, "the new key to be known", _KEYS_KNOWN_WITHIN)
    got = f"old {await _read_and_write(stage, old)}, new {await _read_and_write(stage, new)}"
    answer = await call(stage.http, "GET", "/customers/7", new)
    return Seen(
        got, answer.milliseconds, (f"known everywhere {took:.1f} s after it was published",)
    )


async def key_removed(stage: Stage) -> Seen:
    """Take the oldest key out of the JWKS, as after a theft."""
    if stage.issuer.kid == stage.issuer.oldest:
        await rotated(stage)
    following, stolen = stage.issuer.kid, stage.issuer.oldest
    stage.issuer.use(stolen)
    old = stage.issuer.mint("read:customers:7", "write:customers:7")
    stage.issuer.use(following)
    stage.issuer.remove(stolen)
    answers: list[tuple[Answer, Answer]] = []

    async def refused() -> bool:
        read = await call(stage.http, "GET", "/customers/7", old)
        write = await call(stage.http, "PUT", "/customers/7", old)
        answers.append((read, write))
        return read.status == write.status != 200  # noqa: PLR2004 - HTTP's own number

    took = await until(refused, "the removed key to be forgotten", _KEYS_KNOWN_WITHIN)
    read, write = answers[-1]
    note = f"forgotten everywhere {took:.1f} s after it was removed"
    return Seen(f"{read.status}, {write.word}", write.milliseconds, (note,))


async def issuer_stopped(stage: Stage) -> Seen:
    """Stop the issuer and wait until Envoy has asked it in vain."""
    failed = await stage.envoy_stat(_GUARD_REFUSED)
    await stage.issuer.stop()

    async def asked_in_vain() -> bool:
        return await stage.envoy_stat(_GUARD_REFUSED) > failed

    try:
        await until(asked_in_vain, "Envoy to miss the issuer", _KEYS_KNOWN_WITHIN)
        token = stage.issuer.mint("read:customers:7", "write:customers:7")
        started = time.monotonic()
        got = await _read_and_write(stage, token)
        return Seen(got, (time.monotonic() - started) * 500)
    finally:
        await stage.issuer.start()


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
    return Seen(
        f"{answer.word} {marked}, tool told {', '.join(told) or 'nobody'}",
        answer.milliseconds,
        notes,
    )


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


async def _read_and_write(stage: Stage, token: str) -> str:
    read = await call(stage.http, "GET", "/customers/7", token)
    write = await call(stage.http, "PUT", "/customers/7", token)
    return f"{read.word} and {write.word}"


REVOCATION: Final = Group(
    "an agent is revoked",
    (
        Scenario("agent-9 revoked", "200, then 401 revoked", revoked),
        Scenario("agent-7 goes on", "200", others_unharmed),
    ),
)

KEYS: Final = Group(
    "keys change; the issuer stops",
    (
        Scenario("key rotated: read and write", "old 200 and 200, new 200 and 200", rotated),
        Scenario("old key removed: read, write", "401, 401 key_unknown", key_removed),
        Scenario("issuer stopped: read and write", "200 and 200", issuer_stopped),
    ),
)

DEATH: Final = Group(
    "the sidecar is killed",
    (
        Scenario("read", "200 marked, tool told nobody", dead_read),
        Scenario("read, forged token", "401 Jwt verification fails", dead_forged_read),
        Scenario("sensitive read", "503", dead_sensitive_read),
        Scenario("write", "503", dead_write),
        Scenario("sidecar back: read, write, record", "200 as agent-7, 200, 200", back),
    ),
)
