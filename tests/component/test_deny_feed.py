"""The deny feed through a real Redis that is killed, emptied, stopped and lied to.

Whatever happens to Redis, a list is either complete and fresh, or it says that it is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis
from redis.exceptions import RedisError
from structlog.testing import capture_logs

from sidecar.adapters import deny_snapshot, redis_deny_feed
from sidecar.adapters.deny_snapshot import DenySnapshot
from sidecar.adapters.fed_deny_list import FedDenyList
from sidecar.adapters.redis_deny_feed import RedisDenyFeed
from sidecar.clock import SystemClock
from sidecar.core.feed import Batch
from sidecar.core.model import Dependency, Unavailable
from sidecar.tasks import ended
from tests.feed_source import KEYS, NEWER, FeedSource, Publisher, agent_key, denial
from tests.redis_server import RedisServer, asking, eventually
from tests.values import make_agent

NAME = "scopegate:deny"
CLOCK = SystemClock()
LATER = time.time() + 3600
HUGE = "18446744073709551615-1"


class Line:
    """A server, a publisher, and one reader of its feed."""

    def __init__(self, server: RedisServer, folder: Path) -> None:
        self.server = server
        self.source = FeedSource()
        self._file = folder / "own" / "deny.feed"

    @contextlib.asynccontextmanager
    async def reading(
        self, *, stale_after: float = 1.0, on_disk: bool = False, capacity: int = 1_000_000
    ) -> AsyncIterator[None]:
        """Run a reader for as long as the context lasts."""
        deny_list = self.list = FedDenyList(
            keys=KEYS,
            capacity=capacity,
            stale_after=stale_after,
            clock=CLOCK,
            snapshot=DenySnapshot(self._file) if on_disk else None,
        )
        await deny_list.start()
        async with asking(self.server.target, timeout=0.5) as redis:
            feed = self.feed = RedisDenyFeed(redis, NAME, deny_list, CLOCK, random=lambda: 0.5)
            feed.start()
            try:
                yield
            finally:
                await feed.close()
                await deny_list.close()

    @contextlib.asynccontextmanager
    async def publishing(self, source: FeedSource | None = None) -> AsyncIterator[Publisher]:
        """A publisher that sends heartbeats for as long as the context lasts."""
        async with asking(self.server.target) as redis:
            publisher = Publisher(source or self.source, redis, NAME)
            async with publisher.beating():
                yield publisher

    def deny(self, *names: str) -> None:
        self.source.deny(*(denial(name, until=LATER) for name in names))

    def names(self) -> set[str]:
        return {entry.key.value for entry in self.list.entries(now=time.time())}

    def silence(self) -> Dependency | None:
        """What the list gives for an answer when no entry refuses."""
        try:
            agent = make_agent(agent="nobody", subject="nobody")
            assert self.list.find(agent, now=time.time()) is None
        except Unavailable as silent:
            return silent.dependency
        return None

    def is_fresh(self) -> bool:
        return self.silence() is None

    def is_stale(self) -> bool:
        return self.silence() is Dependency.DENY_LIST

    def counted(self, word: str) -> int:
        return self.list.tally.by_word()[word]

    async def has(self, *names: str) -> None:
        """Wait until these are denied, and the list says that this is all."""
        await eventually(
            lambda: self.names() == set(names) and self.is_fresh(), f"{names} are denied"
        )

    async def refuses(self, name: str) -> None:
        await eventually(lambda: name in self.names(), f"{name} is denied")


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    async with RedisServer(tmp_path / "r") as server:
        yield Line(server, tmp_path)


async def test_a_revocation_is_there_within_a_second(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pushed, not polled; and a lift as well."""
    took: list[float] = []
    async with line.publishing() as publisher, line.reading():
        await publisher.publish()
        await eventually(line.is_fresh, "the list is complete")
        for n in range(30):
            line.deny(str(n))
            began = time.perf_counter()
            await publisher.publish()
            while str(n) not in line.names():  # noqa: ASYNC110 - measured to the millisecond
                await asyncio.sleep(0.001)
            took.append(time.perf_counter() - began)
        line.source.lift(agent_key("7"))
        await publisher.publish()
        await line.has(*(str(n) for n in range(30) if n != 7))
        assert (line.list.upto, line.list.behind) == (line.source.end, False)
        assert line.list.lag is not None
        assert line.list.lag < 1

    assert max(took) < 1
    with capsys.disabled():
        print(f"\npush: p50 {sorted(took)[15] * 1e3:.1f} ms, max {max(took) * 1e3:.1f} ms")  # noqa: T201 - measured, not judged


async def test_redis_that_is_killed_loses_nothing(line: Line) -> None:
    """The list holds, becomes stale, and goes on with what the relay writes again."""
    async with line.publishing() as publisher, line.reading():
        line.deny("a")
        await publisher.publish()
        await line.has("a")
        assert line.feed.reachable

        line.server.kill()
        await eventually(lambda: line.is_stale() and not line.feed.reachable, "it is stale")
        assert line.names() == {"a"}

        line.deny("b")
        await line.server.start()
        await publisher.rewrite()
        await line.has("a", "b")
        assert line.feed.reachable


async def test_redis_that_is_emptied_loses_nothing(line: Line) -> None:
    """``FLUSHALL``: a reader who has everything misses nothing; a new one reads the base."""
    async with line.publishing() as publisher, line.reading():
        line.deny("a", "b", "c")
        await publisher.publish()
        await line.has("a", "b", "c")
        await line.server.ask("FLUSHALL")
        line.deny("d")
        await publisher.rewrite()
        await line.has("a", "b", "c", "d")

        async with line.reading():
            await line.has("a", "b", "c", "d")


async def test_redis_that_hangs_is_noticed_and_missed(line: Line) -> None:
    """``SIGSTOP``: the connection stands and says nothing."""
    async with line.publishing() as publisher, line.reading():
        line.deny("a")
        await publisher.publish()
        await line.has("a")

        line.server.stop()
        try:
            await eventually(lambda: line.is_stale() and not line.feed.reachable, "it is stale")
        finally:
            line.server.cont()
        line.deny("b")
        await publisher.publish()
        await line.has("a", "b")


async def test_failures_are_logged_once_per_change(line: Line) -> None:
    """An hour without Redis is two lines, not ten thousand."""
    async with line.publishing() as publisher:
        await publisher.publish()
        with capture_logs() as logs:
            async with line.reading():
                await eventually(line.is_fresh, "it is complete")
                line.server.kill()
                await eventually(lambda: line.feed._failures > 4, "it was tried again and again")
                await line.server.start()
                await publisher.rewrite()
                await eventually(lambda: line.feed.reachable, "it is reached again")

    states = [one["state"] for one in logs if one["event"] == "deny_feed"]
    assert states[0] == states[-1] == "reading"
    assert 3 <= len(states) <= 5  # one for the lost connection, one for none at all


STRANGER = FeedSource(key=Ed25519PrivateKey.generate())
STRANGER.deny(denial("x", until=LATER))


def flipped(text: bytes) -> bytes:
    place = len(text) // 2
    return text[:place] + bytes([text[place] ^ 1]) + text[place + 1 :]


@pytest.mark.parametrize(
    "forged",
    [
        STRANGER.signed(),
        flipped(FeedSource().signed()),
        FeedSource().beat(time.time()),
        b"",
        os.urandom(1_000_000),
    ],
    ids=["wrong_key", "changed_byte", "beat_as_batch", "empty", "a_megabyte_of_noise"],
)
async def test_forged_records_change_nothing_and_stop_nothing(line: Line, forged: bytes) -> None:
    """They are skipped and counted; what follows them is taken."""
    async with line.publishing() as publisher, line.reading():
        line.deny("a")
        await publisher.publish()
        await line.has("a")
        await line.server.ask("XADD", NAME, f"{line.source.end}-1", "b", forged)  # type: ignore[arg-type]
        await line.server.ask("XADD", NAME, f"{line.source.end}-2", "other", "x")
        line.deny("b")
        await publisher.publish()
        await line.has("a", "b")
        assert line.counted("forged") == 2


async def test_forged_heartbeats_change_nothing(line: Line) -> None:
    """A batch is no heartbeat, and a stranger's is nobody's."""
    async with asking(line.server.target) as redis, line.reading(stale_after=0.5):
        publisher = Publisher(line.source, redis, NAME)
        await publisher.publish()
        await eventually(line.is_fresh, "it is complete")
        await eventually(line.is_stale, "nobody vouches for it")
        for forged in (line.source.signed(), STRANGER.beat(time.time()), b""):
            before = line.counted("forged")
            await publisher.set_beat(forged)
            await eventually(lambda n=before: line.counted("forged") > n, "it was read")  # type: ignore[misc]
            assert line.is_stale()

        await publisher.beat()
        await eventually(line.is_fresh, "the right one counts")


async def test_a_huge_forged_identifier_is_overcome(line: Line) -> None:
    """It leaves no room for records after it: the relay writes the stream anew, and is heard."""
    async with line.publishing() as publisher, line.reading():
        line.deny("a")
        await publisher.publish()
        await line.has("a")
        await line.server.ask("XADD", NAME, HUGE, "b", "x")
        await eventually(lambda: line.counted("forged") == 1, "it was read")
        assert line.feed._at == HUGE.encode()

        line.deny("b")
        with pytest.raises(RedisError):
            await publisher.publish()
        await publisher.rewrite()
        await line.has("a", "b")


async def test_replayed_and_repeated_records_change_nothing(line: Line) -> None:
    """An entry that was lifted does not come back by the batch that once denied it."""
    async with line.publishing() as publisher, line.reading():
        line.deny("a")
        await publisher.publish()
        line.source.lift(agent_key("a"))
        await publisher.publish()
        await line.has()
        for n, text in enumerate((line.source.signed(1, 2), line.source.signed(0, 2)), start=1):
            await line.server.ask("XADD", NAME, f"{line.source.end}-{n}", "b", text)  # type: ignore[arg-type]
        line.deny("b")
        await publisher.publish()
        await line.has("b")
        assert line.counted("known") == 2


async def test_records_out_of_order_are_found_in_the_base(line: Line) -> None:
    """One that comes too early is a gap; nothing is taken before what it continues."""
    async with line.publishing() as publisher, line.reading():
        await publisher.publish()
        await eventually(line.is_fresh, "it is complete")
        line.deny("a", "b")
        await publisher.add(line.source.signed(2, 3), 2)
        await publisher.add(line.source.signed(1, 2), 3)
        await publisher.beat()
        await line.refuses("a")
        assert line.names() == {"a"}
        assert line.counted("gap") > 0

        await publisher.set_base(*line.source.base(time.time()))
        await line.has("a", "b")


async def test_a_withheld_record_makes_the_list_stale_and_nothing_busy(line: Line) -> None:
    """``XDEL`` of one in the middle: beats flow, and the list does not believe them."""
    async with line.publishing() as publisher:
        line.deny("a")
        await publisher.publish()
        line.deny("b")
        await publisher.publish()
        line.deny("c")
        await publisher.publish()
        async with line.reading():
            await line.has("a", "b", "c")
        await line.server.ask("XDEL", NAME, "3-0")
        async with line.reading():
            await line.refuses("a")
            await eventually(lambda: line.counted("gap") > 0, "c does not follow a")
            assert line.silence() is Dependency.DENY_LIST_NEVER_LOADED
            await line.server.ask("CONFIG", "RESETSTAT")
            before, began = line.feed.resyncs, time.monotonic()
            await eventually(lambda: line.feed.resyncs >= before + 4, "it is looked for")
            seconds = time.monotonic() - began
            asked = (await line.server.info("commandstats"))["cmdstat_xread"]["calls"]
            assert seconds > 1.4
            assert asked < 20 * seconds + 20
            assert line.names() == {"a"}
            assert line.silence() is Dependency.DENY_LIST_NEVER_LOADED

            await publisher.rewrite()
            await line.has("a", "b", "c")


async def test_a_relay_that_is_stuck_makes_the_list_stale(line: Line) -> None:
    """Its heartbeat tells of changes that it does not send."""
    async with asking(line.server.target) as redis, line.reading():
        publisher = Publisher(line.source, redis, NAME)
        await publisher.publish()
        await eventually(line.is_fresh, "it is complete")

        async def told_and_stale() -> bool:
            await publisher.beat(upto=9)
            return line.is_stale()

        await eventually(told_and_stale, "it is stale while heartbeats arrive")
        assert line.list.behind


@pytest.mark.parametrize(("shift", "word"), [(-60.0, "applied"), (60.0, "early")])
async def test_heartbeats_of_another_time_make_nothing_fresh(
    line: Line, shift: float, word: str
) -> None:
    """Delayed by a minute, or from the next one."""
    async with asking(line.server.target) as redis, line.reading():
        publisher = Publisher(line.source, redis, NAME)
        await publisher.add(line.source.signed(), 1)
        await publisher.beat(at=time.time() + shift)
        before = line.counted(word)
        await eventually(lambda: line.list.upto == 1 and line.counted(word) > before, "it is read")
        await publisher.beat(at=time.time() + shift)
        await eventually(lambda: line.counted(word) > before + 1, "another one is read")
        assert line.silence() is Dependency.DENY_LIST_NEVER_LOADED
        assert not line.list.ready


async def test_a_restart_without_redis_still_denies(line: Line) -> None:
    """From the snapshot: ready, stale, and denying what was denied."""
    async with line.publishing() as publisher, line.reading(on_disk=True):
        line.deny("a", "agent-1")
        await publisher.publish()
        await line.has("a", "agent-1")

    line.server.kill()
    await asyncio.sleep(1.0)  # the limit itself
    async with line.reading(on_disk=True):
        assert (line.list.ready, line.names(), line.is_stale()) == (True, {"a", "agent-1"}, True)
        assert line.list.find(make_agent(), now=time.time()) is not None
        await eventually(lambda: line.feed._failures > 0, "redis is not there")

        await line.server.start()
        async with line.publishing() as publisher:
            line.deny("b")
            await publisher.rewrite()
            await line.has("a", "agent-1", "b")


async def test_a_new_sidecar_is_not_ready_by_an_old_beginning(line: Line) -> None:
    """Whoever writes to Redis puts back what was there an hour ago, all of it signed."""
    async with asking(line.server.target) as redis:
        publisher = Publisher(line.source, redis, NAME)
        await publisher.add(line.source.signed(), 1)
        await publisher.beat(at=time.time() - 3600)
        line.deny("a")
        for _ in range(2):
            async with line.reading(on_disk=True):
                await eventually(lambda: line.list.upto == 1, "it is read")
                assert not line.list.ready
                assert line.silence() is Dependency.DENY_LIST_NEVER_LOADED


async def test_a_forged_base_changes_nothing_and_is_left_at_once(line: Line) -> None:
    """What a base must be is signed, from the beginning, without a gap; the rest is not read."""
    async with line.publishing() as publisher, line.reading():
        line.deny("a", "b")
        publisher._published = line.source.end
        for bad in (
            [STRANGER.signed()] * 50,
            [line.source.signed(0, 1)] * 50,
            [line.source.signed(1, 3)],
            [b""] * 50,
        ):
            await publisher.set_base(*bad)
            before = line.feed.resyncs
            await eventually(lambda n=before: line.feed.resyncs > n + 1, "it was read")  # type: ignore[misc]
            assert not line.list.ready
        assert line.names() == set()
        assert sum(line.list.tally.by_word().values()) < 200

        await publisher.set_base(*line.source.base(time.time()))
        await line.has("a", "b")


@pytest.mark.parametrize("key", [NAME, f"{NAME}:base", f"{NAME}:beat"])
async def test_keys_of_another_type_end_nothing(line: Line, key: str) -> None:
    """Whoever can write to Redis can put a hash there; the relay's writing heals it."""
    async with asking(line.server.target) as redis, line.reading():
        await line.server.ask("HSET", key, "a", "b")
        await eventually(lambda: line.feed._failures > 0, "it was met")
        await line.server.ask("DEL", key)
        line.deny("a")
        await Publisher(line.source, redis, NAME).rewrite()
        await line.has("a")


async def test_a_flood_of_rubbish_holds_up_and_hides_nothing(line: Line) -> None:
    """A thousand records before the next true one, and one every few milliseconds after it."""

    async def trickle(redis: Redis) -> None:
        for n in itertools.count(10_000):
            async with redis.pipeline(transaction=False) as several:
                for part in range(1, 11):
                    several.xadd(NAME, {"b": "x"}, id=f"{n}-{part}")
                await several.execute()
            await asyncio.sleep(0.001)

    async with line.publishing() as publisher, line.reading(), asking(line.server.target) as redis:
        await publisher.publish()
        await eventually(line.is_fresh, "it is complete")
        async with redis.pipeline(transaction=False) as many:
            for n in range(1, 1001):
                many.xadd(NAME, {"b": STRANGER.signed()}, id=f"1-{n}")
            await many.execute()
        line.deny("a")
        await publisher.publish()
        await line.has("a")

        async with line.reading():
            await line.has("a")
            flood = asyncio.create_task(trickle(redis))
            try:
                await eventually(lambda: line.counted("forged") > 1000, "it flows")
                line.deny("b")
                await publisher.set_base(*line.source.base(time.time()))
                publisher._published = line.source.end
                await line.has("a", "b")
            finally:
                await ended({flood})


async def test_a_new_feed_replaces_one_whose_journal_was_lost(line: Line) -> None:
    """Its numbers begin again; what the lost one denied holds, and nobody needs a restart."""
    async with line.reading(on_disk=True):
        async with line.publishing() as publisher:
            line.deny("a", "b", "c")
            await publisher.publish()
            await line.has("a", "b", "c")

        new = FeedSource(NEWER)
        new.deny(denial("d", until=LATER))
        new.lift(agent_key("b"))
        async with line.publishing(new) as publisher:
            await publisher.rewrite()
            await line.has("a", "c", "d")
            new.deny(denial("e", until=LATER))
            await publisher.publish()
            await line.has("a", "c", "d", "e")

    async with line.publishing(new) as publisher:
        async with line.reading(on_disk=True):
            assert line.names() == {"a", "c", "d", "e"}
            assert line.list.ready
        await publisher.rewrite()
        async with line.reading():
            await line.has("d", "e")


async def test_a_new_feed_is_read_from_its_beginning_without_a_base(line: Line) -> None:
    """The reader stands far behind the new stream's end."""
    async with line.reading():
        async with line.publishing() as publisher:
            line.deny(*map(str, range(9)))
            await publisher.publish()
            await line.has(*map(str, range(9)))
        await line.server.ask("FLUSHALL")
        new = FeedSource(NEWER)
        new.deny(denial("d", until=LATER))
        async with line.publishing(new) as publisher:
            await publisher.publish()
            await line.has(*map(str, range(9)), "d")


async def test_a_beat_that_was_heard_before_its_feed_counts_afterwards(line: Line) -> None:
    """One heartbeat is enough: nobody waits for the next to be ready."""
    async with asking(line.server.target) as redis:
        publisher = Publisher(line.source, redis, NAME)
        line.deny("a")
        async with line.reading(stale_after=60):
            await publisher.beat()
            await eventually(lambda: line.counted("gap") > 0, "it was heard")
            await publisher.set_base(*line.source.base(time.time()))
            await line.has("a")

            await line.server.ask("CONFIG", "RESETSTAT")

            async def asked() -> bool:
                stats = await line.server.info("commandstats")
                return bool(stats.get("cmdstat_get", {}).get("calls", 0) > 3)

            await eventually(asked, "the same heartbeat is read again and again")
            assert line.counted("known") == 0  # and not judged


async def test_an_old_feed_that_is_played_again_is_foreign(line: Line) -> None:
    """Whoever kept what was signed before cannot bring it back."""
    new = FeedSource(NEWER)
    async with line.reading():
        async with line.publishing(new) as publisher:
            await publisher.publish()
            await eventually(line.is_fresh, "it is complete")
        line.deny("a")
        async with line.publishing() as publisher:
            await line.server.ask("FLUSHALL")
            await publisher.publish()
            await eventually(line.is_stale, "nobody vouches for ours")
            assert (line.names(), line.list.feed) == (set(), NEWER)
            assert line.counted("foreign") > 0


@pytest.fixture
def small_files() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deny_snapshot, "_FEW_LINES", 10)
        patch.setattr(redis_deny_feed, "_COMPACT_EVERY_S", 0.2)
        yield


@pytest.mark.usefixtures("small_files")
async def test_the_snapshot_is_shortened_by_the_base(line: Line) -> None:
    """While the feed goes on; a base that is not there, or cannot be read, is tried again."""
    async with line.publishing() as publisher, line.reading(on_disk=True):
        for n in range(20):
            line.deny(str(n))
            await publisher.publish()
        await line.has(*map(str, range(20)))
        assert _lines(line._file) > 20
        await line.server.ask("SET", f"{NAME}:base", "x")
        await asyncio.sleep(0.5)
        await publisher.compact()
        await eventually(lambda: _lines(line._file) < 5, "the file is short")

    line.server.kill()
    async with line.reading(on_disk=True):
        assert (line.names(), line.list.ready) == (set(map(str, range(20))), True)


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n")


async def test_a_silent_master_is_looked_up_again(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was cut off from its sentinels answers, and has nothing new to say."""
    asked: list[Redis] = []

    async def note(redis: Redis) -> None:
        asked.append(redis)

    monkeypatch.setattr(redis_deny_feed, "_SILENT_S", 0.3)
    monkeypatch.setattr(redis_deny_feed, "forget_node", note)
    async with line.publishing() as publisher, line.reading():
        await publisher.publish()
        await eventually(line.is_fresh, "it is complete")
        assert not asked
    async with line.reading():
        await asyncio.sleep(1)
        assert not asked  # there is nobody to ask
        monkeypatch.setattr(redis_deny_feed, "by_sentinel", lambda _: True)
        await eventually(lambda: len(asked) > 1, "sentinels are asked")
        assert line.feed.resyncs < 10


async def test_a_bug_ends_nothing(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised while reading, reading goes on, and the log says where it was."""

    def break_down(_: bytes) -> Any:
        raise KeyError("a secret")

    async with line.publishing() as publisher, line.reading():
        with monkeypatch.context() as broken, capture_logs() as logs:
            broken.setattr(line.list, "hear", break_down)
            await publisher.publish()
            await eventually(lambda: any("error" in one for one in logs), "it was met")
        told = [one for one in logs if one.get("state") == "error"]
        assert (told[0]["error"], "secret" in str(told)) == ("KeyError", False)

        await eventually(line.is_fresh, "it is complete")


async def test_a_hundred_thousand_entries_are_caught_up_with(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the base, and a thousand records after it; how long, and how long checks waited."""
    line.deny(*(f"agent-{n:032d}" for n in range(100_000)))
    longest, ends = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not ends:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    changes = line.source.changes
    async with line.publishing() as publisher:
        bases = [
            line.source.sign(_stretch(line.source, at, min(at + 1000, 100_001)))
            for at in range(0, 100_001, 1000)
        ]
        await publisher.set_base(*bases)
        line.deny(*(f"more-{n}" for n in range(1000)))
        for n in range(100_001, len(changes)):
            await publisher.add(line.source.sign(_stretch(line.source, n, n + 1)), n + 1)
        publisher._published = line.source.end
        gc.collect()
        gc.freeze()  # what the publisher holds is not the sidecar's
        watching = asyncio.create_task(watch())
        began = time.perf_counter()
        async with line.reading(stale_after=5, on_disk=True):
            await eventually(lambda: line.list.ready, "it has caught up")
            took = time.perf_counter() - began
            ends = True
            await watching
            assert len(line.list) == 101_000
    gc.unfreeze()
    with capsys.disabled():
        print(f"\ncatch-up of 101,000: {took:.2f} s, longest hold {longest * 1e3:.1f} ms")  # noqa: T201 - measured, not judged


def _stretch(source: FeedSource, after: int, upto: int) -> Batch:
    return Batch(source.feed, after, upto, tuple(source.changes[after:upto]))
