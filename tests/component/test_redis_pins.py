"""Pins over real Redis: who comes first holds a thing, for every sidecar."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.redis_script import TOLERANCE_S
from sidecar.core.model import Claim, Conflict, Dependency, Effects, Pin, Unavailable
from tests.redis_server import RedisServer, eventually
from tests.redis_sidecar import LIFE_S, Sidecar, sidecar, token
from tests.sidecars import PASSWORDS, RedisUsers

ROW = Dependency.REPLAY_OF_SINGLE_USE_TOKEN


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path / "r") as running:
        yield running


def pin(
    key: str, holder: str, *, owner: str = "o", until: float = LIFE_S, row: Dependency = ROW
) -> Pin:
    """A pin that ends so many seconds from now."""
    end = time.time() + until
    return Pin(f"{{{key}}}:session", holder, owner, end, row, Conflict.SESSION_OF_ANOTHER)


async def commit(
    one: Sidecar, pins: tuple[Pin, ...], *claims: Claim, wait: float = 5.0
) -> Conflict | None:
    now, deadline = one.clock.now(), one.clock.monotonic() + wait
    return await one.ledger.commit(Effects(claims, pins), now=now, deadline=deadline)


async def hold(one: Sidecar, *pins: Pin, wait: float = 5.0) -> Conflict | None:
    return await commit(one, pins, wait=wait)


async def test_pin_has_one_holder_when_two_sidecars_race(server: RedisServer) -> None:
    """Fifty agents at once over two sidecars, twenty times: one holds it each time."""
    async with sidecar(server.target) as one, sidecar(server.target) as other:
        for run in range(20):
            sent = (hold((one, other)[n % 2], pin(f"s{run}", f"agent-{n}")) for n in range(50))
            answers = await asyncio.gather(*sent)

            assert answers.count(None) == 1
            assert answers.count(Conflict.SESSION_OF_ANOTHER) == 49


async def test_pin_works_with_the_rights_of_the_sidecars_role(tmp_path: Path) -> None:
    """By ``redis/users.acl`` as it is: who takes a sidecar over can read no claim."""
    async with RedisUsers(tmp_path / "r") as server:
        login = replace(server.target, username="sidecar", password=PASSWORDS["sidecar"])
        async with sidecar(login) as one:
            assert await hold(one, pin("s", "a")) is None
            assert await hold(one, pin("s", "a", until=2 * LIFE_S)) is None
            assert await hold(one, pin("s", "b")) is Conflict.SESSION_OF_ANOTHER
        assert await server.ask("ACL", "LOG") == []


async def test_pin_is_one_key_with_an_end_in_a_tag_of_its_own(server: RedisServer) -> None:
    """No epoch, nothing beside it, and nothing that stays for good."""
    async with sidecar(server.target) as one:
        await hold(one, pin("s", "a", until=30))
        assert await server.ask("KEYS", "{s}*") == [b"{s}:session"]
        assert 29_000 < await server.ask("PTTL", "{s}:session") - TOLERANCE_S * 1000 <= 30_000

        await hold(one, pin("s", "a", until=60))
        assert 59_000 < await server.ask("PTTL", "{s}:session") - TOLERANCE_S * 1000 <= 60_000
        await hold(one, pin("s", "a", until=10))
        assert 59_000 < await server.ask("PTTL", "{s}:session") - TOLERANCE_S * 1000 <= 60_000


async def test_pin_of_the_past_ends_when_it_is_made(server: RedisServer) -> None:
    """A moment that is over is no error of the script's."""
    async with sidecar(server.target) as one:
        assert await hold(one, pin("s", "a", until=-60)) is None

        async def free() -> bool:
            return await hold(one, pin("s", "b")) is None

        await eventually(free, "the pin has ended")


@pytest.mark.parametrize("clock", ["+3600", "-3600"])
async def test_pin_holds_when_redis_clock_is_wrong(tmp_path: Path, clock: str) -> None:
    """It is told for how long, not until when."""
    async with RedisServer(tmp_path / "r", clock=clock) as server, sidecar(server.target) as one:
        await one.reached()
        assert await hold(one, pin("s", "a", until=30)) is None

        assert await hold(one, pin("s", "b")) is Conflict.SESSION_OF_ANOTHER
        assert 29_000 < await server.ask("PTTL", "{s}:session") < 33_000


async def test_pin_is_taken_again_when_redis_forgot_it(server: RedisServer) -> None:
    """Pins have no epoch: what was lost belongs to whoever comes next."""
    async with sidecar(server.target) as one:
        await hold(one, pin("s", "a"))
        await server.ask("FLUSHALL")

        assert await hold(one, pin("s", "b")) is None
        assert await hold(one, pin("s", "a")) is Conflict.SESSION_OF_ANOTHER


@pytest.mark.parametrize("key", ["{}:session", "session", "x{t}:session", "{t"])
async def test_pin_raises_when_its_key_has_no_tag(server: RedisServer, key: str) -> None:
    """The role may touch no other key: that is a mistake of ours, and found here."""
    async with sidecar(server.target) as one:
        with pytest.raises(ValueError, match="hash tag"):
            await hold(one, replace(pin("s", "a"), key=key))


async def test_commit_is_served_when_redis_forgot_both_scripts(server: RedisServer) -> None:
    """Each is loaded again, within the same commit."""
    async with sidecar(server.target) as one:
        for run in range(3):
            await server.ask("SCRIPT", "FLUSH")
            sent = (commit(one, (pin(f"{run}-{n}", "a"),), token(f"{run}-{n}")) for n in range(20))
            assert await asyncio.gather(*sent) == [None] * 20


async def test_commits_keep_pins_apart_from_the_claims_beside_them(server: RedisServer) -> None:
    """Pins and claims of many commits share round trips; each hears its own answer."""
    async with sidecar(server.target) as one:
        await hold(one, pin("taken", "other"))
        await one.use(token("used"))
        effects = [
            (pin(f"s{n}" if n % 3 else "taken", "a"), token(f"j{n}" if n % 4 else "used"))
            for n in range(120)
        ]
        answers = await asyncio.gather(*(commit(one, (held,), claim) for held, claim in effects))

        for n, answer in enumerate(answers):
            free = None if n % 4 else Conflict.CLAIMED_BEFORE
            assert answer is (free if n % 3 else Conflict.SESSION_OF_ANOTHER)


# --- too many, or too much ----------------------------------------------------------------------


async def test_pin_is_its_holders_when_another_sidecar_counted_it(server: RedisServer) -> None:
    """A full quota takes no session away that the agent has, by whatever sidecar it got it."""
    async with (
        sidecar(server.target, pins_per_owner=1) as one,
        sidecar(server.target, pins_per_owner=1) as other,
    ):
        await hold(one, pin("s", "a"))
        await hold(other, pin("t", "a"))

        assert await hold(other, pin("s", "a")) is None
        assert await hold(one, pin("t", "a")) is None
        assert await hold(one, pin("u", "a")) is Conflict.QUOTA
        assert await server.ask("EXISTS", "{u}:session") == 0


async def test_pin_counts_when_its_owner_hangs_up_before_the_answer(server: RedisServer) -> None:
    """Redis may hold it: who never waits would have as many as it likes."""
    async with sidecar(server.target, pins_per_owner=1) as one:
        server.stop()
        asking = asyncio.create_task(hold(one, pin("s", "a")))
        await asyncio.sleep(0.05)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        server.cont()
        await one.reached()

        assert await hold(one, pin("t", "a")) is Conflict.QUOTA
        assert await hold(one, pin("s", "a")) is None


async def test_commit_is_overloaded_when_redis_is_full_and_forgot_the_scripts(
    server: RedisServer,
) -> None:
    """They are loaded all the same; the log says once why everybody is refused."""
    with capture_logs() as logs:
        async with sidecar(server.target) as one:
            await server.ask("CONFIG", "SET", "maxmemory", 1)
            await server.ask("SCRIPT", "FLUSH")
            for n in range(3):
                assert await hold(one, pin(f"s{n}", "a")) is Conflict.OVERLOADED
                assert await one.use(token(f"j{n}")) is Conflict.OVERLOADED
            assert one.ledger.reachable

    full = [line for line in logs if line["event"] == "replay_store_full"]
    assert [(line["room"], line["log_level"]) for line in full] == [("redis", "warning")]


# --- silence ------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [Dependency.REPLAY, Dependency.REPLAY_OF_SINGLE_USE_TOKEN])
async def test_pin_that_cannot_be_held_hides_no_claim_and_no_other_pin(
    server: RedisServer, row: Dependency
) -> None:
    """Where an outage is open, a used token and a stolen session would ride along with it."""
    async with sidecar(server.target) as one:
        await commit(one, (pin("s", "a"),), token("j"))
        await server.ask("CONFIG", "SET", "min-replicas-to-write", 1)

        unknown = pin("t", "a", row=row)
        assert await hold(one, unknown, pin("s", "b")) is Conflict.SESSION_OF_ANOTHER
        assert await commit(one, (unknown,), token("j")) is Conflict.CLAIMED_BEFORE
        with pytest.raises(Unavailable) as outage:
            await hold(one, unknown)
        assert outage.value.dependency is row


@pytest.mark.parametrize("turned", [False, True])
async def test_outage_is_closed_when_anything_of_the_commit_is(
    server: RedisServer, *, turned: bool
) -> None:
    """Else a read would pass for want of its session, and its single-use token unclaimed."""
    async with sidecar(server.target) as one:
        await server.ask("CONFIG", "SET", "min-replicas-to-write", 1)
        rows = (Dependency.REPLAY, ROW)
        claim = replace(token("j"), dependency=rows[not turned])
        with pytest.raises(Unavailable) as outage:
            await commit(one, (pin("s", "a", row=rows[turned]),), claim)
        assert outage.value.dependency is ROW


@pytest.mark.parametrize("claims", [(), ("j",)])
async def test_commit_raises_by_its_deadline_when_redis_hangs(
    server: RedisServer, claims: tuple[str, ...]
) -> None:
    """A pin and a claim do not wait one after the other, and silence is no overload of ours."""
    async with sidecar(server.target) as one:
        assert await hold(one, pin("s", "a")) is None
        server.stop()
        started = time.monotonic()
        with pytest.raises(Unavailable) as outage:
            await commit(one, (pin("s", "a"),), *map(token, claims), wait=0.15)
        assert time.monotonic() - started < 0.3
        assert outage.value.dependency is ROW
        await eventually(lambda: not one.ledger.reachable, "the silence is noticed")
        with pytest.raises(Unavailable):
            await hold(one, pin("s", "a"))

        server.cont()
        await one.reached()
        assert await hold(one, pin("s", "b")) is Conflict.SESSION_OF_ANOTHER


async def test_commit_is_overloaded_when_too_many_pins_wait(server: RedisServer) -> None:
    """A flood is refused, and is no outage, which may be open."""
    async with sidecar(server.target, waiting=10) as one:
        sent = (hold(one, pin(f"s{n}", "a")) for n in range(30))

        assert await asyncio.gather(*sent) == [None] * 10 + [Conflict.OVERLOADED] * 20


@pytest.mark.parametrize("wait", [-1.0, 0.0, 0.001])
async def test_commit_is_overloaded_when_the_caller_left_a_pin_no_time(
    server: RedisServer, wait: float
) -> None:
    """Who spends the check's time elsewhere cannot make silence of it."""
    async with sidecar(server.target) as one:
        server.stop()
        assert await hold(one, pin("s", "a"), wait=wait) is Conflict.OVERLOADED
        server.cont()


async def test_pin_is_known_when_replicas_are_too_few(server: RedisServer) -> None:
    """A master that stopped writing still says whose it is, and takes nothing new."""
    async with sidecar(server.target) as one:
        await hold(one, pin("s", "a"))
        await server.ask("CONFIG", "SET", "min-replicas-to-write", 1)

        assert await hold(one, pin("s", "b")) is Conflict.SESSION_OF_ANOTHER
        with pytest.raises(Unavailable, match="NOREPLICAS"):
            await hold(one, pin("t", "a"))


async def test_pin_is_silent_when_the_node_became_a_replica(server: RedisServer) -> None:
    """What a replica cannot write, it does not hold."""
    async with sidecar(server.target) as one:
        await hold(one, pin("s", "a"))
        await server.ask("REPLICAOF", "127.0.0.1", 1)  # nobody there: it keeps its data

        with pytest.raises(Unavailable, match="replica"):
            await hold(one, pin("t", "a"))
        await server.promote()
        await one.reached()
        assert await hold(one, pin("s", "b")) is Conflict.SESSION_OF_ANOTHER
