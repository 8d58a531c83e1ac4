"""The table of bad tokens on the open lane of a real Envoy, with the sidecar dead and alive.

A dead sidecar leaves Envoy alone with a token: its guard checks signature, issuer, audience, expiry
and lifetime, and its filter ``strict`` the form. What they let through that the gate would refuse
stands in the table as it was seen here.
"""

from __future__ import annotations

import pytest
import pytest_asyncio

from examples.demo.processes import ENVOY_PORT, Stage
from tests.bad_tokens import CASES
from tests.bad_tokens_kit import Case, Guard, Maker, good_token, sent_by
from tests.e2e.conftest import Ask
from tests.e2e.minting import minting, signer_of
from tests.gate import Gate

pytestmark = pytest.mark.asyncio(loop_scope="module")

READ = "/customers/7"
URL = f"http://127.0.0.1:{ENVOY_PORT}{READ}"
REFUSED = {400, 401, 403, 431}
STATUSES = {
    Guard.REFUSES: REFUSED,
    Guard.PASSES: {200},
    Guard.LEEWAY: {200, 401},
    Guard.NO_LANE: {503},
}
SENT = [case for case in CASES if case.guard is not Guard.NOT_SENT]
# The demo's issuer has the profile of the plain rows, but for a second of leeway.
PLAIN = [case for case in SENT if case.gate is Gate and case.guard is not Guard.LEEWAY]


@pytest_asyncio.fixture(loop_scope="module")
async def dead(stage: Stage) -> Stage:
    """A stage without its sidecar."""
    if stage.sidecar.running:
        await stage.sidecar.kill()
    return stage


@pytest_asyncio.fixture(loop_scope="module")
async def alive(stage: Stage) -> Stage:
    """A stage with its sidecar."""
    if not stage.sidecar.running:
        await stage.revive()
    return stage


async def status_of(maker: Maker, stage: Stage, ask: Ask) -> int:
    """What Envoy answers; the tool was called if, and only if, that is 200."""
    before = stage.tool.calls
    status = 429
    while status == 429:  # Envoy's limit, which stands before the guard: once more
        sent = sent_by(maker, minting(signer_of(stage.issuer), URL))
        headers = [(name, value.decode()) for name, value in sent.headers]
        answer = await ask("GET", READ + (f"?{sent.query}" if sent.query else ""), headers=headers)
        status = answer.status
    assert stage.tool.calls - before == (status == 200)
    return status


@pytest.mark.parametrize("case", [case for case in PLAIN if case.reason], ids=str)
async def test_open_lane_refuses_token_when_the_sidecar_lives(
    alive: Stage, ask: Ask, case: Case
) -> None:
    """Whatever the guard lets through, the gate behind it does not."""
    assert await status_of(good_token, alive, ask) == 200
    if case.after_good:
        await status_of(case.good, alive, ask)
    assert await status_of(case.bad, alive, ask) in REFUSED


@pytest.mark.parametrize("case", SENT, ids=str)
async def test_envoy_judges_token_as_the_table_says_when_the_sidecar_is_dead(
    dead: Stage, ask: Ask, case: Case
) -> None:
    """What is refused never reaches the tool; what passes is written down as passing."""
    assert await status_of(good_token, dead, ask) == 200
    assert await status_of(case.bad, dead, ask) in STATUSES[case.guard]
