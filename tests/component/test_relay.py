"""The relay over a real Redis that forgets, dies, lies and hangs; read as a sidecar reads."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from structlog.testing import capture_logs

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.feed_wire import open_beat
from sidecar.relay import publisher as publisher_module
from sidecar.relay import redis_feed as redis_feed_module
from sidecar.relay.app import Start
from sidecar.relay.audit import SupersededError
from sidecar.relay.publisher import Publisher
from sidecar.relay.redis_feed import RedisFeed
from tests.redis_server import RedisServer, asking, eventually, send
from tests.relay_kit import FEED, OF, FeedReader, RelayFolder, Shifting, agent
from tests.tokens import ISSUER

BASE, BEAT = f"{FEED}:base", f"{FEED}:beat"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path / "redis") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, server: RedisServer) -> RelayFolder:
    return RelayFolder(tmp_path / "relay", server.socket)


@pytest.fixture
async def relay(folder: RelayFolder) -> AsyncIterator[Publisher]:
    async with folder.relay(Start.INIT) as made:
        yield made


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    async with asking(server.target) as made:
        yield made


def all_read(folder: RelayFolder, redis: Redis, values: set[str]) -> Callable[[], Awaitable[bool]]:
    """Whether one who reads all from the beginning holds exactly these, and saw no forgery."""

    async def told() -> bool:
        reader = FeedReader(redis, folder.keys)
        try:
            complete = await reader.read()
        except ResponseError:  # a key of another type
            return False
        return complete and reader.holds == values and not reader.forged

    return told


def healed(relay: Publisher, reason: str, times: int = 1) -> Callable[[], bool]:
    return lambda: relay.healed[reason] == times and not relay.silent


async def test_relay_publishes_what_is_revoked_and_lifted(
    folder: RelayFolder, relay: Publisher, redis: Redis
) -> None:
    """Answered with 201 when Redis has it; every record verifies, and none is missing."""
    reader = FeedReader(redis, folder.keys)
    assert await folder.deny("a")
    assert await folder.deny("b")
    assert await reader.read()
    assert reader.holds == {"a", "b"}

    assert await folder.lift("a") == 200
    assert await folder.lift("a") == 404
    assert await reader.read()
    assert reader.holds == await folder.listed() == {"b"}
    assert not reader.forged
    assert await all_read(folder, redis, {"b"})()
    assert not relay.silent


async def test_relay_beats_every_half_second(
    folder: RelayFolder, relay: Publisher, redis: Redis
) -> None:
    """A heartbeat is newer each time, tells of the end, and is gone soon when the relay is."""
    await folder.deny("a")
    beats = [open_beat(await redis.get(BEAT), folder.keys)]  # type: ignore[arg-type]
    before, since = relay.beats, time.monotonic()
    await eventually(lambda: relay.beats >= before + 4, "it beats")
    beats.append(open_beat(await redis.get(BEAT), folder.keys))  # type: ignore[arg-type]

    assert 1.4 < time.monotonic() - since < 6
    assert beats[0].upto == beats[1].upto == 2
    assert abs(beats[1].at / 1000 - time.time()) < 2
    assert beats[1].at > beats[0].at
    assert 0 < await redis.pttl(BEAT) <= 10_000


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tenant": "acmee"}, "tenant: is not known; did you mean 'acme'?"),
        ({"issuer": f"{ISSUER}/"}, "issuer: is not known; did you mean"),
        ({"value": "a b"}, "value: must be what a token can say"),
        ({"kind": "kid"}, "tenant: required, except for a kid"),
        ({"lasts": 0}, "lasts: must be a positive number"),
        ({"lasts": 1e300}, "lasts: must be at most"),
        ({"not_before": -1}, "not_before: must be in seconds"),
        ({"reason": "r" * 1025}, "reason: must have at most 1024 characters"),
        ({"reason": "r" * 5000}, "must have at most 4096 bytes"),
        ({"until": 5}, "unknown field"),
    ],
)
async def test_relay_refuses_what_no_token_or_reader_could_take(
    folder: RelayFolder, change: dict[str, Any], says: str
) -> None:
    """A typo is no revocation, and nothing gets into the feed that readers would refuse."""
    status, answer = await folder.ask("POST", json=agent("a") | change)

    assert status == (413 if "bytes" in says else 400)
    assert says in answer["error"]
    assert await folder.listed() == set()


@pytest.mark.usefixtures("relay")
async def test_relay_lifts_only_what_it_would_add(folder: RelayFolder) -> None:
    """A typo is not "no such entry"."""
    params = {"kind": "agent", **OF, "tenant": "acmee", "value": "a"}
    status, answer = await folder.ask("DELETE", params=params)

    assert (status, "did you mean 'acme'" in answer["error"]) == (400, True)


def lines(*entries: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(entry).encode() for entry in entries)


@pytest.mark.usefixtures("relay")
async def test_relay_takes_many_at_once(folder: RelayFolder, redis: Redis) -> None:
    """A thousand lines are one change of mind: all of them, in one batch."""
    wanted = [agent(f"a-{n}") for n in range(1000)]
    status, answer = await folder.ask("POST", "/deny/many", data=lines(*wanted) + b"\n")

    assert (status, answer) == (201, {"added": 1000, "published": True})
    assert await redis.xlen(FEED) == 1
    assert await all_read(folder, redis, {f"a-{n}" for n in range(1000)})()


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (lines(agent("a"), agent("b") | {"tenant": "x"}), 400, '"line": 2'),
        (lines(agent("a")) + b"\n\n{", 400, '"line": 3'),
        (b"\n \n", 400, "must hold an entry"),
        (lines(*[agent(f"{n}") for n in range(1001)]) + b"\n", 400, "at most 1000 lines"),
        (b" " * (1024 * 1024 + 1), 413, "at most 1048576 bytes"),
    ],
)
async def test_relay_takes_all_of_many_or_none(
    folder: RelayFolder, body: bytes, status: int, says: str
) -> None:
    """One bad line, and nobody is revoked; the line is named."""
    told, answer = await folder.ask("POST", "/deny/many", data=io.BytesIO(body))

    assert (told, says in json.dumps(answer)) == (status, True)
    assert await folder.listed() == set()


async def test_relay_writes_again_what_redis_forgot(
    folder: RelayFolder, relay: Publisher, redis: Redis, server: RedisServer
) -> None:
    """FLUSHALL brings nobody back, neither for old readers nor for new ones."""
    reader = FeedReader(redis, folder.keys)
    await folder.deny("a")
    await reader.read()
    await server.ask("FLUSHALL")
    await eventually(healed(relay, "lost"), "the feed is there again")
    await folder.deny("b")

    await eventually(all_read(folder, redis, {"a", "b"}), "all is published")
    assert await reader.read()
    assert reader.holds == {"a", "b"}


async def test_relay_loses_nothing_when_redis_dies_in_a_burst(
    folder: RelayFolder, relay: Publisher, redis: Redis, server: RedisServer
) -> None:
    """Killed twice, nothing saved: every revocation that was answered is published, once."""
    values = {f"a-{n}" for n in range(400)}
    burst = asyncio.create_task(in_turn(folder, sorted(values)))
    for at in (40, 160):
        await eventually(lambda at=at: relay.upto > at, "the burst is under way")  # type: ignore[misc]
        await server.restart()
    published = await burst

    assert len(published) == 400
    await eventually(all_read(folder, redis, values), "all is published")
    assert (await sample(folder, "scopegate_relay_journal_end")) == 401


async def in_turn(folder: RelayFolder, values: list[str], at_once: int = 8) -> list[bool]:
    turns = asyncio.Semaphore(at_once)

    async def one(value: str) -> bool:
        async with turns:
            return await folder.deny(value)

    return await asyncio.gather(*map(one, values))


async def sample(folder: RelayFolder, name: str) -> float:
    families = text_string_to_metric_families(await folder.metrics())
    return next(one.value for family in families for one in family.samples if one.name == name)


@pytest.mark.usefixtures("relay")
async def test_reader_who_is_up_to_date_holds_all_that_was_answered_before(
    folder: RelayFolder, redis: Redis
) -> None:
    """No heartbeat vouches for a time at which something was kept that it does not tell of."""
    answered: dict[str, float] = {}
    done = asyncio.Event()

    async def revoke() -> None:
        for n in range(150):
            await folder.deny(f"a-{n}")
            answered[f"a-{n}"] = time.time()
        done.set()

    burst = asyncio.create_task(revoke())
    reader = FeedReader(redis, folder.keys)
    complete = 0
    while not done.is_set():
        complete += await reader.read()
        since = (reader.reading.complete_at or 0) / 1000
        known = {value for value, at in tuple(answered.items()) if at < since}
        assert known <= reader.holds
        await asyncio.sleep(0)
    await burst

    assert complete > 10


async def test_relay_adds_what_an_older_snapshot_lacks(
    tmp_path: Path, folder: RelayFolder, relay: Publisher, redis: Redis, server: RedisServer
) -> None:
    """A Redis that comes back with its last RDB, as a lagging replica would, is brought up."""
    reader = FeedReader(redis, folder.keys)
    await folder.deny("a")
    await server.ask("SAVE")
    await folder.deny("b")
    await reader.read()
    await server.restart()
    assert (tmp_path / "redis" / "dump.rdb").exists()

    await eventually(all_read(folder, redis, {"a", "b"}), "what was missing is there")
    assert sum(relay.healed.values()) == 0
    await folder.deny("c")
    assert await reader.read()
    assert reader.holds == {"a", "b", "c"}


async def add_foreign(redis: Redis) -> None:
    await redis.xadd(FEED, {"b": b"nobody signed this"}, id="999-0")


async def add_huge(redis: Redis) -> None:
    await redis.xadd(FEED, {"b": b"x"}, id="18446744073709551615-18446744073709551615")


async def add_within(redis: Redis) -> None:
    await redis.xadd(FEED, {"b": b"x"}, id="4-7")


async def move_last_id(redis: Redis) -> None:
    await send(redis, "XSETID", FEED, "5000-0")


async def drop_middle(redis: Redis) -> None:
    await redis.xdel(FEED, "3-0")


async def swap_last(redis: Redis) -> None:
    await redis.xdel(FEED, "4-0")
    await redis.xadd(FEED, {"b": b"x"}, id="4-1")


async def drop_all(redis: Redis) -> None:
    await redis.xtrim(FEED, maxlen=0, approximate=False)


async def drop_stream(redis: Redis) -> None:
    await redis.delete(FEED)


async def drop_base(redis: Redis) -> None:
    await redis.delete(BASE)


async def pad_base(redis: Redis) -> None:
    await redis.rpush(BASE, b"x")


async def cut_base(redis: Redis) -> None:
    await redis.ltrim(BASE, 1, 0)


async def other_stream(redis: Redis) -> None:
    await redis.set(FEED, "x")


async def other_base(redis: Redis) -> None:
    await redis.set(BASE, "x")


async def other_beat(redis: Redis) -> None:
    await redis.delete(BEAT)
    await redis.rpush(BEAT, b"x")


MISCHIEF = [
    add_foreign,
    add_huge,
    add_within,
    drop_middle,
    swap_last,
    drop_all,
    drop_stream,
    drop_base,
    pad_base,
    cut_base,
    other_stream,
    other_base,
    other_beat,
]


@pytest.mark.usefixtures("relay")
@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
@pytest.mark.parametrize("mischief", MISCHIEF)
async def test_relay_puts_right_what_somebody_did_in_redis(
    folder: RelayFolder,
    redis: Redis,
    mischief: Callable[[Redis], Awaitable[None]],
    busy: bool,  # noqa: FBT001 - a case
) -> None:
    """Whoever can write there can withhold for a moment, and nothing else."""
    for value in ("a", "b", "c"):
        await folder.deny(value)
    await mischief(redis)
    if busy:
        await folder.deny("d")
    wanted = {"a", "b", "c", "d"} if busy else {"a", "b", "c"}

    await eventually(all_read(folder, redis, wanted), "the feed is whole again")
    assert await folder.deny("e")
    assert await all_read(folder, redis, wanted | {"e"})()


async def test_relay_adds_although_the_last_id_was_moved(
    folder: RelayFolder, relay: Publisher, redis: Redis
) -> None:
    """XADD is refused then; the stream is written again, within the same answer."""
    await folder.deny("a")
    await move_last_id(redis)

    assert await folder.deny("b")
    assert relay.healed["ahead"] == 1
    assert await all_read(folder, redis, {"a", "b"})()


async def test_audit_finds_what_a_glance_does_not(
    folder: RelayFolder, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base of the same length with other content is found by the next full look."""
    monkeypatch.setattr(publisher_module, "AUDIT_EVERY_S", 0.1)
    async with folder.relay(Start.INIT) as relay:
        await folder.deny("a")
        await redis.lset(BASE, 0, "nobody signed this")
        await eventually(healed(relay, "foreign"), "the base is ours again")
        assert await all_read(folder, redis, {"a"})()


async def test_relay_takes_revocations_while_redis_is_away(
    folder: RelayFolder, server: RedisServer, redis: Redis
) -> None:
    """202, not 201; published when Redis is there; also over a restart of the relay."""
    server.kill()
    async with folder.relay(Start.INIT) as relay:
        status, answer = await folder.ask("POST", json=agent("a"))
        assert (status, answer["published"]) == (202, False)
        assert await folder.listed() == {"a"}
        assert await sample(folder, "scopegate_relay_pending") == 2
        assert await sample(folder, "scopegate_relay_redis_up") == 0
        assert relay.silent == "redis is not reachable"
    async with folder.relay():
        assert await folder.lift("a") == 202
        assert not await folder.deny("b")
        await server.start()
        await eventually(all_read(folder, redis, {"b"}), "it is published")
        assert await folder.deny("c")


async def test_relay_answers_while_redis_hangs(
    folder: RelayFolder, relay: Publisher, server: RedisServer, redis: Redis
) -> None:
    """A Redis that says nothing holds no operator up, and gets everything once afterwards."""
    await folder.deny("a")
    server.stop()
    since = time.monotonic()
    assert not await folder.deny("b")
    assert time.monotonic() - since < 2.5
    await eventually(lambda: relay.silent == "redis gave no answer in time", "it is noticed")
    since = time.monotonic()
    assert not await folder.deny("c")
    assert time.monotonic() - since < 0.5
    server.cont()

    await eventually(all_read(folder, redis, {"a", "b", "c"}), "it is published")


async def test_relay_stops_when_a_restored_journal_has_grown_past_what_was_published(
    folder: RelayFolder, server: RedisServer
) -> None:
    """Its numbers were given to other changes before; readers would take the new ones for known."""
    async with folder.relay(Start.INIT):
        assert await folder.deny("before")
    backup = folder.journal.with_name("backup.db")
    shutil.copy(folder.journal, backup)
    async with folder.relay():
        assert await folder.deny("a1")
        assert await folder.deny("a2")
    for one in folder.folder.glob("journal.db*"):
        one.unlink()
    shutil.copy(backup, folder.journal)
    server.stop()
    async with folder.relay() as relay:
        for name in ("b1", "b2", "b3"):
            assert not await folder.deny(name)
        server.cont()
        await eventually(lambda: bool(relay.superseded), "it is noticed")

        assert "--new-feed" in relay.superseded


async def test_relay_logs_an_outage_once(
    folder: RelayFolder, relay: Publisher, server: RedisServer
) -> None:
    """One line when it begins and one when it ends, however often Redis was tried."""
    with capture_logs() as logs:
        server.kill()
        await eventually(lambda: bool(relay.silent), "it is noticed")
        await folder.deny("a")
        await asyncio.sleep(1.5)
        await server.start()
        await eventually(lambda: not relay.silent, "it is over")

    said = [line["event"] for line in logs]
    assert said.count("feed_not_published") == 1
    assert said.count("feed_published_again") == 1


async def test_relay_beats_on_when_its_clock_is_set_back(folder: RelayFolder, redis: Redis) -> None:
    """A little back: heartbeats still grow. Far back: what readers refused anyway is left."""

    async def at() -> int:
        return open_beat(await redis.get(BEAT), folder.keys).at  # type: ignore[arg-type]

    clock = Shifting()
    async with folder.relay(Start.INIT, clock) as relay:
        await folder.deny("a")
        clock.ahead = -3
        before, beats = await at(), relay.beats
        await eventually(lambda: relay.beats > beats + 2, "it beats")
        assert before < await at() < before + 100

        clock.ahead = 3600
        await folder.deny("b")
        assert await at() > (time.time() + 3000) * 1000
        clock.ahead = 0
        await folder.deny("c")
        assert abs(await at() / 1000 - time.time()) < 2


async def test_relay_starts_after_its_own_last_beat(folder: RelayFolder, redis: Redis) -> None:
    """A restart with a clock that was set back a little does not make readers wait."""
    clock = Shifting()
    async with folder.relay(Start.INIT, clock):
        await folder.deny("a")
    before = open_beat(await redis.get(BEAT), folder.keys)  # type: ignore[arg-type]
    clock.ahead = -3
    async with folder.relay(Start.GO_ON, clock):
        after = open_beat(await redis.get(BEAT), folder.keys)  # type: ignore[arg-type]

    assert after.at > before.at


async def test_relay_folds_a_long_stream_into_the_base(
    folder: RelayFolder, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream stays short; new readers and those who stand anywhere in it lose nothing."""
    monkeypatch.setattr(publisher_module, "FOLD_AT", 120)
    async with folder.relay(Start.INIT) as relay:
        readers = []
        for n in range(0, 260, 20):
            for one in range(n, n + 20):
                await folder.deny(f"a-{one}")
            readers.append(FeedReader(redis, folder.keys))
            await readers[-1].read()
        wanted = {f"a-{n}" for n in range(260)}

        assert await redis.xlen(FEED) <= 120
        assert sum(relay.healed.values()) == 0
        for reader in [*readers, FeedReader(redis, folder.keys)]:
            assert await reader.read()
            assert reader.holds == wanted


async def test_relay_forgets_what_has_ended(
    folder: RelayFolder, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Journal and base do not grow for ever."""
    monkeypatch.setattr(publisher_module, "FOLD_EVERY_S", 0.2)
    clock = Shifting()
    async with folder.relay(Start.INIT, clock):
        await folder.deny("short", lasts=10)
        await folder.deny("long", lasts=3600)
        clock.passed = 71

        async def forgotten() -> bool:
            return await sample(folder, "scopegate_relay_entries") == 1

        await eventually(forgotten, "the journal forgets")
        clock.ahead = -71  # as readers have it
        await eventually(all_read(folder, redis, {"long"}), "the base, too")


async def test_relay_signs_everything_again_with_a_new_key(
    folder: RelayFolder, redis: Redis
) -> None:
    """After a rotation, readers who have only the new key read all of the feed."""
    async with folder.relay(Start.INIT):
        await folder.deny("a")
    old = set(folder.keys)
    folder.new_key("second.pem")
    async with folder.relay() as relay:
        assert relay.healed["rotated"] == 1
        await folder.deny("b")
        only_new = {kid: key for kid, key in folder.keys.items() if kid not in old}
        reader = FeedReader(redis, only_new)

        assert await reader.read()
        assert reader.holds == {"a", "b"}


async def test_relay_does_not_start_with_an_old_copy_of_its_journal(
    folder: RelayFolder, redis: Redis
) -> None:
    """Its numbers were given to other changes: readers would take new ones for known."""
    copy = folder.folder / "copy.db"
    async with folder.relay(Start.INIT):
        await folder.deny("a")
    shutil.copy(folder.journal, copy)
    async with folder.relay():
        await folder.deny("b")
    reader = FeedReader(redis, folder.keys)
    await reader.read()
    shutil.copy(copy, folder.journal)
    with pytest.raises(SupersededError, match="old copy"):
        async with folder.relay():
            pass

    async with folder.relay(Start.NEW_FEED) as relay:
        assert relay.healed["older_feed"] == 1
        await folder.deny("c")
        await reader.read()
        assert await reader.read()
        assert reader.holds == {"a", "c"}


async def test_relay_refuses_revocations_once_it_learns_that_its_journal_is_old(
    folder: RelayFolder, server: RedisServer, redis: Redis
) -> None:
    """Redis was away at the start: when it is back, nothing is answered as if it held."""
    async with folder.relay(Start.INIT):
        await folder.deny("a")
    copy = folder.folder / "copy.db"
    shutil.copy(folder.journal, copy)
    async with folder.relay():
        await folder.deny("b")
    await server.ask("SAVE")
    server.kill()
    shutil.copy(copy, folder.journal)
    async with folder.relay() as relay:
        assert relay.silent
        await server.start()
        await eventually(lambda: bool(relay.superseded), "it learns")
        before = await redis.xlen(FEED)

        for method, request in (
            ("POST", {"json": agent("c")}),
            ("DELETE", {"params": {"kind": "agent", **OF, "value": "a"}}),
        ):
            status, answer = await folder.ask(method, **request)
            assert (status, "old copy" in answer["error"]) == (503, True)
        assert await sample(folder, "scopegate_relay_superseded") == 1
        assert await redis.xlen(FEED) == before
        assert await all_read(folder, redis, {"a", "b"})()


async def test_relay_does_not_start_when_another_feed_has_replaced_its_own(
    folder: RelayFolder, redis: Redis
) -> None:
    """The wrong volume is mounted: readers left this feed behind, so it would reach nobody."""
    old = folder.folder / "old.db"
    async with folder.relay(Start.INIT):
        await folder.deny("a")
    folder.journal.rename(old)
    async with folder.relay(Start.INIT):
        await folder.deny("b")
    shutil.copy(old, folder.journal)

    with pytest.raises(SupersededError, match="has replaced"):
        async with folder.relay():
            pass
    assert await all_read(folder, redis, {"b"})()


async def test_relay_stops_after_it_has_published(folder: RelayFolder, redis: Redis) -> None:
    """What was answered before the end is in Redis after it."""
    async with folder.relay(Start.INIT):
        status, _ = await folder.ask("POST", "/deny/many", data=lines(*map(agent, "abc")))
        assert status in {201, 202}

    assert await all_read(folder, redis, {"a", "b", "c"})()


async def test_relay_publishes_what_is_left_when_it_stops(
    folder: RelayFolder, redis: Redis
) -> None:
    """Whoever was told "kept" need not wait for the next start."""
    async with folder.relay(Start.INIT) as relay:
        key = DenyKey(DenyKind.AGENT, ISSUER, "acme", "a")
        await relay._journal.add([DenyEntry(key, time.time() + 60)], now=time.time())

    assert await all_read(folder, redis, {"a"})()


@pytest.mark.usefixtures("relay")
async def test_socket_is_its_owners_alone(folder: RelayFolder) -> None:
    """Nobody else on the machine can lift a revocation."""
    assert stat.S_IMODE(os.stat(folder.socket).st_mode) == 0o600  # noqa: PTH116 - in async


@pytest.mark.parametrize("limit", ["_MOST_RECORDS", "_MOST_BASE"])
async def test_look_at_redis_is_bounded(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """More than we could ever have written is not read: it would fill our memory."""
    monkeypatch.setattr(redis_feed_module, limit, 3)
    for _ in range(4):
        await redis.xadd(FEED, {"b": b"x"})
        await redis.rpush(BASE, b"x")
    found = await RedisFeed(redis, FEED).look()

    assert (found.readable, found.records, found.base) == (False, (), ())


async def test_look_ends_at_the_last_possible_id(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis refuses to be asked for what follows it; that must not stop the relay."""
    monkeypatch.setattr(redis_feed_module, "_PAGE", 1)
    await add_within(redis)
    await add_huge(redis)

    assert len((await RedisFeed(redis, FEED).look()).records) == 2


async def test_relay_says_when_redis_takes_nothing(
    folder: RelayFolder, relay: Publisher, server: RedisServer
) -> None:
    """No memory left is an outage like any other: kept, told, published afterwards."""
    await server.ask("CONFIG", "SET", "maxmemory", "1")
    assert not await folder.deny("a")
    await eventually(lambda: relay.silent == "redis has no memory left", "it is noticed")
    await server.ask("CONFIG", "SET", "maxmemory", "0")
    await eventually(lambda: not relay.silent and relay.upto == 2, "it is over")


async def test_relay_outlives_a_bug(
    folder: RelayFolder, relay: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revocations go on; the bug is told by its place."""
    await folder.deny("a")
    with monkeypatch.context() as broken:
        broken.setattr(Publisher, "_published", None)
        assert not await folder.deny("b")
        await eventually(lambda: "a bug: " in relay.silent, "it is told")
    await eventually(lambda: not relay.silent and relay.upto == 3, "it goes on")
