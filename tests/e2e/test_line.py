"""The whole line, alive: every row of the demo, and what Envoy tells of it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from examples.demo.outages import REVOCATION
from examples.demo.processes import ENVOY_PORT, Stage
from examples.demo.program import until
from examples.demo.rotation import KEYS
from examples.demo.rows import Scenario
from examples.demo.scenarios import CALLS, PAYMENTS, TOKENS
from tests.e2e.conftest import Ask

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = [
    *CALLS.scenarios, *PAYMENTS.scenarios, *TOKENS.scenarios,
    *REVOCATION.scenarios, *KEYS.scenarios,
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.title)
async def test_row_of_the_demo_holds(stage: Stage, row: Scenario) -> None:
    """Each scenario of the demo, by itself."""
    seen = await row.act(stage)

    assert seen.got == row.expected


async def test_mcp_list_passes_with_its_scope(stage: Stage, ask: Ask) -> None:
    """``tools/list`` is an operation of its own."""
    body: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    answer = await ask("POST", "/mcp", stage.issuer.mint("read:payments:tools"), body=body)

    assert answer.status == 200
    assert answer.headers["x-agent-id"] == ["agent-7"]


async def test_single_use_token_is_won_once_when_twenty_calls_race(stage: Stage, ask: Ask) -> None:
    """Exactly one of them."""
    token = stage.issuer.mint("write:exports:q3", single_use=True)
    answers = await asyncio.gather(*(ask("POST", "/exports/q3", token) for _ in range(20)))

    assert sorted(answer.word for answer in answers) == ["200"] + ["401 replayed"] * 19


async def test_envoy_says_nothing_of_itself(stage: Stage) -> None:
    """No ``server: envoy`` and no timings in what a client gets."""
    headers = {"Authorization": f"Bearer {stage.issuer.mint('read:customers:7')}"}
    url = f"http://127.0.0.1:{ENVOY_PORT}/customers/7"
    async with stage.http.get(url, headers=headers) as answer:
        told = [name for name in answer.headers if name.lower().startswith("x-envoy-")]

        assert (answer.status, told) == (200, [])
        assert answer.headers["server"] != "envoy"


async def test_access_log_tells_the_decision_and_no_token(stage: Stage, ask: Ask) -> None:
    """Each line can be joined with scopegate's record; no line holds a token or a query."""
    good = stage.issuer.mint("read:customers:7", "write:customers:7")
    allowed = await ask("GET", "/customers/7?note=in-the-query", good)
    refused = await ask("PUT", "/customers/8", good)
    said = json.loads(refused.body)["decision_id"]
    ids = {said, allowed.headers["x-authz-decision-id"][0]}

    async def logged() -> bool:
        return all(one in stage.envoy.out.read_text() for one in ids)

    await until(logged, "both lines in the access log")
    text = stage.envoy.out.read_text()
    (line,) = [json.loads(one) for one in text.splitlines() if said in one]
    assert (line["status"], line["reason"], line["route"]) == (
        403,
        "insufficient_scope",
        "customers",
    )
    assert line["details"] == "ext_authz_denied"
    assert good.rpartition(".")[2] not in text
    assert "in-the-query" not in text


@pytest.mark.parametrize("path", ["/customers/{token}", "/nowhere/{token}"])
async def test_access_log_holds_no_token_when_it_is_in_the_path(
    stage: Stage, ask: Ask, path: str
) -> None:
    """Neither on a route nor off it; the line is there all the same."""
    lines = len(stage.envoy.out.read_text().splitlines())
    stray = stage.issuer.mint("read:customers:7")
    await ask("GET", path.format(token=stray), stage.issuer.mint("read:customers:7"))

    async def logged() -> bool:
        return len(stage.envoy.out.read_text().splitlines()) > lines

    await until(logged, "another line in the access log")
    assert stray not in stage.envoy.out.read_text()
