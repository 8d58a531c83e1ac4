"""What a client can make of a dead sidecar: plain reads with a good token, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from examples.demo.processes import Stage
from sidecar.core.access import _METHOD_OVERRIDES
from tests.e2e.conftest import Ask

pytestmark = pytest.mark.asyncio(loop_scope="module")

MARK = "x-envoy-auth-failure-mode-allowed"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dead(stage: Stage) -> Stage:
    """A stage whose sidecar was killed, and stays so."""
    await stage.sidecar.kill()
    return stage


async def test_client_cannot_hide_or_forge_the_mark_when_the_sidecar_is_dead(
    dead: Stage, ask: Ask
) -> None:
    """The tool sees one mark, Envoy's."""
    token = dead.issuer.mint("read:customers:7")
    answer = await ask("GET", "/customers/7", token, headers=[(MARK, "false")])

    assert answer.headers[MARK] == ["true"]


async def test_tool_is_told_nothing_when_the_sidecar_is_dead(dead: Stage, ask: Ask) -> None:
    """No identity that a client claims, no decision, no token."""
    token = dead.issuer.mint("read:customers:7")
    claimed = [("X-Agent-Id", "boss"), ("X-Agent-Tenant", "globex"), ("X-Authz-Decision-Id", "1")]
    answer = await ask("GET", "/customers/7", token, headers=claimed)

    assert answer.status == 200
    told = [name for name in answer.headers if name.startswith(("x-agent", "x-authz", "authori"))]
    assert told == []


@pytest.mark.parametrize(
    "claims",
    [
        {"forged": True}, {"lifetime": -60}, {"lifetime": 2000}, {"aud": "billing"},
        {"iss": "https://elsewhere.example"},
    ],
    ids=["forged", "expired", "too long", "other audience", "other issuer"],
)  # fmt: skip
async def test_guard_refuses_a_bad_token_when_the_sidecar_is_dead(
    dead: Stage, ask: Ask, claims: dict[str, Any]
) -> None:
    """Signature, expiry, lifetime, audience and issuer hold without us."""
    before = dead.tool.calls
    for target in ("/customers/7", "/search"):
        answer = await ask("GET", target, dead.issuer.mint("read:customers:7", **claims))

        assert answer.status in {401, 403}
    assert dead.tool.calls == before


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("PUT", "/customers/7"),
        ("DELETE", "/customers/7"),
        ("OPTIONS", "/customers/7"),
        ("POST", "/search"),
        ("GET", "/records/5"),
        ("POST", "/exports/q3"),
        ("GET", "/exports/q3"),
        ("POST", "/mcp"),
        ("GET", "/customers/7?_method=DELETE"),
        ("GET", "/search?%5Fmethod=DELETE"),
        ("GET", "/search?query=%7Bpay%7D"),
        *(("GET", f"/search?{name}=DELETE") for name in sorted(_METHOD_OVERRIDES)),
        *(("GET", f"/customers/7?a=1;{name.title()}=x") for name in sorted(_METHOD_OVERRIDES)),
        *(("GET", f"/customers/7;{name}=DELETE") for name in sorted(_METHOD_OVERRIDES)),
        ("GET", "/customers/7;%5fm%65thod=DELETE"),
        ("GET", "/customers/graphql"),
        ("GET", "/customers/%67raphql"),
        ("GET", "/search?access_token=stray"),
        ("GET", "/search?a=1&Access_Token=stray"),
        ("GET", "/search?access%5Ftoken=stray"),
    ],
)
async def test_nothing_but_plain_reads_passes_when_the_sidecar_is_dead(
    dead: Stage, ask: Ask, method: str, target: str
) -> None:
    """Writes, sensitive reads, single use, MCP, and reads that may be writes in disguise."""
    before = dead.tool.calls
    token = dead.issuer.mint("read:customers:7", "write:customers:7", "read:records:5")
    answer = await ask(method, target, token)

    assert (answer.status, dead.tool.calls) == (503, before)


async def test_upgrade_is_refused_when_the_sidecar_is_dead(dead: Stage, ask: Ask) -> None:
    """The open lane is no tunnel."""
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    token = dead.issuer.mint("read:customers:7")
    answer = await ask("GET", "/customers/7", token, headers=upgrade)

    assert answer.status == 403


async def test_open_passes_are_counted_apart_when_the_sidecar_is_dead(
    dead: Stage, ask: Ask
) -> None:
    """Each lane has counters of its own to watch."""
    names = ("open.failure_mode_allowed", "closed.error", "closed.failure_mode_allowed")
    before = [await dead.envoy_stat(f"http.tools.ext_authz.{name}") for name in names]
    token = dead.issuer.mint("read:customers:7", "write:customers:7")
    await ask("GET", "/customers/7", token)
    await ask("PUT", "/customers/7", token)
    after = [await dead.envoy_stat(f"http.tools.ext_authz.{name}") for name in names]

    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 0]
