"""The sidecar killed and back, and the sidecar hung: silence is an outage, whatever its cause."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from examples.demo.outages import DEATH
from examples.demo.processes import Stage
from examples.demo.program import until
from tests.e2e.conftest import Ask

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "x-envoy-auth-failure-mode-allowed"


@pytest_asyncio.fixture(loop_scope="module")
async def hung(stage: Stage) -> AsyncIterator[Stage]:
    """A stage whose sidecar takes connections and never answers."""
    stage.sidecar.send(signal.SIGSTOP)
    yield stage
    stage.sidecar.send(signal.SIGCONT)
    await until(lambda: _healthy(stage, 1), "the sidecar to be asked again")


async def test_rows_of_the_demo_hold_when_the_sidecar_dies(stage: Stage) -> None:
    """The demo's last group, in its order: killed, four rows, back."""
    got = [(row.title, (await row.act(stage)).got) for row in DEATH.scenarios]

    assert got == [(row.title, row.expected) for row in DEATH.scenarios]


async def test_silence_is_an_outage_when_the_sidecar_hangs(hung: Stage, ask: Ask) -> None:
    """As when it is dead: a read passes marked, a write is 503, a forged read 401."""
    token = hung.issuer.mint("read:customers:7", "write:customers:7")
    read = await ask("GET", "/customers/7", token)
    write = await ask("PUT", "/customers/7", token)
    forged = await ask("GET", "/customers/7", hung.issuer.mint("read:customers:7", forged=True))

    assert (read.headers[MARK], write.status, forged.status) == (["true"], 503, 401)


async def test_health_check_takes_the_sidecar_out_when_it_hangs(hung: Stage, ask: Ask) -> None:
    """Afterwards no request waits: Envoy does not ask at all."""
    await until(lambda: _healthy(hung, 0), "the health check to fail")
    asked = await hung.envoy_stat("cluster.authz.upstream_rq_total")
    token = hung.issuer.mint("read:customers:7", "write:customers:7")
    read = await ask("GET", "/customers/7", token)
    write = await ask("PUT", "/customers/7", token)

    assert (read.status, write.status) == (200, 503)
    assert await hung.envoy_stat("cluster.authz.upstream_rq_total") == asked


async def _healthy(stage: Stage, members: int) -> bool:
    return await stage.envoy_stat("cluster.authz.membership_healthy") == members
