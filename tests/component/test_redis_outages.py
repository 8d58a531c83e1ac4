"""The shared ledger when Redis is silent, gone, another node, or more is asked than it serves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
from redis.asyncio import Redis

from sidecar.adapters import redis_trips
from sidecar.adapters.redis_link import RedisTarget
from sidecar.adapters.redis_script import Answer, Found, Visit, facts_of
from sidecar.core.model import Claim, Conflict, Dependency, Unavailable
from tests.redis_server import RedisSentinel, RedisServer, Wire, eventually, free_port
from tests.redis_sidecar import Sidecar, sidecar, token


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path / "r") as running:
        yield running


async def took(one: Sidecar, key: str, *, wait: float) -> float:
    """Seconds until a commit was told that nobody answers."""
    started = time.monotonic()
    with pytest.raises(Unavailable) as outage:
        await one.use(token(key), wait=wait)
    assert outage.value.dependency is Dependency.REPLAY_OF_SINGLE_USE_TOKEN
    return time.monotonic() - started


# --- silence ------------------------------------------------------------------------------------


async def test_start_is_no_error_when_redis_is_away(tmp_path: Path) -> None:
    """A sidecar starts without Redis; what needs it is unavailable until it is there."""
    server = RedisServer(tmp_path / "r")
    async with sidecar(server.target) as one:
        assert not one.ledger.reachable
        assert await took(one, "j", wait=5) < 0.1
        async with server:
            await one.reached()
            assert await one.use(token("j")) is None


@pytest.mark.parametrize("timeout", [0.25, 30.0])
async def test_commit_raises_by_its_deadline_when_redis_hangs(
    server: RedisServer,
    timeout: float,  # noqa: ASYNC109 - redis-py's own, which is not relied on
) -> None:
    """A stopped process keeps its connections: only time tells. Then nobody waits any more."""
    async with sidecar(server.target, timeout=timeout) as one:
        used = token("j")
        assert await one.use(used) is None
        server.stop()
        first = await asyncio.gather(*(took(one, f"k{n}", wait=0.15) for n in range(20)))
        assert max(first) < 0.3
        started = time.monotonic()
        await eventually(lambda: not one.ledger.reachable, "the silence is noticed")
        assert time.monotonic() - started < 2
        assert await took(one, "l", wait=5) < 0.05

        server.cont()
        await one.reached()
        assert await one.use(used) is Conflict.CLAIMED_BEFORE
        assert await one.use(token("m")) is None


async def test_commit_gets_its_own_answer_when_those_before_it_came_too_late(
    server: RedisServer,
) -> None:
    """Answers of the given-up are never read as those of others."""
    async with sidecar(server.target) as one:
        used = [token(f"u{n}") for n in range(5)]
        assert await asyncio.gather(*map(one.use, used)) == [None] * 5
        for run in range(5):
            server.stop()
            late = [one.said(claim, wait=0.05) for claim in used]
            assert set(await asyncio.gather(*late)) == {"unavailable"}
            server.cont()
            await one.reached()

            claims = [token(f"{run}-{n}") for n in range(5)]
            said = await asyncio.gather(*(one.said(claim, wait=5) for claim in claims))
            assert said == ["passed"] * 5
            again = await asyncio.gather(*(one.said(claim, wait=5) for claim in used))
            assert again == ["claimed_before"] * 5


async def test_commit_is_served_again_when_redis_was_restarted(server: RedisServer) -> None:
    """Connections break, and are made again; the script is loaded again."""
    async with sidecar(server.target) as one:
        for run in range(3):
            assert await one.use(token(f"j{run}")) is None
            await server.restart()
            await one.reached()

            async def served(key: str = f"k{run}") -> bool:
                return await one.said(token(key, issued=60)) == "passed"

            await eventually(served, "commits pass again")


async def test_commit_is_served_when_redis_forgot_the_script(server: RedisServer) -> None:
    """``SCRIPT FLUSH`` in the middle of everything costs one round trip."""
    async with sidecar(server.target) as one:
        claims = [token(f"j{n}") for n in range(50)]
        await server.ask("SCRIPT", "FLUSH")

        assert await asyncio.gather(*map(one.use, claims)) == [None] * 50
        await server.ask("SCRIPT", "FLUSH")
        again = await asyncio.gather(*map(one.use, claims))
        assert again == [Conflict.CLAIMED_BEFORE] * 50


async def test_commit_hears_at_once_when_the_ledger_closes(server: RedisServer) -> None:
    """Nobody waits for an answer that will not come."""
    async with sidecar(server.target) as one:
        server.stop()
        waiting = [asyncio.create_task(took(one, f"j{n}", wait=9)) for n in range(300)]
        await asyncio.sleep(0.05)
        await one.ledger.close()

        assert max(await asyncio.gather(*waiting)) < 2
        assert not one.ledger.reachable
        server.cont()


@pytest.mark.parametrize("where", ["redis_health", "redis_trips"])
async def test_close_ends_when_a_cancellation_is_lost(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Python 3.11's ``wait_for``, which redis-py sends with, can swallow one."""
    lost = asyncio.Event()

    async def lose(redis: Redis, visits: Sequence[Visit]) -> list[Answer]:
        del redis
        lost.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return [Found("ok", "") for _ in visits]

    async with sidecar(server.target) as one:
        monkeypatch.setattr(f"sidecar.adapters.{where}.visit_all", lose)
        using = asyncio.create_task(one.said(token("j"), wait=5))
        await lost.wait()
        async with asyncio.timeout(5):
            await one.ledger.close()
        await using


async def test_ledger_stays_reachable_when_our_own_loop_was_busy(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever keeps this process busy for a while does not make an outage of it."""
    asked = asyncio.Event()

    async def busy(redis: Redis) -> Mapping[str, Any]:
        if not asked.is_set():
            asked.set()
            time.sleep(0.3)  # noqa: ASYNC251 - longer than a look may take
            await asyncio.sleep(0.001)  # here the time that is over is noticed
        return await facts_of(redis)

    async with sidecar(server.target) as one:
        monkeypatch.setattr("sidecar.adapters.redis_health.facts_of", busy)
        await asked.wait()
        for _ in range(20):
            await asyncio.sleep(0.02)
            assert one.ledger.reachable


# --- more than there is room for ----------------------------------------------------------------


async def test_commit_is_overloaded_when_too_many_wait(server: RedisServer) -> None:
    """A flood is refused, which is closed for everybody: it is no outage, which may be open."""
    async with sidecar(server.target, waiting=10) as one:
        answers = await asyncio.gather(*(one.use(token(f"j{n}")) for n in range(30)))

        assert answers == [None] * 10 + [Conflict.OVERLOADED] * 20


@pytest.mark.parametrize("wait", [-1.0, 0.0, 0.001])
async def test_commit_is_overloaded_when_the_caller_left_no_time(
    server: RedisServer, wait: float
) -> None:
    """Who spends the check's time elsewhere cannot make silence of it."""
    async with sidecar(server.target) as one:
        server.stop()
        assert await one.use(token("j"), wait=wait) is Conflict.OVERLOADED
        server.cont()


async def test_commit_is_overloaded_when_others_were_answered_all_the_while(
    server: RedisServer,
) -> None:
    """Time ran out in our own queue, not in Redis."""
    async with sidecar(server.target, waiting=100_000) as one:
        before = (one.use(token(f"j{n}"), wait=30) for n in range(3000))
        crowd = [asyncio.create_task(waiting) for waiting in before]
        await asyncio.sleep(0)

        assert await one.use(token("last"), wait=0.1) is Conflict.OVERLOADED
        assert set(await asyncio.gather(*crowd)) == {None}
        assert await one.use(token("last")) is None  # a commit whose time is over is not sent


async def test_commit_is_sent_once_when_its_connection_breaks(server: RedisServer) -> None:
    """redis-py would send it again: the second claim would find the first, which was its own."""
    async with sidecar(server.target) as one:
        claims = [token(f"j{n}") for n in range(200)]

        async def killing() -> None:
            for _ in range(40):
                await server.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

        killed = asyncio.create_task(killing())
        said = [await one.said(claim, wait=1) for claim in claims]
        await killed

        assert set(said) <= {"passed", "unavailable"}


# --- failover -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Watched:
    """Three nodes and who watches them."""

    master: RedisServer
    replicas: tuple[RedisServer, RedisServer]
    sentinel: RedisSentinel


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    """A master whose two replicas have everything, and a sentinel that knows all three."""
    replicated = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")
    async with (
        RedisServer(tmp_path / "a", *replicated, tcp=True) as master,
        RedisServer(tmp_path / "b", *replicated, replica_of=master) as b,
        RedisServer(tmp_path / "c", *replicated, replica_of=master) as c,
    ):
        await b.follows(master)
        await c.follows(master)
        async with RedisSentinel(tmp_path / "sentinel", master) as sentinel:

            async def complete() -> bool:
                return await sentinel.replicas() == 2

            await eventually(complete, "the sentinel knows both replicas")
            yield Watched(master, (b, c), sentinel)


async def test_commit_follows_the_master_when_sentinel_fails_over(
    watched: Watched, tmp_path: Path
) -> None:
    """The next master serves new tokens, and refuses those that the last one may have seen."""
    async with RedisSentinel(tmp_path / "hanging", watched.master) as hanging:
        hanging.stop()  # the first one to be asked
        ports = (hanging.port, watched.sentinel.port)
        sentinels = tuple(("127.0.0.1", port) for port in ports)
        async with sidecar(RedisTarget(sentinels=sentinels, service="gate")) as one:
            await one.reached()
            used = token("j")
            assert await one.use(used) is None
            watched.master.kill()

            assert "passed" not in await until(one, used, "not_remembered")
            assert await watched.sentinel.master_port() != watched.master.port
            await one.reached()
            assert await one.use(token("k")) is None


async def test_commit_looks_for_the_master_again_when_ours_became_a_replica(
    watched: Watched,
) -> None:
    """The connection to a demoted master still works; it is given up all the same."""
    async with sidecar(watched.sentinel.target) as one:
        await one.reached()
        used = token("j")
        assert await one.use(used) is None
        await watched.sentinel.fail_over()

        assert "passed" not in await until(one, used, "not_remembered")
        assert await watched.sentinel.master_port() != watched.master.port
        await one.reached()
        assert await one.use(token("k")) is None


async def test_commit_goes_where_the_address_leads_now_when_ours_became_a_replica(
    tmp_path: Path,
) -> None:
    """One address that leads to the master: a connection from before leads elsewhere."""
    replicated = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")
    async with (
        RedisServer(tmp_path / "a", *replicated, tcp=True) as a,
        RedisServer(tmp_path / "b", *replicated, replica_of=a) as b,
        Wire(a) as wire,
    ):
        await b.follows(a)  # before that, no epoch has anywhere to begin
        async with sidecar(RedisTarget(host="127.0.0.1", port=wire.port)) as one:
            await one.reached()
            used = token("j")
            assert await one.use(used) is None
            wire.lead_to(b)
            await b.promote()
            await a.ask("REPLICAOF", *b.address)
            await eventually(lambda: not one.ledger.reachable, "the demotion is noticed")
            await a.follows(b)
            await one.reached()

            assert await one.use(used) is Conflict.NOT_REMEMBERED
            assert await one.use(token("k")) is None


async def test_commit_drops_its_connection_when_it_leads_to_a_replica(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the one that looks at Redis' health has found the master already."""
    dropped: list[Redis] = []

    async def not_master(redis: Redis, visits: Sequence[Visit]) -> list[Answer]:
        del redis
        return [Found("not_master", "") for _ in visits]

    async def drop(redis: Redis) -> None:
        dropped.append(redis)

    async with sidecar(server.target) as one:
        monkeypatch.setattr("sidecar.adapters.redis_trips.visit_all", not_master)
        monkeypatch.setattr("sidecar.adapters.redis_trips.forget_node", drop)
        with pytest.raises(Unavailable, match="redis is a replica"):
            await one.use(token("j"))
        await eventually(lambda: bool(dropped), "the connection was dropped")


async def until(one: Sidecar, claim: Claim, wanted: str) -> set[str]:
    """Commit again and again until this is said; all that was said."""
    said: set[str] = set()

    async def there() -> bool:
        said.add(word := await one.said(claim))
        return word == wanted

    await eventually(there, wanted)
    return said


async def test_commit_is_unavailable_when_no_sentinel_knows_a_master() -> None:
    """Nobody to ask is an outage."""
    nobody = RedisTarget(sentinels=(("127.0.0.1", free_port()),), service="gate")
    async with sidecar(nobody) as one:
        with pytest.raises(Unavailable, match="no sentinel knows the master"):
            await one.use(token("j"))


async def test_commit_is_refused_when_sentinel_rules_a_master_without_min_replicas(
    tmp_path: Path,
) -> None:
    """Sentinel means that there will be a failover, also while no replica is there to be seen."""
    async with (
        RedisServer(tmp_path / "a", tcp=True) as master,
        RedisSentinel(tmp_path / "sentinel", master) as sentinel,
        sidecar(sentinel.target) as one,
    ):
        await eventually(
            lambda: "min-replicas" in one.ledger._watch.fault, "the missing setting is named"
        )
        with pytest.raises(Unavailable, match="set min-replicas-to-write"):
            await one.use(token("j"))


# --- whose silence it is ------------------------------------------------------------------------


async def no_answer(*_: object) -> NoReturn:
    """What a commit waits for that is never answered."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets that event")


async def test_commit_is_overloaded_when_redis_answers_others(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that is answered while a commit waits shows that Redis is not the silent one."""
    async with sidecar(server.target) as one:
        await one.reached()
        monkeypatch.setattr(redis_trips, "visit_all", no_answer)

        assert await one.said(token("j1"), wait=0.6) == Conflict.OVERLOADED.value


async def test_commit_is_overloaded_when_this_process_woke_up_late(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who keeps the process busy does not make an outage of it, which would open reads."""
    async with sidecar(server.target) as one:
        await one.reached()
        monkeypatch.setattr(redis_trips, "visit_all", no_answer)
        monkeypatch.setattr(one.ledger._watch, "doubt", lambda: None)
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, time.sleep, 0.3)

        assert await one.said(token("j1"), wait=0.1) == Conflict.OVERLOADED.value
