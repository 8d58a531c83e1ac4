"""Single use over real Redis: whatever Redis loses, no token is used twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.redis_script import TOLERANCE_S, Answer, Found, Terms, visit_all
from sidecar.core.model import Claim, Conflict, Unavailable
from tests.redis_server import RedisServer, Wire, asking, eventually, free_port
from tests.redis_sidecar import TAG, SteppingClock, sidecar, token

REPLICATED = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")
EPOCH = f"{TAG}:epoch"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path / "r") as running:
        yield running


async def visit(
    server: RedisServer, *claims: Claim, late: float = 0.0, insist: bool = False
) -> Answer:
    """Run the script once, by a clock that is so many seconds behind."""
    async with asking(server.target) as redis:
        asked = Terms(1000, 0.0).visit(TAG, claims, time.time() - late, insist=insist)
        return (await visit_all(redis, [asked]))[0]


# --- one winner ---------------------------------------------------------------------------------


async def test_commit_has_one_winner_when_two_sidecars_race(server: RedisServer) -> None:
    """Fifty uses at once over two sidecars, a hundred times: one wins each time."""
    async with sidecar(server.target) as one, sidecar(server.target) as other:
        for run in range(100):
            claim = token(f"j{run}")
            sent = ((one, other)[number % 2].use(claim) for number in range(50))
            answers = await asyncio.gather(*sent)

            assert answers.count(None) == 1
            assert answers.count(Conflict.CLAIMED_BEFORE) == 49


async def test_commit_serves_all_when_there_is_one_connection(server: RedisServer) -> None:
    """A thousand commits share two connections: no pool can run empty."""
    async with sidecar(server.target, waiting=1000) as one:
        answers = await asyncio.gather(*(one.use(token(f"j{n}")) for n in range(1000)))
        clients = await server.ask("CLIENT", "LIST")

    assert answers == [None] * 1000
    assert 0 < clients.count(b"name=scopegate") <= 3  # the third asks for the list


async def test_commit_keeps_hostile_keys_apart(server: RedisServer) -> None:
    """A key is bytes: nothing in it is a command, an end or a pattern."""
    keys = ["a", "a\r\nFLUSHALL\r\n", "a\0", "a\0b", "*", "{u}:a", "é", "a b", '"', "", "x" * 9999]
    async with sidecar(server.target) as one:
        for key in keys:
            assert await one.use(token(key)) is None
        for key in keys:
            assert await one.use(token(key)) is Conflict.CLAIMED_BEFORE


@pytest.mark.parametrize("tag", ["t", "", "{}", "{u}", "x{t}"])
async def test_commit_raises_when_a_key_is_of_another_tag(server: RedisServer, tag: str) -> None:
    """Keys of two slots cannot be one atomic step: that is a mistake of ours, and found here."""
    async with sidecar(server.target) as one:
        with pytest.raises(ValueError, match="hash tag"):
            await one.use(token("a"), token("b", tag=tag))


async def test_commit_takes_nothing_when_an_owners_key_is_spoilt(server: RedisServer) -> None:
    """What cannot be done whole is not done in part."""
    await server.ask("SET", token("a", owner="spoilt").owner, "x")
    async with sidecar(server.target) as one:
        assert await one.said(token("a"), token("b", owner="spoilt")) == "unavailable"
        assert await one.use(token("a")) is None


async def test_quota_costs_no_memory_when_all_claims_have_ended(server: RedisServer) -> None:
    """What counts an agent's claims ends with the last of them; so does each claim."""
    async with sidecar(server.target) as one:
        await one.use(token("a", until=30))
        await one.use(token("b", until=60))

        ends = [await server.ask("PTTL", token(key).key) for key in ("a", "b")]
        assert 30_000 < ends[0] < 33_000
        assert 60_000 < ends[1] < 63_000
        assert 60_000 < await server.ask("PTTL", token("a").owner) < 63_000


async def test_quota_forgets_claims_when_they_have_ended(server: RedisServer) -> None:
    """An agent that never stops does not grow what is kept of it."""
    async with sidecar(server.target) as one:
        await one.use(token("a", until=0.2))
        await asyncio.sleep(0.3)
        await one.use(token("b"))

        assert await server.ask("ZRANGE", token("a").owner, 0, -1) == [token("b").key.encode()]


# --- what Redis can lose ------------------------------------------------------------------------


async def test_commit_refuses_the_second_use_when_redis_was_flushed(server: RedisServer) -> None:
    """Who could have been used is not let in; a token from after the loss is."""
    used = token("j", issued=-1)
    async with sidecar(server.target) as one:
        assert await one.said(used) == "not_remembered"  # older than this Redis
        fresh = token("k")
        assert await one.use(fresh) is None
        await server.ask("FLUSHALL")

        assert await one.use(fresh) is Conflict.NOT_REMEMBERED
        assert await one.use(token("l")) is None


async def test_epoch_begins_before_anybody_needs_it(server: RedisServer) -> None:
    """Within half a second of a loss, so that the first token minted after it passes."""
    async with sidecar(server.target) as one:
        await server.ask("FLUSHALL")

        async def begun() -> bool:
            return bool(await server.ask("EXISTS", EPOCH))

        await eventually(begun, "the epoch began without a commit")
        assert await one.use(token("j")) is None


@pytest.mark.parametrize(
    "persistence",
    [(), ("--appendonly", "yes"), ("--appendonly", "yes", "--appendfsync", "always")],
    ids=["nothing", "everysec", "always"],
)
async def test_commit_refuses_the_second_use_when_redis_was_killed(
    tmp_path: Path, persistence: tuple[str, ...]
) -> None:
    """``kill -9``: whatever was on disk, nobody is let in twice, and new tokens soon are."""
    async with (
        RedisServer(tmp_path / "r", *persistence) as server,
        sidecar(server.target) as one,
    ):
        used = token("j")
        assert await one.use(used) is None
        await server.restart()
        said: list[str] = []

        async def answered() -> bool:
            said.append(await one.said(used))
            return said[-1] != "unavailable"

        await eventually(answered, "Redis is back")
        assert said[-1] == "not_remembered"
        await one.reached()
        assert await one.use(token("k")) is None


async def test_commit_refuses_the_second_use_when_a_lagging_replica_took_over(
    tmp_path: Path,
) -> None:
    """The replica has the epoch and not the claim: an epoch holds for the node that wrote it."""
    async with (
        RedisServer(tmp_path / "a", *REPLICATED, tcp=True) as master,
        Wire(master) as wire,
        RedisServer(tmp_path / "b", replica_of=wire) as replica,
    ):
        await replica.follows(master)
        async with sidecar(master.target) as one:
            used = token("j")
            await replica.follows(master)
            wire.hold()
            assert await one.use(used) is None
        master.kill()
        await replica.promote()
        assert await replica.ask("EXISTS", EPOCH) == 1
        assert await replica.ask("EXISTS", used.key) == 0

        async with sidecar(replica.target) as other:
            assert await other.use(used) is Conflict.NOT_REMEMBERED
            assert await other.use(token("k")) is None


async def test_commit_refuses_the_second_use_when_a_node_was_demoted_and_came_back(
    tmp_path: Path,
) -> None:
    """Between demotion and promotion another node claimed; our connection noticed neither."""
    async with (
        RedisServer(tmp_path / "a", tcp=True) as a,
        RedisServer(tmp_path / "b") as b,
        asking(a.target) as redis,
    ):

        async def use(claim: Claim) -> Answer:
            asked = Terms(1000, 0.0).visit(TAG, [claim], time.time())
            return (await visit_all(redis, [asked]))[0]

        await visit(a)
        await visit(b)
        before, run = await redis.client_id(), (await a.info("server"))["run_id"]
        assert await use(token("first")) == Found("ok", "")
        await a.ask("REPLICAOF", "127.0.0.1", free_port())  # nobody there: it keeps its data
        claimed = token("second")
        assert await visit(b, claimed) == Found("ok", "")
        await a.promote()

        assert await use(claimed) == Found("not_remembered", "node")
        assert await redis.client_id() == before
        assert (await a.info("server"))["run_id"] == run


async def test_epoch_is_bound_to_all_that_names_a_node(server: RedisServer) -> None:
    """The run, the replication history and the count of evictions: each alone ends it."""
    await visit(server)
    bound = (await server.ask("HGET", EPOCH, "node")).decode().split()
    facts = await server.info("everything")
    assert bound == [facts["run_id"], facts["master_replid"], str(facts["evicted_keys"])]
    for place in range(3):
        other = [*bound[:place], "0" * len(bound[place]) + "1", *bound[place + 1 :]]
        await server.ask("HSET", EPOCH, "node", " ".join(other))
        assert await visit(server) == Found("ok", "node")


async def test_epoch_ends_when_redis_evicted_keys(server: RedisServer) -> None:
    """An operator's mistake of a moment: what was thrown out may have been a claim."""
    await visit(server)
    await server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    await server.ask("SET", "padding", "x" * 1000)
    await server.ask("CONFIG", "SET", "maxmemory", 1)
    await eventually_evicted(server)
    await server.ask("CONFIG", "SET", "maxmemory", 0)
    await server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")

    answer = await visit(server)
    assert isinstance(answer, Found)
    assert answer.began in {"node", "none"}


async def eventually_evicted(server: RedisServer) -> None:
    async def evicted() -> bool:
        return bool((await server.info("stats"))["evicted_keys"])

    await eventually(evicted, "Redis evicted something")


async def test_epoch_is_named_by_evictions_when_the_epoch_itself_was_kept(
    server: RedisServer,
) -> None:
    """The claim was thrown out and the epoch was not: the count of evictions is in its name."""
    claim = token("j", issued=60)
    await visit(server)
    assert await visit(server, claim) == Found("ok", "")
    epoch = await server.ask("HGETALL", EPOCH)
    await server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    await server.ask("CONFIG", "SET", "maxmemory", 1)
    await eventually_evicted(server)
    await server.ask("CONFIG", "SET", "maxmemory", 0)
    await server.ask("DEL", claim.key)
    await server.ask("HSET", EPOCH, *(part for pair in epoch.items() for part in pair))

    answer = await visit(server)
    assert answer == Found("ok", "node")


@pytest.mark.parametrize("ahead", [0.0, 30.0])
async def test_epoch_refuses_tokens_from_ahead_of_its_beginning(
    server: RedisServer, ahead: float
) -> None:
    """A token of an issuer whose clock is ahead was used before the loss, and looks newer."""
    async with sidecar(server.target, ahead=ahead) as one:
        from_ahead = token("j", issued=20)

        assert (await one.said(from_ahead) == "passed") is (ahead == 0)
        assert await one.use(token("k", issued=31)) is None


# --- clocks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("clock", ["+3600", "-3600"])
async def test_commit_has_one_winner_when_redis_clock_is_wrong(tmp_path: Path, clock: str) -> None:
    """An hour off and constant: the first use passes and the second does not."""
    async with RedisServer(tmp_path / "r", clock=clock) as server:
        here = int((await server.ask("TIME"))[0])
        assert abs(abs(here - time.time()) - 3600) < 5

        async with sidecar(server.target) as one, sidecar(server.target) as other:
            used = token("j", until=30)
            assert await one.use(used) is None
            assert await one.use(used) is Conflict.CLAIMED_BEFORE
            assert await other.use(used) is Conflict.CLAIMED_BEFORE


@pytest.mark.parametrize("jump", ["+3600", "-3600"])
async def test_commit_refuses_the_second_use_when_redis_clock_jumped(
    tmp_path: Path, jump: str
) -> None:
    """The jump ended a living claim, and the epoch with it; new tokens pass soon after.

    It is no outage in between, which would let a used token's read pass.
    """
    async with RedisServer(tmp_path / "r", clock="+0") as server, sidecar(server.target) as one:
        used = token("j")
        assert await one.use(used) is None
        server.set_clock(jump)
        said: list[str] = []

        async def settled() -> bool:
            said.append(await one.said(used))
            return said[-1] == "not_remembered"

        await eventually(settled, "the old token is refused as not remembered")
        assert set(said) <= {"not_remembered", "claimed_before"}

        async def new_ones_pass() -> bool:
            return await one.said(token("k")) == "passed"

        await eventually(new_ones_pass, "a new epoch has begun")
        assert await one.said(used) == "not_remembered"


async def test_commit_refuses_the_second_use_when_our_own_clock_was_set_back(
    server: RedisServer,
) -> None:
    """The only sidecar, so the epoch begins anew by its clock: what was used is from its future."""
    clock = SteppingClock()
    async with sidecar(server.target, clock=clock) as one:
        await one.reached()
        used = token("j", until=3)
        assert await one.use(used) is None
        clock.ahead = -8
        ends = time.monotonic() + 8
        while time.monotonic() < ends:
            assert await one.said(used) != "passed"
            await asyncio.sleep(0.2)


async def test_commit_is_refused_when_this_sidecars_clock_is_the_odd_one(
    server: RedisServer,
) -> None:
    """Others agree with Redis: then the one that does not is told so, and changes nothing."""
    async with sidecar(server.target) as good:
        used = token("j")
        assert await good.use(used) is None
        with capture_logs() as logs:
            async with sidecar(server.target, clock_ahead=60) as odd:
                with pytest.raises(Unavailable, match="clock is not the other sidecars'"):
                    await odd.use(token("k"))
                assert await odd.use(used) is Conflict.CLAIMED_BEFORE

        events = [line["event"] for line in logs]
        assert sorted(events) == ["replay_store_available", "replay_store_clock_differs"]
        assert await good.use(token("k")) is None
        assert await good.use(used) is Conflict.CLAIMED_BEFORE


@pytest.mark.parametrize("seen", [-10, 10])
async def test_epoch_survives_a_visit_that_lay_in_a_buffer(server: RedisServer, seen: int) -> None:
    """While Redis stands still, nobody is seen and a visit's own time grows old with it."""
    async with asking(server.target) as redis:
        await visit(server)
        here = int((await server.ask("TIME"))[0])
        await server.ask("HSET", EPOCH, "seen", here + seen)
        before = await redis.hgetall(EPOCH)

        assert await visit(server, token("j"), late=8) == Found("jumped", "")
        assert await redis.hgetall(EPOCH) == before
        assert await visit(server, late=8, insist=True) == Found("ok", "clock")


async def test_epoch_does_not_begin_anew_when_somebody_still_agrees(server: RedisServer) -> None:
    """Insisting is of no use to the odd one."""
    await visit(server)

    assert await visit(server, late=8, insist=True) == Found("clock", "")


async def test_epoch_is_seen_to_be_agreed_with_by_whoever_looks(server: RedisServer) -> None:
    """Or else it would look abandoned after five seconds, and anybody's clock could end it."""
    await visit(server)
    here = int((await server.ask("TIME"))[0])
    await server.ask("HSET", EPOCH, "seen", here - 4)

    assert await visit(server) == Found("ok", "")
    assert float(await server.ask("HGET", EPOCH, "seen")) >= here


async def test_epoch_holds_when_there_is_no_room_to_say_that_it_was_seen(
    server: RedisServer,
) -> None:
    """A full Redis still knows since when it remembers."""
    await visit(server)
    await server.ask("HSET", EPOCH, "seen", int((await server.ask("TIME"))[0]) - 4)
    await server.ask("CONFIG", "SET", "maxmemory", 1)

    assert await visit(server) == Found("ok", "")


@pytest.mark.parametrize("late", [1.8, -1.8])
async def test_claim_outlives_its_token_by_every_clock_that_is_accepted(
    server: RedisServer, late: float
) -> None:
    """Whoever claims within the tolerance, all others within it find the claim at its end."""
    await visit(server)
    claim = token("j", issued=60, until=100)
    assert await visit(server, claim, late=late) == Found("ok", "")

    ends = time.time() + await server.ask("PTTL", claim.key) / 1000
    assert ends == pytest.approx(claim.until + TOLERANCE_S, abs=0.2)


# --- room ---------------------------------------------------------------------------------------


async def test_commit_knows_the_second_use_when_redis_is_full(server: RedisServer) -> None:
    """Nothing new fits, which is a refusal and no outage, and what was used stays used."""
    async with sidecar(server.target) as one:
        used = token("j")
        assert await one.use(used) is None
        await server.ask("CONFIG", "SET", "maxmemory", 1)
        await asyncio.sleep(1.1)  # two looks of the watcher, neither of them may hide this

        assert await one.use(token("k")) is Conflict.OVERLOADED
        assert await one.use(used) is Conflict.CLAIMED_BEFORE
        await server.ask("CONFIG", "SET", "maxmemory", 0)
        assert await one.use(token("k")) is None


async def test_commit_knows_the_second_use_when_redis_is_full_and_the_epoch_is_another_nodes(
    server: RedisServer,
) -> None:
    """A new epoch has no room to begin in; the claim that is there says enough."""
    async with sidecar(server.target) as one:
        used = token("j")
        assert await one.use(used) is None
    await server.ask("HSET", EPOCH, "node", "another")
    await server.ask("CONFIG", "SET", "maxmemory", 1)

    assert await visit(server, used) == Found("claimed_before", "")
    assert not isinstance(await visit(server, token("k")), Found)


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_commit_is_refused_when_redis_may_evict(server: RedisServer, policy: str) -> None:
    """A claim that made room for something could be claimed again; a log line says what to set."""
    await server.ask("CONFIG", "SET", "maxmemory-policy", policy)
    with capture_logs() as logs:
        async with sidecar(server.target) as one:
            assert not one.ledger.reachable
            with pytest.raises(Unavailable, match="set maxmemory-policy noeviction"):
                await one.use(token("j"))
            await server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
            await one.reached()
            assert await one.use(token("j")) is None

    assert logs[0]["event"] == "replay_store_unavailable"
    assert "noeviction" in logs[0]["why"]


async def test_commit_is_refused_when_a_master_would_go_on_alone(tmp_path: Path) -> None:
    """With a replica there may be a failover: a master that is cut off has to stop by itself."""
    async with (
        RedisServer(tmp_path / "a", tcp=True) as master,
        sidecar(master.target) as one,
    ):
        assert await one.use(token("i")) is None
        async with RedisServer(tmp_path / "b", replica_of=master) as replica:
            await replica.follows(master)
            await eventually(lambda: not one.ledger.reachable, "the replica was noticed")
            with pytest.raises(Unavailable, match="set min-replicas-to-write"):
                await one.use(token("j"))
        # Cut off from its replica, which may be the master by now.
        await asyncio.sleep(1.2)
        assert await one.said(token("j")) == "unavailable"

        await master.ask("CONFIG", "SET", "min-replicas-to-write", 1)
        await one.reached()
        with pytest.raises(Unavailable, match="NOREPLICAS"):
            await one.use(token("j"))


async def test_commit_knows_the_second_use_when_replicas_are_too_few(tmp_path: Path) -> None:
    """A master that stopped writing still says what was used."""
    async with (
        RedisServer(tmp_path / "a", *REPLICATED, tcp=True) as master,
        RedisServer(tmp_path / "b", replica_of=master) as replica,
    ):
        await replica.follows(master)
        async with sidecar(master.target) as one:
            used = token("j")
            assert await one.use(used) is None
            replica.kill()
            await asyncio.sleep(0.7)  # a look of the watcher, which may not hide this

            assert await one.use(used) is Conflict.CLAIMED_BEFORE
            assert await one.said(token("k")) == "unavailable"


async def test_commit_is_refused_when_the_node_is_a_replica(tmp_path: Path) -> None:
    """Also one that takes writes: nobody else would hear of the claim."""
    async with (
        RedisServer(tmp_path / "a", tcp=True) as master,
        RedisServer(tmp_path / "b", "--replica-read-only", "no", replica_of=master) as replica,
    ):
        await replica.follows(master)
        async with sidecar(replica.target) as one:
            assert not one.ledger.reachable
            with pytest.raises(Unavailable, match="redis is a replica"):
                await one.use(token("j"))
        assert await visit(replica, token("j")) == Found("not_master", "")
