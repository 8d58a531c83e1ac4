"""The stage of a flood: a tool that knows what kind reached it, and what good calls get.

The tool's own count is the measure, whatever Envoy and the sidecar say of themselves.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aiohttp import web

from examples.demo.client import call
from examples.demo.issuer import ISSUER, TENANT
from examples.demo.processes import TOOL_PORT, Stage
from examples.demo.program import Program, program, until
from examples.demo.tool import Tool
from tests.e2e.bad_requests import KIND, REVOKED_AGENT, many
from tests.e2e.flood import Crowd

MARK: Final = "x-envoy-auth-failure-mode-allowed"
CONNECTIONS: Final = 800
"""At once, of which Envoy takes 250 and cuts off the others, which try again."""

_GETS: Final = 4
_PAUSE: Final = 0.02
_LIMITED: Final = "limit.http_local_rate_limit.rate_limited"
_UNASKED: Final = (
    "http.tools.ext_authz.open.failure_mode_allowed",
    "http.tools.ext_authz.open.error",
    "http.tools.ext_authz.closed.failure_mode_allowed",
    "cluster.authz.upstream_rq_timeout",
)


class CountingTool(Tool):
    """The demo's tool, which also counts each kind of request by itself."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.asked: Counter[str] = Counter()
        """Calls by kind that came without Envoy's mark: the sidecar let them pass."""
        self.unasked: Counter[str] = Counter()
        """Calls by kind that came with it: the open lane did."""

    async def _http(self, request: web.Request) -> web.Response:
        marked = request.headers.getall(MARK, [])
        count = self.unasked if marked == ["true"] else self.asked
        count[request.headers.get(KIND, "good")] += 1
        return await super()._http(request)


class FloodedStage(Stage):
    """A stage with a tool that tells the kinds apart."""

    def __init__(self, directory: Path, envoy_config: Path | None = None) -> None:
        """``envoy_config`` is for an Envoy that is not as ``envoy/envoy.yaml`` says."""
        super().__init__(directory)
        self.counting = CountingTool(TOOL_PORT)
        self.tool = self.counting
        if envoy_config is not None:
            self.envoy = Program(
                directory, "envoy", "--config-path", str(envoy_config), "--disable-hot-restart",
                "--concurrency", "1", "--log-level", "warning",
            )  # fmt: skip

    async def revoke(self) -> None:
        """Have ``REVOKED_AGENT`` on the deny list, by the operator's command."""
        arguments = ("--socket", "admin.sock", "--issuer", ISSUER, "--tenant", TENANT)
        command = await asyncio.create_subprocess_exec(
            program("scopegate"), "deny", "add", *arguments, "--agent", REVOKED_AGENT,
            "--for", "600", cwd=self.directory, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert await command.wait() == 0
        await until(self.refuses_the_revoked, "the revocation to hold")

    async def refuses_the_revoked(self) -> bool:
        """Whether the revoked agent is told so."""
        token = self.issuer.mint("read:customers:7", agent_id=REVOKED_AGENT, sub=REVOKED_AGENT)
        return (await call(self.http, "GET", "/customers/7", token)).word == "401 revoked"

    async def lets_good_calls_pass(self) -> bool:
        """Whether a good call passes, and not because nobody was asked."""
        good = self.issuer.mint("read:customers:7")
        answer = await call(self.http, "GET", "/customers/7", good)
        return answer.status == 200 and MARK not in answer.headers

    async def has_healthy(self, sidecars: int) -> bool:
        """Whether Envoy's health check finds so many."""
        return await self.envoy_stat("cluster.authz.membership_healthy") == sidecars


@dataclass(frozen=True, slots=True)
class Flooded:
    """What came of a flood."""

    got: dict[str, Counter[str]]
    """Status to how many, by kind: as the attackers saw it."""
    asked: Counter[str]
    """What the tool got with the sidecar's consent, by kind."""
    unasked: Counter[str]
    """What the tool got by the open lane, by kind."""
    good: Counter[str]
    """What a good client got meanwhile, one call after the other."""
    slowest_ms: float
    """Of the good client's calls."""
    envoy: dict[str, int] = field(default_factory=dict)
    """By how much Envoy's counters of what passes unasked have moved."""


async def flooded(
    stage: FloodedStage,
    *kinds: str,
    seconds: float,
    act: Callable[[], Awaitable[None]] | None = None,
) -> Flooded:
    """Flood the stage with 800 connections, in equal parts of ``kinds``; ``act`` in the midst."""
    requests = many(stage.issuer, kinds, CONNECTIONS // len(kinds))
    before = {name: await stage.envoy_stat(name) for name in _UNASKED}
    limited = await stage.envoy_stat(_LIMITED)
    tool = stage.counting
    tool.asked.clear()
    tool.unasked.clear()

    async def at_its_height() -> bool:
        return await stage.envoy_stat(_LIMITED) > limited

    good: Counter[str] = Counter()
    async with Crowd(requests, gets=_GETS, seconds=seconds) as crowd:
        await call(stage.http, "GET", "/customers/7")  # its connection is there before theirs
        await crowd.begin()
        results = asyncio.create_task(crowd.results())
        calling = asyncio.create_task(_good_calls(stage, results, good))
        await until(at_its_height, "the flood to be refused in part")
        if act is not None:
            await act()
        got, slowest = await results, await calling
    after = {name: await stage.envoy_stat(name) for name in _UNASKED}
    moved = {name: after[name] - before[name] for name in _UNASKED}
    return Flooded(got, +tool.asked, +tool.unasked, good, slowest, moved)


async def _good_calls(
    stage: Stage, flood: asyncio.Task[dict[str, Counter[str]]], good: Counter[str]
) -> float:
    token = stage.issuer.mint("read:customers:7")
    slowest = 0.0
    while not flood.done():
        answer = await call(stage.http, "GET", "/customers/7", token)
        good[str(answer.status)] += 1
        slowest = max(slowest, answer.milliseconds)
        await asyncio.sleep(_PAUSE)
    return slowest
