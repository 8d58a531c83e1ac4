"""Keys at the place that an issuer's discovery document names, and at no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.jwks import KeySource
from sidecar.core.model import Unavailable
from tests.authority import Authority
from tests.fakes_keys import jwks
from tests.jwks_client import EDDSA, ISSUER, WELL_KNOWN, at, client_of, metadata
from tests.jwks_server import Answer, JwksServer, in_turn, pour, status


def named(server: JwksServer, **members: Any) -> KeySource:
    return at(server, discovery=server.at(WELL_KNOWN), **members)


def name_place(server: JwksServer, jwks_uri: str) -> None:
    server.pages[WELL_KNOWN] = status(200, metadata(jwks_uri))


async def test_keys_are_found_where_the_issuer_says() -> None:
    """The document leads to the keys; what else stands in it does not matter."""
    async with JwksServer(jwks("a")) as server:
        server.pages[WELL_KNOWN] = status(
            200, metadata(server.url, token_endpoint="https://x.example", scopes_supported=["a"])
        )
        async with client_of(named(server)) as client:
            assert await client.find("a") is not None
            assert server.paths == [WELL_KNOWN, "/jwks.json"]


async def test_place_is_asked_for_every_tenth_refresh() -> None:
    """Not every refresh costs two requests; an issuer that moves is followed all the same."""
    async with JwksServer(jwks("a")) as server:
        name_place(server, server.url)
        async with client_of(named(server)) as client:
            for _ in range(9):
                await client.time.advance(60)
            assert server.paths.count(WELL_KNOWN) == 1
            name_place(server, server.at("/moved.json"))
            server.document = jwks("b")
            await client.time.advance(60)

            assert server.paths[-2:] == [WELL_KNOWN, "/moved.json"]
            assert await client.find("b") is not None


async def test_place_is_asked_for_when_the_keys_are_not_there_any_more() -> None:
    """An issuer that moves is found again a second after the first failure."""
    async with JwksServer(jwks("a")) as server:
        name_place(server, server.url)
        async with client_of(named(server)) as client:
            server.pages["/jwks.json"] = status(404)
            name_place(server, server.at("/moved.json"))
            await client.time.advance(60)
            assert client.status.failures == 1
            await client.time.advance(1)

            assert server.paths[-2:] == [WELL_KNOWN, "/moved.json"]
            assert client.status.failures == 1


async def test_place_is_asked_for_when_what_stands_there_is_no_good() -> None:
    """A page that says that the keys have moved is no key set either."""
    async with JwksServer(jwks("a")) as server:
        name_place(server, server.url)
        async with client_of(named(server)) as client:
            server.pages["/jwks.json"] = status(200, b"<html>moved</html>")
            await client.time.advance(60)
            await client.time.advance(1)

            assert server.paths[-2:] == [WELL_KNOWN, "/jwks.json"]
            assert server.requests[-2]["Cache-Control"] == "no-cache"


async def test_unknown_kid_costs_no_discovery() -> None:
    """Callers bring about one request in a cool-down, not two."""
    async with JwksServer(jwks("a")) as server:
        name_place(server, server.url)
        async with client_of(named(server)) as client:
            assert await client.find("made-up") is None

            assert server.paths == [WELL_KNOWN, "/jwks.json", "/jwks.json"]


async def test_version_of_one_place_says_nothing_of_another() -> None:
    """Equal ETags at two URLs are two documents: the second is fetched, not confirmed."""
    async with JwksServer(jwks("a")) as server:
        name_place(server, server.url)
        async with client_of(named(server)) as client:
            name_place(server, server.at("/moved.json"))
            for _ in range(10):
                await client.time.advance(60)

            assert server.paths[-1] == "/moved.json"
            assert "If-None-Match" in server.requests[-3]
            assert "If-None-Match" not in server.requests[-1]


BAD: dict[str, tuple[Any, str]] = {
    "of another issuer": (lambda s: metadata(s.url, "https://evil.example"), "'issuer'"),
    "of the issuer with a slash": (lambda s: metadata(s.url, ISSUER + "/"), "'issuer'"),
    "of no issuer": (lambda s: json.dumps({"jwks_uri": s.url}).encode(), "'issuer'"),
    "issuer in a list": (lambda s: metadata(s.url, [ISSUER]), "'issuer'"),
    "no place": (lambda _: json.dumps({"issuer": ISSUER}).encode(), "'jwks_uri'"),
    "place in a list": (lambda s: metadata([s.url]), "'jwks_uri'"),
    "long place": (lambda s: metadata(s.url + "?" + "a" * 2048), "'jwks_uri'"),
    "two places": (
        lambda s: metadata(s.url)[:-1] + b', "jwks_uri": "https://evil.example"}',
        "a member stands twice",
    ),
    "array": (lambda s: b"[" + metadata(s.url) + b"]", "not an object"),
    "html": (lambda _: b"<html></html>", "not a JSON object"),
    "another host": (lambda s: metadata(s.at("/jwks.json", "127.0.0.2")), "leads to a host"),
    "metadata service": (lambda _: metadata("https://169.254.169.254/jwks"), "leads to a host"),
    "open way": (lambda _: metadata("http://169.254.169.254/jwks"), "neither https nor"),
    "open way to a name": (lambda s: metadata(s.at("/jwks", "localhost")), "neither https nor"),
    "file": (lambda _: metadata("file:///etc/passwd"), "not an https URL"),
    "relative": (lambda _: metadata("/jwks.json"), "not an https URL"),
    "user": (lambda s: metadata(s.at("/j", "x@127.0.0.1")), "a user"),
    "host in the user": (lambda _: metadata("https://127.0.0.1@evil.example/"), "a user"),
    "backslash": (lambda _: metadata("https://127.0.0.1\\@evil.example/"), "not a URL"),
    "fragment": (lambda s: metadata(s.url + "#"), "a fragment"),
}


@pytest.mark.parametrize(("document", "why"), BAD.values(), ids=BAD.keys())
async def test_no_keys_are_fetched_when_the_document_is_bad(document: Any, why: str) -> None:
    """Nobody is asked whom the document had no right to name, and the log says why."""
    async with JwksServer(jwks("a")) as server:
        server.pages[WELL_KNOWN] = status(200, document(server))
        with capture_logs() as logs:
            async with client_of(named(server)) as client:
                with pytest.raises(Unavailable):
                    await client.find("a")

        assert server.paths == [WELL_KNOWN]
        assert why in logs[0]["why"]
        assert logs[0]["why"].startswith("discovery: ")


def to(place: str) -> Answer:
    return status(302, Location=place)


@pytest.mark.parametrize("answer", [to("/elsewhere"), status(500), pour(10, sized=False)])
async def test_no_keys_are_fetched_when_the_document_cannot_be_had(answer: Answer) -> None:
    """A discovery is bounded as every fetch is: no redirect, no flood."""
    async with JwksServer(jwks("a")) as server:
        server.pages[WELL_KNOWN] = answer
        async with client_of(named(server)) as client:
            with pytest.raises(Unavailable):
                await client.find("a")

            assert server.paths == [WELL_KNOWN]


@pytest.mark.parametrize(("hosts", "found"), [({"LocalHost"}, True), ({"other"}, False)])
async def test_listed_host_may_have_the_keys(
    hosts: set[str],
    found: bool,  # noqa: FBT001 - a case's outcome
    tmp_path: Path,
) -> None:
    """The operator says where else: a Kubernetes API server names another address of its own."""
    ours = Authority(tmp_path)
    async with JwksServer(jwks("a"), tls=ours.server("127.0.0.1", "localhost")) as server:
        name_place(server, server.at("/jwks.json", "localhost"))
        source = named(server, hosts=frozenset(hosts), ca_file=ours.file)
        async with client_of(source) as client:
            assert client.keys.ready() == {"main": found}
            assert ("/jwks.json" in server.paths) is found


async def test_keys_stay_fresh_when_only_the_discovery_is_down() -> None:
    """The last known place holds, the log says what is wrong, and rotation goes on."""
    async with JwksServer(jwks("a")) as server:
        name_place(server, server.url)
        async with client_of(named(server)) as client:
            server.pages[WELL_KNOWN] = status(500)
            server.document = jwks("b")
            with capture_logs() as logs:
                for _ in range(10):
                    await client.time.advance(60)

            assert [log["event"] for log in logs] == ["keys_changed", "keys_not_discovered"]
            assert client.status.failures == 0
            assert await client.find("b") is not None


async def test_place_is_forgotten_when_nobody_confirms_it() -> None:
    """A place that was withdrawn is not asked for ever because the discovery is silent."""
    async with JwksServer(jwks("a")) as server:
        name_place(server, server.url)
        async with client_of(named(server)) as client:
            server.pages[WELL_KNOWN] = status(500)
            await client.time.advance(4200)
            assert client.status.failures == 0
            await client.time.advance(60)

            assert client.status.failures == 1
            assert server.paths[-1] == WELL_KNOWN


async def test_place_is_kept_when_keys_and_discovery_flap() -> None:
    """Each failure costs its own second, never the place."""
    async with JwksServer(jwks("a")) as server:
        good = status(200, metadata(server.url))
        server.pages[WELL_KNOWN] = in_turn(good, status(500))
        server.pages["/jwks.json"] = in_turn(status(200, jwks("a")), status(500))
        async with client_of(named(server)) as client:
            for _ in range(20):
                await client.time.advance(60)
                assert await client.find("a") is not None


@pytest.mark.parametrize(
    "place",
    ["http://issuer.example/x", "http://localhost/x", "https://a@issuer.example/x", "issuer", ""],
)
def test_source_is_refused_when_its_discovery_could_be_changed_on_the_way(place: str) -> None:
    """Who can change the document chooses the keys."""
    with pytest.raises(ValueError, match="issuer a: "):
        KeySource(ISSUER, "a", EDDSA, discovery=place)
