"""No guard, no open lane: the same flood on an Envoy whose open lane has none."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.envoy_file import members, read_document
from tests.e2e.flooded import FloodedStage, flooded

GUARDS = ("guard", "strict")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unguarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[FloodedStage]:
    """``envoy/envoy.yaml`` without its guard and what needs it, and all else as it is."""
    document = read_document()
    (filters,) = (value for key, value in members(document) if key == "http_filters")
    filters[:] = [one for one in filters if one["name"] not in GUARDS]
    for routed in [value for key, value in members(document) if key == "typed_per_filter_config"]:
        for name in GUARDS:
            routed.pop(name, None)
    directory = tmp_path_factory.mktemp("bare")
    config = directory / "envoy.json"
    config.write_text(json.dumps(document))
    async with FloodedStage(directory, config) as stage:
        yield stage


async def test_anything_reaches_the_tool_when_the_open_lane_has_no_guard(
    unguarded: FloodedStage,
) -> None:
    """While the sidecar lives, nothing does; once it is dead, forged tokens and garbage do."""
    alive = await flooded(unguarded, "forged", "garbage", seconds=1)
    await unguarded.sidecar.kill()
    dead = await flooded(unguarded, "forged", "garbage", seconds=1)

    assert (set(alive.asked) | set(alive.unasked)) <= {"good"}, alive
    assert min(dead.unasked["forged"], dead.unasked["garbage"]) > 0, dead
