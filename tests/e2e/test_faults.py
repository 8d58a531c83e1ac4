"""Each part killed, and stopped, under 200 calls a second: every call goes as the stance says.

The short form of what ``make soak`` prints into ``docs/outages.md``. A part that is missing fails
with its name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.faults import FAULTS, Fault
from tests.faults.files import lane_timeout_s
from tests.faults.load import RATE
from tests.faults.play import HEAL_LIMIT_S, Calm, Lengths, Run, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = Lengths(calm=3, down=2.5, around=1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """Everything up, and calls going out until the last test."""
    async with running(tmp_path_factory.mktemp("f"), SHORT) as run:
        yield run


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def calm(run: Run) -> Calm:
    """What was measured before anything was hurt; every test waits for it."""
    return await run.calm()


async def test_calls_are_quick_when_all_is_well(calm: Calm) -> None:
    """So many a second are answered, 99 of 100 in less time than Envoy grants a check."""
    assert calm.calls > 0.9 * RATE * SHORT.calm
    assert calm.p99_ms < lane_timeout_s() * 1000


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
async def test_calls_go_as_the_stance_says_when_a_part_is_hurt(
    run: Run, calm: Calm, fault: Fault
) -> None:
    """Before, during and after: marks and refusals as computed from the table, and nothing else.

    Nothing bad reaches the tool but what is given up while the sidecar is dead, no write passes
    that policy, deny list and ledger did not all allow, every call is answered in time, and all is
    well again soon after the part is back.
    """
    played = await run.play(fault)

    assert played.wrong == []
    assert played.healing_s < HEAL_LIMIT_S
    assert calm.calls
