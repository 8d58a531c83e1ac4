"""The JWKS client against redirects, 304s of every kind, and servers that change their mind."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web

from sidecar.adapters.jwks import IssuerKeys
from sidecar.adapters.jwks_fetch import open_session
from sidecar.core.model import Unavailable
from tests.fakes_keys import FakeTime, jwk, jwks
from tests.jwks_client import LIMITS, at, client_of
from tests.jwks_server import JwksServer, in_turn, status

METADATA_SERVICE = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"


@pytest.mark.parametrize("code", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", [METADATA_SERVICE, "file:///etc/passwd", "//127.0.0.1:1/", ""])
async def test_nobody_else_is_asked_when_the_issuer_redirects(code: int, place: str) -> None:
    """Whoever answers does not choose where we go, least of all inside our own network."""
    asked: list[str] = []

    async def connecting(*_: object) -> None:
        asked.append("a connection")

    async def redirected(*_: object) -> None:
        asked.append("a redirect")

    def traced() -> aiohttp.ClientSession:
        session = open_session()
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_start.append(connecting)
        trace.on_request_redirect.append(redirected)
        trace.freeze()
        session._trace_configs.append(trace)
        return session

    async with JwksServer() as server:
        server.answer = status(code, Location=place)
        time = FakeTime()
        keys = IssuerKeys(
            [at(server)], LIMITS, time, random=lambda: 1.0, sleep=time.sleep, session=traced
        )
        await keys.start()
        await keys.close()

        assert asked == ["a connection"]
        assert len(server.requests) == 1


async def test_not_modified_confirms_when_it_has_no_etag() -> None:
    """Many servers leave it out, though they should not: the version that was sent holds on."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.answer = status(304)
        await client.time.advance(60)
        await client.time.advance(60)

        assert client.status.not_modified == 2
        assert server.requests[1]["If-None-Match"] == server.requests[2]["If-None-Match"]


@pytest.mark.parametrize(
    ("etag", "failures"), [('"other"', 1), ('W/"other"', 1), ('"a"', 0), ('W/"a"', 0)]
)
async def test_not_modified_is_a_failure_when_it_is_of_another_version(
    etag: str, failures: int
) -> None:
    """It confirms a document that we do not have; then we want the document itself."""
    async with JwksServer() as server:
        server.answer = status(200, jwks("a"), ETag='W/"a"')
        async with client_of(at(server)) as client:
            server.answer = status(304, ETag=etag)
            await client.time.advance(60)
            assert client.status.failures == failures
            await client.time.advance(60)

            assert ("If-None-Match" in server.requests[-1]) is (failures == 0)


async def test_withdrawn_key_is_found_out_when_the_server_always_says_304() -> None:
    """Once in ``max_age_s`` the document itself is asked for, whatever a 304 confirms."""
    async with JwksServer(jwks("a", "b")) as server:

        async def lazy(request: web.Request) -> web.StreamResponse:
            conditional = "If-None-Match" in request.headers
            return await (status(304) if conditional else status(200, server.document))(request)

        async with client_of(at(server)) as client:
            server.answer = lazy
            server.document = jwks("b")
            for _ in range(59):
                await client.time.advance(60)
            assert client.status.not_modified == 59
            assert await client.find("a") is not None
            await client.time.advance(60)

            assert await client.find("a") is None
            assert await client.find("b") is not None


async def test_keys_expire_when_the_server_says_nothing_but_304() -> None:
    """A 304 to a question without a version is no answer."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.answer = status(304)
        for _ in range(120):
            await client.time.advance(60)
        assert client.status.failures > 0

        with pytest.raises(Unavailable):
            await client.find("a")


async def test_keys_stay_fresh_when_the_server_flaps() -> None:
    """Of 200 and 500 in turn, each 200 counts, and each 500 costs a retry a second later."""
    async with JwksServer() as server:
        server.answer = in_turn(status(200, jwks("a"), ETag='"a"'), status(500))
        async with client_of(at(server)) as client:
            for _ in range(20):
                await client.time.advance(60)
                assert await client.find("a") is not None

            assert client.time.slept == [60, 1] * 10 + [60]
            assert client.status.failures == 10
            assert client.status.age_s == 0


async def test_good_keys_hold_when_good_and_bad_documents_alternate() -> None:
    """The bad ones change nothing; what a good one says counts at once."""
    bad = [jwks(), b"<html>", jwks("evil", "evil"), jwks(jwk("evil", d="AAAA")), b"[]"]
    answers = [status(200, document) for one in bad for document in (one, jwks("a"))]
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        key = await client.find("a")
        server.answer = in_turn(*answers, status(200, jwks("b")))
        for _ in bad:
            for _ in range(2):
                await client.time.advance(60)
                assert await client.find("a") is key
                assert client.status.keys == 1
        await client.time.advance(60)

        assert client.status.failures == len(bad)
        assert await client.find("a") is None
        assert await client.find("b") is not None


async def test_unknown_kid_is_asked_for_past_caches() -> None:
    """A cache that has not heard of a rotation yet would refuse good tokens for all its time."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        await client.find("new")
        await client.time.advance(60)

        sent = [request.get("Cache-Control") for request in server.requests]
        assert sent == [None, "no-cache", None]
