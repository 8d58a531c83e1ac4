"""800 connections of requests that may not pass, while the sidecar lives, hangs and is dead."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from examples.demo.program import until
from tests.e2e.bad_requests import KINDS
from tests.e2e.flooded import Flooded, FloodedStage, flooded

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECONDS = 2.0
LEAST = 20
"""Of each kind: so many have to get past the limit, else nothing behind it was tried."""
LANE_TIMEOUT_MS = 2000
EXPLICIT = {"200", "429", "503"}
"""What a good call may get in a flood: it passes, or it is told to come again."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole_stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FloodedStage]:
    async with FloodedStage(tmp_path_factory.mktemp("flood")) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def stage(whole_stage: FloodedStage) -> AsyncIterator[FloodedStage]:
    """Healthy and with the revoked agent on its list, whatever was done to it before."""
    await until(whole_stage.lets_good_calls_pass, "good calls to pass before the flood")
    await whole_stage.revoke()
    yield whole_stage
    whole_stage.sidecar.send(signal.SIGCONT)


def refused_at_the_door(flood: Flooded, *kinds: str) -> None:
    """None of these kinds reached the tool, and not because the limit had taken them all."""
    for kind in kinds:
        past_the_limit = sum(flood.got[kind][status] for status in ("401", "403", "431"))

        assert past_the_limit >= LEAST, flood
        assert (flood.asked[kind], flood.unasked[kind]) == (0, 0), flood


def nobody_passed_unasked(flood: Flooded) -> None:
    """Neither a good call nor a bad one: not by what the tool saw, nor by what Envoy counted."""
    assert flood.unasked.total() == 0, flood
    assert set(flood.envoy.values()) == {0}, flood
    assert set(flood.good) <= EXPLICIT, flood


async def healed(stage: FloodedStage) -> None:
    """Good calls pass within seconds, with the sidecar's consent."""
    await until(stage.lets_good_calls_pass, "good calls to pass again", 5)


# --- the sidecar lives ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_reaches_the_tool_when_the_sidecar_lives(
    stage: FloodedStage, kind: str
) -> None:
    """None of the kind, by no lane; good calls meanwhile pass or are refused in words."""
    flood = await flooded(stage, kind, seconds=SECONDS)

    refused_at_the_door(flood, kind)
    nobody_passed_unasked(flood)
    assert flood.good["200"] > 0, flood
    assert flood.slowest_ms < LANE_TIMEOUT_MS, flood
    await healed(stage)


async def test_nothing_passes_unasked_when_the_sidecar_stumbles(stage: FloodedStage) -> None:
    """It gets no CPU for 0.7 s, again and again: who waits is answered late, and not by silence."""
    stumbling = asyncio.create_task(stumble(stage))
    try:
        flood = await flooded(stage, "revoked", "unscoped", seconds=SECONDS)
    finally:
        stumbling.cancel()
        await asyncio.gather(stumbling, return_exceptions=True)
        stage.sidecar.send(signal.SIGCONT)

    refused_at_the_door(flood, "revoked", "unscoped")
    nobody_passed_unasked(flood)
    await healed(stage)


async def stumble(stage: FloodedStage) -> None:
    """Stop and go, each for longer than a decision may take, and not as long as Envoy waits."""
    while True:
        stage.sidecar.send(signal.SIGSTOP)
        await asyncio.sleep(0.7)
        stage.sidecar.send(signal.SIGCONT)
        await asyncio.sleep(0.7)


# --- it hangs, it is dead ------------------------------------------------------------------------


def only_by_the_open_lane(flood: Flooded) -> None:
    """What docs say is given up: revoked and unscoped tokens pass, each with Envoy's mark."""
    refused_at_the_door(flood, "forged", "garbage")
    assert (flood.asked["revoked"], flood.asked["unscoped"]) == (0, 0), flood
    assert flood.unasked["revoked"] > 0, flood
    assert flood.unasked["unscoped"] > 0, flood
    assert set(flood.good) <= EXPLICIT, flood


async def test_only_good_signatures_reach_the_tool_when_the_sidecar_hangs(
    stage: FloodedStage,
) -> None:
    """From the moment on in which it hangs, and once the health check has noticed; then healed."""

    async def hang() -> None:
        stage.sidecar.send(signal.SIGSTOP)

    try:
        at_once = await flooded(stage, *KINDS, seconds=SECONDS, act=hang)
        await until(lambda: stage.has_healthy(0), "the health check to fail")
        noticed = await flooded(stage, *KINDS, seconds=SECONDS)
    finally:
        stage.sidecar.send(signal.SIGCONT)

    only_by_the_open_lane(at_once)
    only_by_the_open_lane(noticed)
    assert at_once.slowest_ms < LANE_TIMEOUT_MS + 1000, at_once
    assert noticed.slowest_ms < LANE_TIMEOUT_MS, noticed
    await healed(stage)
    assert await stage.refuses_the_revoked()


async def test_only_good_signatures_reach_the_tool_when_the_sidecar_is_dead(
    stage: FloodedStage,
) -> None:
    """From its last moment on, and once the health check has noticed; then healed."""
    try:
        at_once = await flooded(stage, *KINDS, seconds=SECONDS, act=stage.sidecar.kill)
        await until(lambda: stage.has_healthy(0), "the health check to fail")
        noticed = await flooded(stage, *KINDS, seconds=SECONDS)
    finally:
        await stage.sidecar.kill()
        await stage.revive()

    only_by_the_open_lane(at_once)
    only_by_the_open_lane(noticed)
    assert max(at_once.slowest_ms, noticed.slowest_ms) < LANE_TIMEOUT_MS
    await healed(stage)
    assert await stage.refuses_the_revoked()
