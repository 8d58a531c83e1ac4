"""The JWKS client over time: when it asks, what it costs, and what the answers change."""

from __future__ import annotations

import asyncio

import pytest

from tests.fakes_keys import jwks
from tests.jwks_client import at, client_of
from tests.jwks_server import JwksServer


async def test_refresh_costs_no_document_when_nothing_changed() -> None:
    """The ETag goes back to the issuer, its 304 keeps the ring and renews its age."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        key = await client.find()
        client.time.pass_by(0.5)
        assert client.status.age_s == 0.5
        await client.time.advance(60)

        assert server.not_modified == 1
        assert (client.status.fetches, client.status.not_modified) == (2, 1)
        assert client.status.age_s == 0
        assert await client.find() is key


async def test_refresh_takes_the_document_when_there_is_no_etag() -> None:
    """An issuer without ETags is refreshed as well."""
    async with JwksServer(jwks("a")) as server:
        server.etags = False
        async with client_of(at(server)) as client:
            server.document = jwks("b")
            await client.time.advance(60)

            assert "If-None-Match" not in server.requests[1]
            assert await client.find("a") is None
            assert await client.find("b") is not None


@pytest.mark.parametrize(
    ("header", "period"),
    [
        ("", 60),
        ("max-age=5", 5),
        ("public, MAX-AGE=5, must-revalidate", 5),
        ('max-age="5"', 5),
        ("max-age=1", 1),
        ("max-age=61", 60),
        ("max-age=99999999999999999999", 60),
        ("max-age=0", 60),
        ("max-age=-1", 60),
        ("max-age=soon", 60),
        ("s-maxage=5", 60),
        ("x-max-age=5", 60),
        ("no-store, max-age=5", 60),
        ("no-cache", 60),
    ],
)
async def test_refresh_comes_when_the_issuer_says_but_within_our_limit(
    header: str, period: float
) -> None:
    """A shorter ``max-age`` is followed; nothing makes us ask later, or without a pause."""
    async with JwksServer(jwks("a")) as server:
        server.headers = {"Cache-Control": header} if header else {}
        async with client_of(at(server)) as client:
            assert client.time.slept == [period]


@pytest.mark.parametrize(("max_age", "sleep"), [(60, 54), (10, 9), (1, 1)])
async def test_refresh_is_spread_towards_sooner(max_age: int, sleep: float) -> None:
    """Chance brings a refresh forward by a tenth at most, never back, and never below a second."""
    async with JwksServer(jwks("a")) as server:
        server.headers = {"Cache-Control": f"max-age={max_age}"}
        async with client_of(at(server), random=0.0) as client:
            assert client.time.slept == [sleep]


async def test_refresh_backs_off_when_it_fails() -> None:
    """Failures are repeated soon, then later, at most a cool-down apart; success ends that."""
    async with JwksServer() as server, client_of(at(server)) as client:
        for _ in range(5):
            await client.time.advance(10)
        server.document = jwks("a")
        await client.time.advance(10)

        assert client.time.slept == [1, 2, 4, 8, 10, 10, 60]
        assert client.status.failures == 6


async def test_retry_is_spread_over_half_of_its_time() -> None:
    """Many sidecars that failed together do not come back together."""
    async with JwksServer() as server, client_of(at(server), random=0.0) as client:
        await client.time.advance(10)

        assert client.time.slept == [0.5, 1]


async def test_refresh_goes_on_when_ten_thousand_attempts_failed() -> None:
    """The back-off has no end at which it breaks."""
    async with JwksServer() as server, client_of(at(server)) as client:
        client.keys._by_name["main"]._failed_in_a_row = 10_000
        async with asyncio.timeout(10):
            await client.time.advance(10)

        assert client.time.slept[-1] == 10


async def test_key_is_untrusted_when_a_refresh_misses_it() -> None:
    """Within one refresh period a withdrawn key is gone, known or not to the caller."""
    async with JwksServer(jwks("a", "b")) as server, client_of(at(server)) as client:
        server.document = jwks("b")
        await client.time.advance(60)

        assert await client.find("a") is None
        assert client.status.keys == 1


async def test_age_counts_from_the_question_when_the_answer_is_slow() -> None:
    """An answer says what was true when it was asked for, at best."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.hold()
        caller = asyncio.create_task(client.find("new", within=60))
        await server.asked(2)
        client.time.pass_by(4)
        server.release()
        await caller

        assert client.status.age_s == 4
