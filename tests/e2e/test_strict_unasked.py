"""Whom ``strict`` looks at: what scopegate has judged is not judged again, all else is.

The tokens are good ones that only scopegate can judge: delegated, for one call, or bound to the
caller's certificate.
"""

from __future__ import annotations

import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
import pytest_asyncio

from examples.demo.program import until
from tests.e2e.mtls import Identity, Workloads
from tests.e2e.own_envoy import Door
from tests.e2e.own_line import Client, Heard, OwnLine, catalogue_of, route

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK: Final = "x-envoy-auth-failure-mode-allowed"
CLAIMED: Final = (("x-authz-decision-id", "1"), (MARK, "false"))
"""What a client may say, as if scopegate had been asked."""
ACT: Final[dict[str, Any]] = {"act": {"sub": "actor-1"}}
ONCE: Final[dict[str, Any]] = {"single_use": True}


@dataclass(frozen=True, slots=True)
class Place:
    """A line whose clients show certificates, and two of these."""

    line: OwnLine
    door: Door
    right: Identity
    other: Identity

    async def read(
        self, *, headers: tuple[tuple[str, str], ...] = (), item: str = "7", **claims: Any
    ) -> Heard:
        """Read with a token of these claims, over the right certificate."""
        token = self.line.issuer.mint("read:items:*", **claims)
        url = self.line.url(f"/items/{item}", self.door)
        return await self.line.call("GET", url, token, by=Client(self.right), headers=headers)


def bound_to(identity: Identity) -> dict[str, Any]:
    return {"cnf": {"x5t#S256": identity.thumbprint}}


@asynccontextmanager
async def standing(factory: pytest.TempPathFactory, name: str) -> AsyncIterator[Place]:
    directory = factory.mktemp(name)
    authority = Workloads(directory)
    gate, right, other = map(authority.workload, ("envoy", "right", "other"))
    door = Door("mtls", gate, authority.file)
    async with OwnLine(directory, catalogue_of(route("items")), door) as line:
        yield Place(line, door, right, other)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alive(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with standing(tmp_path_factory, "alive") as place:
        yield place


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dead(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with standing(tmp_path_factory, "dead") as place:
        await place.line.sidecar.kill()
        yield place


@pytest.mark.parametrize("what", ["plain", "delegated", "for one call", "bound"])
async def test_token_passes_as_the_sidecar_says_when_it_lives(alive: Place, what: str) -> None:
    """On the open lane, all of them: strict adds nothing to a judgement."""
    claims = {"delegated": ACT, "for one call": ONCE, "bound": bound_to(alive.right)}.get(what, {})
    answer = await alive.read(headers=CLAIMED, **claims)

    assert answer.status == 200, answer
    assert MARK not in answer.headers
    assert len(answer.headers["x-agent-id"]) == 1
    assert answer.headers["x-authz-decision-id"] != ["1"]


async def test_token_is_refused_as_the_sidecar_says_when_it_lives(alive: Place) -> None:
    """With its own words, not with strict's."""
    bound = await alive.read(**bound_to(alive.other))
    deep: dict[str, Any] = {}
    for number in range(6):
        deep = {"act": {"sub": f"actor-{number}", **deep}}
    delegated = await alive.read(**deep)

    assert (bound.word, delegated.word) == ("401 binding_refused", "401 delegation_refused")


@pytest.mark.parametrize("what", ["delegated", "for one call", "bound", "bound to another"])
async def test_token_is_refused_when_only_the_dead_sidecar_could_judge_it(
    dead: Place, what: str
) -> None:
    """Whatever the client says; a plain token passes the same way, with Envoy's mark."""
    claims = {
        "delegated": ACT,
        "for one call": ONCE,
        "bound": bound_to(dead.right),
        "bound to another": bound_to(dead.other),
    }[what]
    plain = await dead.read(headers=CLAIMED)
    before = dead.line.tool.calls
    answer = await dead.read(headers=CLAIMED, **claims)

    assert (plain.status, plain.headers[MARK]) == (200, ["true"])
    assert answer.word == "403 RBAC: access denied"
    assert dead.line.tool.calls == before


async def test_claims_reach_neither_log_nor_tool_when_the_guard_leaves_them(dead: Place) -> None:
    """What the guard leaves for strict stays between them."""
    passed = await dead.read(agent_id="passing-agent")
    refused = await dead.read(agent_id="refused-agent", **ACT)
    log = dead.line.envoy.program.out

    async def logged() -> bool:
        done = await dead.line.envoy.stat("http.tools.downstream_rq_completed")
        return len(_lines_of(log.read_text())) == done

    await until(logged, "a line for every call in the access log")
    text = log.read_text()
    denied = [line for line in _lines_of(text) if line["status"] == 403]
    assert (passed.status, refused.status) == (200, 403)
    assert {line["details"] for line in denied} == {"rbac_access_denied_matched_policy[none]"}
    assert not any(word in text for word in ("passing-agent", "refused-agent", "actor-1"))
    assert "passing-agent" not in json.dumps(passed.echo)


async def test_token_is_refused_when_the_sidecar_hangs(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Silence is no judgement either: the check times out, and strict is there."""
    async with standing(tmp_path_factory, "hung") as place:
        place.line.sidecar.send(signal.SIGSTOP)
        try:
            delegated, plain = await place.read(**ACT), await place.read()
        finally:
            place.line.sidecar.send(signal.SIGCONT)

    assert (delegated.word, plain.word) == ("403 RBAC: access denied", "200")


def _lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
