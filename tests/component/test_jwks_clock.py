"""An issuer whose clock is not ours: its tokens' dates mean nothing, and only its."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.jwks import KeyLimits, KeySource
from sidecar.core.model import Dependency, Unavailable
from tests.fakes_keys import jwks
from tests.jwks_client import EDDSA, ISSUER, LIMITS, Client, at
from tests.jwks_server import JwksServer, raw, status

WATCHED = replace(LIMITS, max_skew_s=5.0)


class Watched(Client):
    """A client that watches clocks; ``off`` is how far the server's is behind ours."""

    def __init__(
        self, server: JwksServer, *others: KeySource, limits: KeyLimits = WATCHED, off: float = 0
    ) -> None:
        super().__init__(at(server), *others, limits=limits, random=1.0)
        self.off = off
        server.now = lambda: self.time.now() - self.off

    async def outage(self, kid: str | None = "a", issuer: str = ISSUER) -> Dependency | None:
        try:
            await self.find(kid, issuer)
        except Unavailable as outage:
            return outage.dependency
        return None


@asynccontextmanager
async def started(client: Watched, sources: int = 1) -> AsyncIterator[Watched]:
    await client.keys.start()
    try:
        await client.time.asleep(sources)
        yield client
    finally:
        await client.keys.close()


@pytest.mark.parametrize(("off", "skew_s"), [(0, 0), (1, 0), (4, 3), (-4, -4)])
async def test_keys_are_found_when_the_clocks_differ_by_little(off: float, skew_s: float) -> None:
    """Within the limit nothing comes of it; the measurement is there to be watched."""
    async with JwksServer(jwks("a")) as server, started(Watched(server, off=off)) as client:
        await client.time.advance(60)

        assert await client.outage() is None
        assert client.status.skew_s == skew_s
        assert client.time.slept == [60, 60]


@pytest.mark.parametrize("off", [7, 600, -7, -600])
async def test_nothing_is_found_when_the_clocks_differ(off: float) -> None:
    """Ahead or behind: no kid, known or not, has an answer, and no caller brings about a fetch."""
    async with JwksServer(jwks("a")) as server, started(Watched(server, off=off)) as client:
        assert len(server.requests) == 2

        for kid in ("a", "unknown", None):
            assert await client.outage(kid) is Dependency.CLOCK
        assert len(server.requests) == 2
        assert client.keys.ready() == {"main": False}
        assert client.keys.document("main") == jwks("a")


async def test_first_answer_is_confirmed_before_anybody_is_answered() -> None:
    """The second question comes at once at the start, and past all caches."""
    async with JwksServer(jwks("a")) as server:
        client = Watched(server, off=600)
        await client.keys.start()
        try:
            assert await client.outage() is Dependency.CLOCK
            assert [one.get("Cache-Control") for one in server.requests] == [None, "no-cache"]
        finally:
            await client.keys.close()


async def test_tokens_pass_when_one_answer_is_odd() -> None:
    """A cache that flaps refuses nobody: each odd answer is followed by a question a second on."""
    async with JwksServer(jwks("a")) as server, started(Watched(server)) as client:
        for _ in range(5):
            client.off = 600
            await client.time.advance(60)
            assert client.status.skew_s == 599
            assert await client.outage() is None
            client.off = 0
            await client.time.advance(1)
            assert await client.outage() is None

        assert client.time.slept == [60, *[1, 60] * 5]
        assert client.status.failures == 0


async def test_nothing_is_found_when_a_second_answer_confirms_the_skew() -> None:
    """Our clock jumps: found out with the next refresh and a second."""
    async with JwksServer(jwks("a")) as server, started(Watched(server)) as client:
        client.off = 600
        await client.time.advance(60)
        await client.time.advance(1)

        assert await client.outage() is Dependency.CLOCK
        assert server.requests[-1]["Cache-Control"] == "no-cache"
        assert client.time.slept[-1] == LIMITS.cooldown_s


async def test_keys_are_found_again_when_the_clocks_agree() -> None:
    """While they differ the issuer is asked more often, and one good answer is enough."""
    async with JwksServer(jwks("a")) as server, started(Watched(server, off=600)) as client:
        client.off = 0
        await client.time.advance(10)

        assert await client.outage() is None
        assert client.keys.ready() == {"main": True}
        assert client.time.slept == [10, 60]


async def test_each_change_is_logged_once() -> None:
    """An operator reads when it began and when it ended, not every answer between."""
    async with JwksServer(jwks("a")) as server, started(Watched(server)) as client:
        with capture_logs() as logs:
            client.off = 600
            await client.time.advance(60)
            for _ in range(5):
                await client.time.advance(10)
            client.off = 0
            await client.time.advance(10)
            await client.time.advance(60)

        assert [(log["event"], log["skew_s"], log["issuer"]) for log in logs] == [
            ("clocks_differ", 599, "main"),
            ("clocks_agree", 0, "main"),
        ]


async def test_other_issuers_are_answered_when_one_lies_about_the_time() -> None:
    """A hostile issuer harms its own tokens."""
    other = "https://other.example"
    async with JwksServer(jwks("a")) as server, JwksServer(jwks("b")) as good:
        client = Watched(server, at(good, other, "other"), off=1e6)
        good.now = client.time.now
        async with started(client, sources=2):
            assert await client.outage() is Dependency.CLOCK
            assert await client.outage("b", other) is None
            assert client.keys.ready() == {"main": False, "other": True}


async def test_cached_answer_is_no_skew_when_it_states_its_age() -> None:
    """``Date`` plus ``Age`` is now."""
    async with JwksServer(jwks("a")) as server:
        server.headers = {"Age": "600"}
        async with started(Watched(server, off=600)) as client:
            assert await client.outage() is None
            assert client.status.skew_s == 0


async def test_not_modified_is_a_measurement() -> None:
    """A 304 has a ``Date`` as well: nobody waits for the keys to change."""
    async with JwksServer(jwks("a")) as server, started(Watched(server)) as client:
        client.off = 600
        await client.time.advance(60)
        await client.time.advance(1)

        assert server.not_modified == 2
        assert await client.outage() is Dependency.CLOCK


async def test_time_on_the_way_is_no_skew() -> None:
    """An answer that took long to come may be as old as that."""
    async with JwksServer(jwks("a")) as server, started(Watched(server)) as client:
        server.hold()
        caller = asyncio.create_task(client.find("new", within=60))
        await server.asked(2)
        said_at = client.time.now()
        server.now = lambda: said_at
        client.time.pass_by(30)
        server.release()
        await caller

        assert client.status.skew_s == 0


async def test_nothing_is_measured_when_the_answer_has_no_date() -> None:
    """An issuer that does not say its time cannot be held to it, and its keys count."""
    document = jwks("a")
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(document)}\r\n\r\n"
    async with JwksServer() as server:
        server.answer = raw(head.encode() + document)
        async with started(Watched(server)) as client:
            assert await client.outage() is None
            assert client.status.skew_s is None


async def test_failed_fetch_leaves_what_was_measured() -> None:
    """Silence neither clears nor accuses; nor does it stop the questions."""
    async with JwksServer(jwks("a")) as server, started(Watched(server, off=600)) as client:
        server.answer = status(500)
        client.off = 0
        await client.time.advance(10)
        assert await client.outage() is Dependency.CLOCK
        server.answer = None
        await client.time.advance(1)

        assert await client.outage() is None


async def test_file_measures_nothing(tmp_path: Path) -> None:
    """A file has no clock."""
    file = tmp_path / "keys.json"
    file.write_bytes(jwks("b"))
    other = KeySource("https://file.example", "file", EDDSA, file=file)
    async with (
        JwksServer(jwks("a")) as server,
        started(Watched(server, other), sources=2) as client,
    ):
        assert client.keys.status()["file"].skew_s is None
        assert await client.outage("b", "https://file.example") is None


async def test_skew_is_only_measured_when_the_limit_is_off() -> None:
    """The operator may decide that an issuer's ``Date`` means nothing."""
    async with (
        JwksServer(jwks("a")) as server,
        started(Watched(server, limits=LIMITS, off=600)) as client,
    ):
        await client.time.advance(60)

        assert await client.outage() is None
        assert client.status.skew_s == 599
        assert client.time.slept == [60, 60]


@pytest.mark.parametrize("limit", [0, -1])
def test_limit_is_refused_when_no_clock_could_keep_it(limit: float) -> None:
    """Zero is not a way to say off."""
    with pytest.raises(ValueError, match="max_skew_s must be above zero"):
        KeyLimits(max_skew_s=limit)
