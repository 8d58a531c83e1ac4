"""The JWKS client against issuers that fail, lie or attack: the old keys hold, and then expire."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from sidecar.adapters.jwks import KeySource
from sidecar.core.model import Unavailable
from tests.fakes_keys import jwk, jwks
from tests.jwks_client import EDDSA, ISSUER, LIMITS, at, client_of
from tests.jwks_server import Answer, JwksServer, hang_up, pour, raw, stall, status


def loopback_redirect(server: JwksServer) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/elsewhere":
            return web.Response(body=jwks("evil"))
        return web.Response(status=302, headers={"Location": f"{server.url}/../elsewhere"})

    return answer


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"


def trickle(body: bytes) -> Answer:
    """The head at once, and then a byte at a time."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for byte in body:
            await response.write(bytes([byte]))
            await asyncio.sleep(0.01)
        return response

    return answer


FAILURES: dict[str, tuple[Callable[[JwksServer], Answer], str]] = {
    "hangs up": (lambda _: hang_up, "ServerDisconnectedError"),
    "redirects": (loopback_redirect, "status 302"),
    "redirects for good": (lambda s: status(308, Location=s.url), "status 308"),
    "500": (lambda _: status(500), "status 500"),
    "404 with keys": (lambda _: status(404, jwks("evil")), "status 404"),
    "203 with keys": (lambda _: status(203, jwks("evil")), "status 203"),
    "html": (lambda _: status(200, b"<html>Please log in</html>"), "not a JSON object"),
    "garbage": (lambda _: status(200, bytes(range(256))), "not a JSON object"),
    "nothing": (lambda _: status(200), "not a JSON object"),
    "text": (lambda _: status(200, b"-----BEGIN PUBLIC KEY-----"), "not a JSON object"),
    "array": (lambda _: status(200, b"[" + jwks("evil") + b"]"), "not an object"),
    "null": (lambda _: status(200, b"null"), "not an object"),
    "keys in an object": (lambda _: status(200, b'{"keys": {"kid": "evil"}}'), "not an array"),
    "nested": (lambda _: status(200, b'{"keys":' + b"[" * 999), "nested deeper than 8"),
    "two documents": (lambda _: status(200, jwks("a") + jwks("evil")), "not a JSON object"),
    "two keys of one kid": (lambda _: status(200, jwks("evil", "evil")), "stands there twice"),
    "two arrays of keys": (
        lambda _: status(200, b'{"keys": [], ' + jwks("evil")[1:]),
        "a member stands twice",
    ),
    "65 keys": (lambda _: status(200, jwks(*map(str, range(65)))), "more than 64"),
    "utf-16": (lambda _: status(200, jwks("evil").decode().encode("utf-16")), "not a JSON"),
    "no keys": (lambda _: status(200, jwks()), "no usable key"),
    "private key": (lambda _: status(200, jwks(jwk("a", d="AAAA"))), "private member 'd'"),
    "symmetric key": (lambda _: status(200, jwks("a", {"kty": "oct"})), "symmetric"),
    "10 MB": (lambda _: pour(10, sized=True), "more than 262144 bytes"),
    "10 MB in chunks": (lambda _: pour(10, sized=False), "more than 262144 bytes"),
    "compressed": (
        lambda _: status(200, gzip.compress(jwks("evil")), Content_Encoding="gzip"),
        "compressed",
    ),
    "bomb": (
        lambda _: status(200, gzip.compress(b" " * (64 << 20)), Content_Encoding="gzip"),
        "compressed",
    ),
    "bomb by another name": (
        lambda _: status(200, zlib.compress(jwks("evil")), Content_Encoding="x-deflate"),
        "compressed",
    ),
    "compressed in secret": (lambda _: status(200, gzip.compress(jwks("evil"))), "not a JSON"),
    "compressed on the way": (
        lambda _: raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n" + gzip.compress(jwks("evil"))
        ),
        "",
    ),
    "reset in the body": (lambda _: raw(HEAD + jwks("evil"), reset=True), ""),
    "long header": (lambda _: raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * (1 << 20)), ""),
    "many headers": (lambda _: raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * (1 << 17)), ""),
    "no http": (lambda _: raw(b"SSH-2.0-OpenSSH_9.6\r\n"), ""),
    "two lengths": (
        lambda _: raw(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n") + b"{"),
        "",
    ),
    "cut short": (lambda _: status(200, jwks("evil")[:-9], Content_Length="999"), "ayload"),
    "byte by byte": (lambda _: raw(HEAD + jwks("evil") * 9, every_s=0.01), "no answer within"),
    "body byte by byte": (lambda _: trickle(jwks("evil")), "no answer within"),
    "slow to answer": (lambda s: stall(s, b""), "no answer within"),
    "slow body": (lambda s: stall(s, jwks("evil")), "no answer within"),
}


@pytest.mark.parametrize(("attack", "why"), FAILURES.values(), ids=FAILURES.keys())
async def test_keys_stay_when_the_issuer_answers_badly(
    attack: Callable[[JwksServer], Answer], why: str
) -> None:
    """A bad answer is a failure that is counted and logged, and the old keys hold."""
    limits = replace(LIMITS, timeout_s=0.2 if "within" in why else 5)
    async with (
        JwksServer(jwks("a")) as server,
        client_of(at(server), limits=limits) as client,
    ):
        before = await client.find("a")
        server.answer = attack(server)
        with capture_logs() as logs:
            async with asyncio.timeout(10):
                await client.time.advance(60)

        assert before is not None
        assert await client.find("a") is before
        assert client.status.failures == 1
        assert [(log["event"], log["issuer"]) for log in logs] == [("keys_not_fetched", "main")]
        assert why in logs[0]["why"]
        assert len(server.requests) == 2


async def test_keys_stay_when_nobody_listens() -> None:
    """A refused connection is a failure like any other."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        await server.stop()
        await client.time.advance(60)

        assert await client.find("a") is not None
        assert client.status.failures == 1


@pytest.mark.parametrize("rest", ["127.0.0.1:{port}/jwks.json", "127.0.0.1:{port}:/", ""])
async def test_failure_names_no_password_when_the_url_has_one(rest: str) -> None:
    """What stands before the ``@`` is the operator's secret: no log has it, whatever fails."""
    async with JwksServer() as server:
        url = "http://reader:hunter2@" + rest.format(port=server.port)
        with capture_logs() as logs:
            async with client_of(KeySource(ISSUER, "main", EDDSA, url=url)) as client:
                await server.stop()
                await client.time.advance(10)

        assert len(logs) == 2
        assert "hunter2" not in str(logs)


async def test_not_modified_is_a_failure_when_nothing_was_loaded() -> None:
    """A 304 confirms only what we have."""
    async with JwksServer() as server:
        server.answer = status(304)
        async with client_of(at(server)) as client:
            assert client.status.failures == 1
            with pytest.raises(Unavailable):
                await client.find("a")


async def test_etag_is_not_sent_back_when_it_cannot_be() -> None:
    """A version that is no plain text is forgotten, and refreshes go on."""
    async with JwksServer() as server:
        server.answer = status(200, jwks("a"), ETag='"\u00e4"')
        async with client_of(at(server)) as client:
            await client.time.advance(60)

            assert client.status.failures == 0
            assert "If-None-Match" not in server.requests[1]


async def test_bad_document_is_asked_for_again_when_it_had_an_etag() -> None:
    """The ETag of a document that was refused is never confirmed by a 304."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.document = jwks("a", "a")
        await client.time.advance(60)
        await client.time.advance(10)

        assert server.not_modified == 0
        assert client.status.failures == 2


async def test_find_raises_when_failures_last_longer_than_the_age_limit() -> None:
    """The old keys hold for ``max_age_s`` and not a moment longer; then nothing is handed out."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.answer = hang_up
        await client.time.advance(3600)
        assert await client.find("a") is not None
        assert client.keys.ready() == {"main": True}
        client.time.pass_by(0.1)

        for kid in ("a", "unknown", None):
            with pytest.raises(Unavailable):
                await client.find(kid)
        assert client.keys.ready() == {"main": False}
        assert client.keys.document("main") is None
        assert client.status.keys == 0
        server.answer = None
        await client.time.advance(10)
        assert await client.find("a") is not None


async def test_requests_say_what_we_take() -> None:
    """No compression, JSON only, no cookie, no kept connection."""
    async with JwksServer(jwks("a")) as server:
        server.headers = {"Set-Cookie": "session=1; Path=/"}
        # No client keeps the cookies of an address; those of a name it would.
        url = server.url.replace("127.0.0.1", "localhost")
        async with client_of(KeySource(ISSUER, "main", EDDSA, url=url)) as client:
            await client.time.advance(60)

        assert len(server.requests) == 2
        for headers in server.requests:
            assert headers["Accept-Encoding"] == "identity"
            assert "json" in headers["Accept"]
            assert "Cookie" not in headers
            assert headers["Connection"] == "close"


async def test_session_asks_directly_when_the_environment_names_a_proxy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who sets a variable does not choose where keys come from."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        assert await client.find("a") is not None
