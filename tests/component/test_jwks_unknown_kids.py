"""What a kid that nobody knows brings about: one fetch in a cool-down, shared, and no long wait."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.testing import capture_logs

from tests.fakes_keys import jwks
from tests.jwks_client import ISSUER, LIMITS, at, client_of
from tests.jwks_server import JwksServer, status

A_MOMENT = 0.02


async def test_storm_of_unknown_kids_costs_one_fetch_in_a_cooldown() -> None:
    """Ten thousand made-up kids cost one fetch at once, and one more after the cool-down."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        for storm in range(3):
            kids = [f"{storm}-{i}" for i in range(10_000)]
            found = await asyncio.gather(*map(client.find, kids))
            assert set(found) == {None}
            assert len(server.requests) == storm + 2
            assert [await client.find(kid) for kid in kids[:100]] == [None] * 100
            client.time.pass_by(10.1)

        assert len(server.requests) == 4


async def test_storm_costs_one_fetch_in_a_cooldown_when_fetches_fail() -> None:
    """Failing makes no room for more fetches."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.answer = status(500)
        for _ in range(100):
            assert await client.find("made-up") is None

        assert len(server.requests) == 2


async def test_cooldown_begins_at_the_end_of_a_slow_fetch() -> None:
    """An issuer in trouble gets a whole pause."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.hold()
        caller = asyncio.create_task(client.find("made-up", within=60))
        await server.asked(2)
        client.time.pass_by(30)
        server.release()
        await caller
        client.time.pass_by(9.9)
        await client.find("made-up")

        assert len(server.requests) == 2


async def test_rotated_key_is_found_within_the_call_that_meets_it() -> None:
    """Nobody is refused because an issuer rotates without warning, however many ask at once."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.document = jwks("b")
        found = await asyncio.gather(*(client.find("b") for _ in range(100)))

        assert len(server.requests) == 2
        assert {key.kid for key in found if key is not None} == {"b"}
        assert None not in found


async def test_fetch_goes_on_when_its_caller_is_cancelled() -> None:
    """The caller who brought it about leaves; the others get their key from the same fetch."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.document = jwks("a", "b")
        server.hold()
        first = asyncio.create_task(client.find("b"))
        await server.asked(2)
        second = asyncio.create_task(client.find("b"))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        server.release()

        assert await second is not None
        assert len(server.requests) == 2


async def test_cooldown_holds_when_callers_are_cancelled() -> None:
    """Leaving early is no way to bring about more fetches."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.hold()
        for _ in range(20):
            caller = asyncio.create_task(client.find("made-up"))
            await server.asked(2)
            caller.cancel()
            await asyncio.gather(caller, return_exceptions=True)
        server.release()
        assert await client.find("made-up") is None
        assert await client.find("made-up") is None

        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("wait_s", "within"), [(A_MOMENT, 60), (60, A_MOMENT), (60, 0), (60, -1), (0, 60)]
)
async def test_caller_waits_no_longer_than_allowed_when_the_issuer_is_slow(
    wait_s: float, within: float
) -> None:
    """The smaller of ``wait_s`` and the deadline bounds the wait; the fetch serves the next."""
    limits = replace(LIMITS, wait_s=wait_s, timeout_s=60)
    async with (
        JwksServer(jwks("a")) as server,
        client_of(at(server), limits=limits) as client,
    ):
        server.document = jwks("b")
        server.hold()

        async with asyncio.timeout(10):
            assert await client.find("b", within=within) is None
        await server.asked(2)
        server.release()
        await client.keys._by_name["main"].fly()
        assert await client.find("b") is not None
        assert len(server.requests) == 2


async def test_known_kid_never_waits() -> None:
    """The coroutine of a known kid ends at its first step, also while a fetch hangs."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.hold()
        waiting = asyncio.create_task(client.find("made-up"))
        await server.asked(2)

        with pytest.raises(StopIteration) as answer:
            client.keys.find(ISSUER, "a", deadline=0).send(None)
        assert answer.value.value.kid == "a"
        server.release()
        await waiting


async def test_schedule_and_callers_share_one_fetch() -> None:
    """A caller who comes during a refresh waits for it and adds none; nor does it cool down."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.document = jwks("b")
        server.hold()
        refreshing = asyncio.create_task(client.time.advance(60))
        await server.asked(2)
        caller = asyncio.create_task(client.find("b"))
        server.release()
        await refreshing

        assert await caller is not None
        assert len(server.requests) == 2
        server.document = jwks("c")
        assert await client.find("c") is not None


async def test_caller_shares_a_refresh_when_callers_must_cool_down() -> None:
    """The cool-down forbids a fetch of one's own, not to wait for one that is made anyway."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        client.time.pass_by(55)
        await client.find("made-up")
        server.document = jwks("b")
        server.hold()
        refreshing = asyncio.create_task(client.time.advance(5))
        await server.asked(3)
        caller = asyncio.create_task(client.find("b"))
        server.release()
        await refreshing

        assert await caller is not None
        assert len(server.requests) == 3


async def test_fetch_is_logged_without_the_context_of_its_caller() -> None:
    """A fetch serves many callers: its log lines carry the decision of none."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.document = jwks("b")
        with (
            capture_logs(processors=[merge_contextvars]) as logs,
            bound_contextvars(decision_id="of the caller"),
        ):
            await client.find("b")

        assert [log["event"] for log in logs] == ["keys_changed"]
        assert "decision_id" not in logs[0]


async def test_no_fetch_is_made_when_a_token_names_no_kid() -> None:
    """Nothing unknown was named, so there is nothing to look for."""
    async with JwksServer(jwks("a", "b")) as server, client_of(at(server)) as client:
        assert await client.find(None) is None

        assert len(server.requests) == 1


async def test_no_fetch_is_made_when_the_issuer_is_unknown() -> None:
    """Tokens of strangers reach nobody."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        assert await client.find("a", "https://stranger.example") is None

        assert len(server.requests) == 1
