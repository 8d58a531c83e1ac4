"""A flood: Envoy refuses what the sidecar cannot answer in time, and lets nothing pass unasked."""

from __future__ import annotations

import asyncio

import pytest

from examples.demo.outages import revoked
from examples.demo.processes import Stage
from examples.demo.program import until
from tests.e2e.conftest import Ask
from tests.e2e.flood import flood

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONNECTIONS, STREAMS = 48, 32
COUNTERS = (
    "limit.http_local_rate_limit.rate_limited",
    "cluster.authz.upstream_rq_timeout",
    "http.tools.ext_authz.open.failure_mode_allowed",
)


async def test_nothing_passes_unasked_when_envoy_is_flooded(stage: Stage, ask: Ask) -> None:
    """Neither a revoked agent nor a missing scope, and afterwards good calls pass again."""
    await revoked(stage)
    tokens = (
        stage.issuer.mint("read:customers:7", agent_id="agent-9", sub="agent-9"),
        stage.issuer.mint("read:customers:8"),
    )
    reached = stage.tool.calls
    before = [await stage.envoy_stat(name) for name in COUNTERS]
    flooding = asyncio.create_task(
        flood("PUT", "/customers/7", connections=CONNECTIONS, streams=STREAMS)
    )
    seen = await asyncio.gather(*(_statuses_during(flooding, ask, token) for token in tokens))
    after = [await stage.envoy_stat(name) for name in COUNTERS]
    limited, timed_out, unasked = (new - old for new, old in zip(after, before, strict=True))

    assert stage.tool.calls == reached, seen
    assert (timed_out, unasked) == (0, 0)
    assert limited > CONNECTIONS * STREAMS / 2
    assert set().union(*seen) <= {401, 403, 429}

    good = stage.issuer.mint("read:customers:7")

    async def passes() -> bool:
        return (await ask("GET", "/customers/7", good)).status == 200

    await until(passes, "a good call to pass again")


async def _statuses_during(flooding: asyncio.Task[None], ask: Ask, token: str) -> set[int]:
    """What reads with this token got, one after the other, until the flood was over."""
    statuses: set[int] = set()
    while not flooding.done():
        statuses.add((await ask("GET", "/customers/7", token)).status)
    await flooding
    return statuses
