"""Single use over two sidecar processes on one Redis: whatever Redis loses, nobody is let in twice.

A token is single-use because it says so itself, or because the route wants it. Where the store of
used tokens is away, the first kind is refused; the second passes on a read, and is marked: nobody
knows how often it was used, and the tool is told so (``docs/stance.md``). As soon as the store
answers, and also when it can take nothing new, what was used is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from tests.measured import Tell
from tests.redis_server import RedisSentinel, Wire, eventually
from tests.sidecars import (
    MARKED,
    PASSED,
    PASSWORDS,
    RedisUsers,
    SidecarProcess,
    minted,
    read,
    running,
    shared_settings,
    ticket,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN_SAYS: Final = "the token says it"
ROUTE_SAYS: Final = "the route says it"
KINDS: Final = (TOKEN_SAYS, ROUTE_SAYS)
REPLICATED: Final = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "10")
KNOWN: Final = {"replayed", "use_unknown"}
"""What is said of a used token while the store answers."""
SILENT: Final = {
    TOKEN_SAYS: KNOWN | {"replay_unavailable"},
    ROUTE_SAYS: KNOWN | {f"{MARKED}replay"},
}
"""What may be said of a used token while the store may be away."""

Said = Mapping[str, Counter[str]]

_numbers: Final = count(1)


@dataclass(frozen=True, slots=True)
class Use:
    """A call with a single-use token."""

    kind: str
    raw: bytes


def fresh(kind: str) -> Use:
    """A use of a token that is minted now."""
    name = f"agent-{next(_numbers)}"
    if kind == TOKEN_SAYS:
        return Use(kind, read(minted(name, single_use=True)))
    return Use(kind, ticket(minted(name)))


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sidecars that share a Redis, and the socket at which they look for it."""

    sidecars: Sequence[SidecarProcess]
    socket: Path

    async def race(self, use: Use, times: int = 50) -> Counter[str]:
        """What is said when it is used so many times at once, over both."""
        asked = (self.sidecars[at % 2].said(use.raw) for at in range(times))
        return Counter(await asyncio.gather(*asked))

    async def served(self) -> float:
        """Wait until new tokens of both kinds pass at both; how many seconds that took."""
        since = time.monotonic()
        for kind in KINDS:
            for sidecar in self.sidecars:

                async def passes(kind: str = kind, sidecar: SidecarProcess = sidecar) -> bool:
                    return await sidecar.said(fresh(kind).raw) == PASSED

                await eventually(passes, f"a new token passes where {kind}")
        return time.monotonic() - since

    async def used(self) -> list[Use]:
        """One token of each kind for each sidecar, used there and refused at the other."""
        uses: list[Use] = []
        for here, there in (self.sidecars, self.sidecars[::-1]):
            for kind in KINDS:
                uses.append(use := fresh(kind))
                assert await here.said(use.raw) == PASSED
                assert await there.said(use.raw) == "replayed"
        return uses

    @asynccontextmanager
    async def using_again(self, uses: Sequence[Use]) -> AsyncIterator[Said]:
        """Use them again and again at both, for as long as the context lasts; what is said."""
        said: Said = {kind: Counter() for kind in KINDS}
        going = True

        async def use_on(sidecar: SidecarProcess, use: Use) -> None:
            while going:
                said[use.kind][await sidecar.said(use.raw)] += 1
                await asyncio.sleep(0.01)

        asked = [(sidecar, use) for sidecar in self.sidecars for use in uses]
        tasks = [asyncio.create_task(use_on(*one)) for one in asked]
        try:
            yield said
        finally:
            going = False
            await asyncio.gather(*tasks)

    async def sound(self, uses: Sequence[Use]) -> None:
        """Check that used tokens stay used, and that new ones pass once."""
        for use in uses:
            said = await self.race(use)
            assert set(said) <= KNOWN, said
        for kind in KINDS * 3:
            assert await self.race(fresh(kind)) == {PASSED: 1, "replayed": 49}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """They start without a Redis; every test brings one."""
    folder = tmp_path_factory.mktemp("w")
    settings = shared_settings(folder / "etc")
    async with running(folder, 2, settings) as sidecars:
        yield Pair(sidecars, folder / "etc" / "redis.sock")


def healed(tell: Tell, seconds: float, said: Said) -> None:
    tell("new tokens pass again after, seconds", round(seconds, 2))
    for kind in KINDS:
        tell(f"said meanwhile of used tokens where {kind}", dict(said[kind]))


@asynccontextmanager
async def serving(pair: Pair, redis: RedisUsers) -> AsyncIterator[RedisUsers]:
    """A server that both sidecars have found."""
    async with redis:
        redis.serve_as(pair.socket)
        await pair.served()
        yield redis


# --- one winner ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clock", ["+0", "+3600", "-3600"])
async def test_one_of_fifty_uses_passes_when_two_sidecars_share_a_redis(
    pair: Pair, tmp_path: Path, single_use_runs: int, kind: str, clock: str
) -> None:
    """Whatever its clock says, as long as it goes on: exactly one, again and again."""
    runs = single_use_runs if clock == "+0" else max(5, single_use_runs // 10)
    async with serving(pair, RedisUsers(tmp_path / "r", clock=clock)) as redis:
        here = int((await redis.ask("TIME"))[0])
        assert abs(here - time.time() - int(clock)) < 5
        for _ in range(runs):
            use = fresh(kind)
            assert await pair.race(use) == {PASSED: 1, "replayed": 49}
            assert await pair.race(use, 4) == {"replayed": 4}


# --- what Redis can lose ------------------------------------------------------------------------


async def test_used_token_is_refused_when_redis_was_flushed(
    pair: Pair, tmp_path: Path, tell: Tell
) -> None:
    """Nothing is remembered, and that is known at once: no moment in which a used token passes."""
    async with serving(pair, RedisUsers(tmp_path / "r")) as redis:
        used = await pair.used()
        async with pair.using_again(used) as said:
            await redis.ask("FLUSHALL")
            seconds = await pair.served()
        for kind in KINDS:
            assert set(said[kind]) <= KNOWN, said
            assert said[kind]["use_unknown"] > 20
        healed(tell, seconds, said)
        await pair.sound(used)


@pytest.mark.parametrize("fsync", ["no", "always"])
async def test_used_token_is_refused_when_redis_was_killed(
    pair: Pair, tmp_path: Path, tell: Tell, fsync: str
) -> None:
    """Also while it is away: but for a read whose route asks for it, which is marked."""
    kept = ("--appendonly", "yes", "--appendfsync", fsync)
    async with serving(pair, RedisUsers(tmp_path / "r", *kept)) as redis:
        used = await pair.used()
        async with pair.using_again(used) as said:
            redis.kill()
            away = {kind: await pair.race(fresh(kind)) for kind in KINDS}
            await redis.start()
            seconds = await pair.served()
        assert away == {TOKEN_SAYS: {"replay_unavailable": 50}, ROUTE_SAYS: {f"{MARKED}replay": 50}}
        for kind in KINDS:
            assert set(said[kind]) <= SILENT[kind], said
            assert said[kind]["use_unknown"] > 20
        healed(tell, seconds, said)
        await pair.sound(used)


async def test_used_token_is_refused_when_a_lagging_replica_took_over(
    pair: Pair, tmp_path: Path, tell: Tell
) -> None:
    """The replica has the epoch, and not what was claimed last."""
    master = RedisUsers(tmp_path / "a", *REPLICATED, tcp=True)
    async with (
        master,
        Wire(master) as wire,
        RedisUsers(tmp_path / "b", replica_of=wire) as replica,
    ):
        await replica.follows(master)
        master.serve_as(pair.socket)
        await pair.served()
        await replica.follows(master)
        wire.hold()
        used = await pair.used()
        missing = len(await master.ask("KEYS", "*:jti:*")) - len(
            await replica.ask("KEYS", "*:jti:*")
        )
        assert missing == len(used)
        assert len(await replica.ask("KEYS", "*:epoch")) == 1
        async with pair.using_again(used) as said:
            master.kill()
            await replica.promote()
            replica.serve_as(pair.socket)
            seconds = await pair.served()
        for kind in KINDS:
            assert set(said[kind]) <= SILENT[kind], said
            assert said[kind]["use_unknown"] > 20
        healed(tell, seconds, said)
        await pair.sound(used)


async def test_used_token_is_refused_when_sentinel_failed_over(
    tmp_path_factory: pytest.TempPathFactory, tell: Tell
) -> None:
    """By ``redis.sentinel`` in the settings: both find the next master, which may have lagged."""
    folder = tmp_path_factory.mktemp("w")
    async with (
        RedisUsers(folder / "a", *REPLICATED, tcp=True) as master,
        RedisUsers(folder / "b", *REPLICATED, replica_of=master) as b,
        RedisUsers(folder / "c", *REPLICATED, replica_of=master) as c,
    ):
        await b.follows(master)
        await c.follows(master)
        sentinel = RedisSentinel(folder / "sentinel", master)
        with (folder / "sentinel" / "sentinel.conf").open("a") as config:
            config.write("sentinel auth-user gate sentinel\n")
            config.write(f"sentinel auth-pass gate {PASSWORDS['sentinel']}\n")
        settings = shared_settings(folder / "etc")
        address = {"service": "gate", "addresses": [f"127.0.0.1:{sentinel.port}"]}
        near = {"sentinel": address, "plaintext": "every node is on this host"}
        settings["redis"] = {**settings["redis"], **near}
        del settings["redis"]["address"]
        async with sentinel, running(folder, 2, settings) as sidecars:

            async def complete() -> bool:
                return await sentinel.replicas() == 2

            await eventually(complete, "the sentinel knows both replicas")
            pair = Pair(sidecars, folder)
            await pair.served()
            used = await pair.used()
            async with pair.using_again(used) as said:
                master.kill()
                seconds = await pair.served()
            assert await sentinel.master_port() in {b.port, c.port}
            for kind in KINDS:
                assert set(said[kind]) <= SILENT[kind], said
                assert said[kind]["use_unknown"] > 20
            healed(tell, seconds, said)
            await pair.sound(used)


# --- clock and room -----------------------------------------------------------------------------


@pytest.mark.parametrize("jump", ["+3600", "-3600"])
async def test_used_token_is_refused_when_redis_clock_jumped(
    pair: Pair, tmp_path: Path, tell: Tell, jump: str
) -> None:
    """What was claimed has ended too early: nobody knows, which is no outage that opens reads."""
    async with serving(pair, RedisUsers(tmp_path / "r", clock="+0")) as redis:
        used = await pair.used()
        async with pair.using_again(used) as said:
            redis.set_clock(jump)

            async def jumped() -> bool:
                return abs(int((await redis.ask("TIME"))[0]) - time.time()) > 3000

            await eventually(jumped, "its clock jumped")
            seconds = await pair.served()
        for kind in KINDS:
            assert set(said[kind]) <= {"replayed", "use_unknown"}, said
        healed(tell, seconds, said)
        await pair.sound(used)


async def test_used_token_is_refused_when_redis_is_full(
    pair: Pair, tmp_path: Path, tell: Tell
) -> None:
    """A full Redis refuses new tokens, also where silence is open, and still knows the old ones."""
    async with serving(pair, RedisUsers(tmp_path / "r")) as redis:
        used = await pair.used()
        async with pair.using_again(used) as said:
            await redis.ask("CONFIG", "SET", "maxmemory", 1)
            new = {kind: fresh(kind) for kind in KINDS}
            full = {kind: await pair.race(new[kind]) for kind in KINDS}
            await asyncio.sleep(1.2)  # two looks at its health, which may not hide what it knows
            again = {kind: await pair.race(new[kind]) for kind in KINDS}
            await redis.ask("CONFIG", "SET", "maxmemory", 0)
            seconds = await pair.served()
        assert full == again
        assert full == {kind: {"overloaded": 50} for kind in KINDS}
        for kind in KINDS:
            assert set(said[kind]) == {"replayed"}, said
            # What was refused was not claimed: it passes once now.
            assert await pair.race(new[kind]) == {PASSED: 1, "replayed": 49}
        healed(tell, seconds, said)
        await pair.sound(used)
