"""A tool's session is its agent's, through a real Envoy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.e2e.own_envoy import Door
from tests.e2e.own_line import PLAIN, Heard, OwnLine, catalogue_of, route

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOSE: Final = Door("loose", underscores="ALLOW")
"""It lets header names with underscores in."""
REFUSED: Final = "403 session_refused"
PAYMENTS: Final = {
    "name": "payments",
    "protocol": "mcp",
    "path": "/mcp",
    "audience": "tools",
    "server": "payments",
}
OPERATIONS: Final = {"tools/list": {"scope": "read:payments:tools"}}
CATALOGUE: Final = catalogue_of(
    PAYMENTS,
    {**PAYMENTS, "name": "free", "path": "/free", "session_header": "off"},
    route("carts", session_header="x-cart"),
    servers={"payments": {"methods": OPERATIONS}},
)
LIST: Final = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnLine]:
    async with OwnLine(tmp_path_factory.mktemp("sessions"), CATALOGUE, PLAIN, LOOSE) as line:
        yield line


def mint(line: OwnLine, agent: str, *scopes: str, **claims: Any) -> str:
    """A new token of an agent."""
    scopes = scopes or ("read:payments:tools", "read:items:*")
    return line.issuer.mint(*scopes, sub=agent, agent_id=agent, **claims)


async def ask(
    line: OwnLine, token: str, *sessions: str, name: str = "Mcp-Session-Id", door: Door = PLAIN,
    path: str = "/mcp",
) -> Heard:  # fmt: skip
    """``tools/list`` in these sessions."""
    headers = [(name, session) for session in sessions]
    return await line.call("POST", line.url(path, door), token, headers=headers, body=LIST)


async def test_session_is_refused_to_another_agent_and_the_first_goes_on(line: OwnLine) -> None:
    """With a new token, too; the other agent has a session of its own."""
    first = await ask(line, mint(line, "agent-a"), "s-1")
    others = [ask(line, mint(line, "agent-b"), "s-1") for _ in range(2)]

    assert first.word == "200"
    assert first.headers["mcp-session-id"] == ["s-1"]
    assert await line.refusals(*others) == [REFUSED] * 2
    assert (await ask(line, mint(line, "agent-a"), "s-1")).word == "200"
    assert (await ask(line, mint(line, "agent-b"), "s-2")).word == "200"


async def test_session_is_refused_to_the_same_name_in_another_tenant(line: OwnLine) -> None:
    """It is pinned to issuer, tenant, subject and agent, not to a name."""
    own, other = mint(line, "agent-a"), mint(line, "agent-a", tenant="globex")

    assert (await ask(line, own, "of-acme")).word == "200"
    assert await line.refusals(ask(line, other, "of-acme")) == [REFUSED]
    assert (await ask(line, other, "of-globex")).word == "200"


async def test_refused_call_takes_no_session(line: OwnLine) -> None:
    """Who may not call the tool cannot lock others out of a session either."""
    poor = mint(line, "agent-b", "read:items:*")

    assert await line.refusals(ask(line, poor, "s-3")) == ["403 insufficient_scope"]
    assert (await ask(line, mint(line, "agent-a"), "s-3")).word == "200"


@pytest.mark.parametrize(
    "sessions",
    [("s-4", "s-5"), ("s-4", "s-4"), ("s-4,s-5",), ("s-4, s-5",), ("",), ("s 4",), ("s-ü",)],
    ids=["two", "twice", "comma", "list", "empty", "space", "not ASCII"],
)
async def test_call_is_refused_when_it_names_no_single_session(
    line: OwnLine, sessions: tuple[str, ...]
) -> None:
    """Envoy passes all of these on, as they are: a tool could read any of several."""
    token = mint(line, "agent-a")

    assert (await ask(line, token, "s-4")).word == "200"
    assert await line.refusals(ask(line, token, *sessions)) == [REFUSED]


@pytest.mark.parametrize("name", ["mcp_session_id", "Mcp-Session_Id"])
async def test_session_with_underscores_is_refused_by_envoy_and_else_by_the_sidecar(
    line: OwnLine, name: str
) -> None:
    """Envoy refuses the header's name unasked; where it lets it in, scopegate reads it."""
    counter = "http1.requests_rejected_with_underscores_in_headers"
    before = await line.envoy.stat(counter)
    token = mint(line, "agent-a")
    asking = partial(ask, line, token, "s-6")

    assert (await ask(line, token, "s-6", door=LOOSE)).word == "200"
    refused, *_ = await line.refusals(asking(name=name))
    assert refused.startswith("400")
    assert await line.envoy.stat(counter) == before + 1
    assert (
        await line.refusals(
            asking(name=name, door=LOOSE),
            ask(line, mint(line, "agent-b"), "s-6", name=name, door=LOOSE),
        )
        == [REFUSED] * 2
    )


async def test_session_of_another_header_is_pinned_when_the_route_names_it(line: OwnLine) -> None:
    """On an HTTP route that has a header for it."""
    url, cart = line.url("/carts/7"), [("X-Cart", "c-1")]
    first = await line.call("GET", url, mint(line, "agent-a"), headers=cart)
    other = line.call("GET", url, mint(line, "agent-b"), headers=cart)

    assert first.word == "200"
    assert await line.refusals(other) == [REFUSED]
    assert (await line.call("GET", url, mint(line, "agent-b"))).word == "200"


async def test_session_is_anybodys_when_the_route_says_off(line: OwnLine) -> None:
    """The control: the pin is what refuses."""
    answers = [await ask(line, mint(line, one), "s-7", path="/free") for one in ("a", "b")]

    assert [answer.word for answer in answers] == ["200", "200"]
