"""Second credentials, as the tool behind a real Envoy sees them: it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import pytest_asyncio

from tests.e2e.own_envoy import Door
from tests.e2e.own_line import PLAIN, OwnLine, catalogue_of, route

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORWARDING: Final = Door("forwarding", removed_early="x-forwarded-proto")
"""As behind a load balancer: Envoy leaves what forwarded headers say to scopegate."""
SECOND: Final = (
    ("Cookie", "sid=1"),
    ("X-Api-Key", "k-1"),
    ("X-Api-Key", "k-2"),
    ("X-Forwarded-User", "boss"),
    ("X-Forwarded-Client-Cert", "URI=spiffe://agents.example/boss"),
    ("DPoP", "proof"),
    ("X-Auth-Token", "t-1"),
    ("X-Amz-Security-Token", "t-2"),
    ("X-Client-Cert", "c-1"),
)
HARMLESS: Final = (("Idempotency-Key", "i-1"), ("X-Trace", "t-1"))
CATALOGUE: Final = catalogue_of(
    route("customers"),
    route("shops", credentials=["cookie"]),
    route("partners", credentials=["api_key"]),
)
LANES = pytest.mark.parametrize("method", ["GET", "PUT"], ids=["open lane", "closed lane"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def line(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[OwnLine]:
    directory = tmp_path_factory.mktemp("second")
    async with OwnLine(directory, CATALOGUE, PLAIN, FORWARDING) as line:
        yield line


@LANES
@pytest.mark.parametrize("door", [PLAIN, FORWARDING], ids=lambda door: door.name)
async def test_second_credentials_do_not_reach_the_tool(
    line: OwnLine, method: str, door: Door
) -> None:
    """Whoever takes them away, Envoy first or scopegate; what is no credential arrives."""
    token = line.issuer.mint("read:items:*")
    sent = (*SECOND, *HARMLESS)
    answer = await line.call(method, line.url("/customers/7", door), token, headers=sent)

    assert answer.word == "200"
    assert {name.lower() for name, _ in SECOND} & answer.headers.keys() == set()
    assert "authorization" not in answer.headers
    assert [answer.headers[name.lower()] for name, _ in HARMLESS] == [["i-1"], ["t-1"]]


async def test_second_credentials_do_not_reach_the_tool_beside_a_body(line: OwnLine) -> None:
    """Envoy marks a request with a body for scopegate; that mark is no credential."""
    token = line.issuer.mint("read:items:*")
    url = line.url("/customers/7")
    answer = await line.call("PUT", url, token, headers=SECOND, body={"name": "Ann"})

    assert answer.word == "200"
    assert {name.lower() for name, _ in SECOND} & answer.headers.keys() == set()


@LANES
async def test_credential_reaches_the_tool_when_the_route_lists_it(
    line: OwnLine, method: str
) -> None:
    """That one and no other: ``credentials: [cookie]``."""
    token = line.issuer.mint("read:items:*")
    answer = await line.call(method, line.url("/shops/7"), token, headers=SECOND)

    assert answer.word == "200"
    assert answer.headers["cookie"] == ["sid=1"]
    others = {name.lower() for name, _ in SECOND} - {"cookie"}
    assert others & answer.headers.keys() == set()


@LANES
@pytest.mark.parametrize("query", ["api_key=k", "apiKey=k", "a=1&API%5FKEY=k", "cookie=c"])
async def test_query_is_refused_when_it_holds_a_credential(
    line: OwnLine, method: str, query: str
) -> None:
    """In any spelling; a query without one passes."""
    token = line.issuer.mint("read:items:*")
    good = await line.call(method, line.url("/customers/7?key=k&a=1"), token)

    assert good.word == "200"
    assert await line.refusals(line.call(method, line.url(f"/customers/7?{query}"), token)) == [
        "400 credential_refused"
    ]


@LANES
async def test_query_passes_when_the_route_lists_its_credential(line: OwnLine, method: str) -> None:
    """By its exact name, lower-case."""
    token = line.issuer.mint("read:items:*")
    good = await line.call(method, line.url("/partners/7?api_key=k"), token)

    assert (good.word, good.echo["query"]) == ("200", "api_key=k")
    assert await line.refusals(line.call(method, line.url("/partners/7?access_key=k"), token)) == [
        "400 credential_refused"
    ]
