"""``ENGINE=opa``: a real OPA decides, and the rows in which it dies, hangs and comes back."""

from __future__ import annotations

import signal
from typing import Final

from examples.demo.client import call
from examples.demo.processes import Stage
from examples.demo.program import until
from examples.demo.rows import Act, Group, Scenario, Seen

_SKIPPED: Final = "x-authz-skipped"


def _asked(method: str, target: str, scope: str) -> Act:
    async def act(stage: Stage) -> Seen:
        token = stage.issuer.mint(scope)
        answer = await call(stage.http, method, target, token)
        skipped = answer.headers.get(_SKIPPED, [])
        got = f"{answer.word}, without {', '.join(skipped)}" if skipped else answer.word
        return Seen(got, answer.milliseconds)

    return act


_READ: Final = _asked("GET", "/customers/7", "read:customers:7")


async def killed_read(stage: Stage) -> Seen:
    """Give OPA no chance to say good-bye; a good read passes, and says what nobody was asked."""
    await stage.opa.kill()
    return await _READ(stage)


async def hung_read(stage: Stage) -> Seen:
    """A hung OPA keeps its socket and answers nothing: the read still passes in time."""
    await back(stage)
    stage.opa.send(signal.SIGSTOP)
    return await _READ(stage)


async def back(stage: Stage) -> Seen:
    """Start OPA again, or let it go on; nothing else is needed."""
    await stage.revive_opa()

    async def asked_again() -> bool:
        return await stage.sidecar_metric('scopegate_policy_reachable{engine="opa"}') == 1

    took = await until(asked_again, "the sidecar to ask OPA again")
    token = stage.issuer.mint("read:customers:7", "write:customers:7")
    read = await call(stage.http, "GET", "/customers/7", token)
    write = await call(stage.http, "PUT", "/customers/7", token)
    marked = "marked" if _SKIPPED in read.headers else "unmarked"
    note = f"asked again {took * 1000:.0f} ms after it was back"
    return Seen(f"{read.word} {marked}, {write.word}", read.milliseconds, (note,))


ENGINE: Final = Group(
    "OPA is killed, then hangs",
    (
        Scenario("OPA killed: read", "200, without policy", killed_read),
        Scenario(
            "read, token for another customer",
            "403 insufficient_scope",
            _asked("GET", "/customers/7", "read:customers:8"),
        ),
        Scenario(
            "sensitive read",
            "503 policy_unavailable",
            _asked("GET", "/records/5", "read:records:5"),
        ),
        Scenario(
            "write",
            "503 policy_unavailable",
            _asked("PUT", "/customers/7", "write:customers:7"),
        ),
        Scenario("OPA hangs: read", "200, without policy", hung_read),
        Scenario(
            "write",
            "503 policy_unavailable",
            _asked("PUT", "/customers/7", "write:customers:7"),
        ),
        Scenario("OPA back: read, write", "200 unmarked, 200", back),
    ),
)
