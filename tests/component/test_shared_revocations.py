"""Revocations from one relay to twenty sidecar processes, through a Redis that dies and lies.

A revocation that the relay has answered reaches everybody, soon; none is lost and none is invented
whatever Redis loses, and whoever writes to Redis without the key changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import math
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.feed import Batch, Beat, Denied
from sidecar.core.feed_wire import open_batch, sign_batch, sign_beat
from tests.measured import Tell
from tests.redis_server import asking, eventually
from tests.relay_kit import FEED, RelayFolder, agent
from tests.sidecars import (
    MARKED,
    PASSED,
    PASSWORDS,
    SCOPEGATE,
    Numbers,
    RedisUsers,
    Relay,
    SidecarProcess,
    all_of,
    held,
    minted,
    numbers_in,
    percentile,
    read,
    running,
    shared_settings,
    write,
)
from tests.tokens import ISSUER, TENANT

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIDECARS: Final = 20
STALE_AFTER_S: Final = 2
AT_ONCE: Final = 100
"""Entries in one request to the relay."""
PATIENCE_S: Final = 60.0
"""Until twenty processes on few cores have read twenty thousand signed changes."""
COMMANDS: Final = 3
"""Revocations by the command, whose start takes most of the time."""
BEAT: Final = f"{FEED}:beat"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Sidecars, the relay that tells them, and the Redis between."""

    sidecars: Sequence[SidecarProcess]
    relay: RelayFolder
    redis: RedisUsers
    durable: RedisUsers
    """The same server, with an append-only file."""

    async def end(self) -> int:
        """The number of the last change in the relay's journal."""
        return int((await self._numbers())["scopegate_relay_journal_end",])

    async def published(self) -> bool:
        """Whether Redis has all of the journal."""
        numbers = await self._numbers()
        up, pending = (numbers[f"scopegate_relay_{name}",] for name in ("redis_up", "pending"))
        return up == 1 and pending == 0

    async def _numbers(self) -> Numbers:
        return numbers_in(await self.relay.metrics())

    async def complete(self) -> float:
        """Wait until every sidecar has all of the journal, and knows it; in seconds."""
        since, end = time.monotonic(), await self.end()
        lacking: list[tuple[float, float]] = []
        while time.monotonic() < since + PATIENCE_S:
            states = await all_of(self.sidecars, _upto_and_age)
            lacking = [state for state in states if state[0] != end or state[1] > STALE_AFTER_S]
            if not lacking:
                return time.monotonic() - since
            await asyncio.sleep(0.2)  # asking takes their time
        raise AssertionError(f"upto and age, where {end} is wanted: {lacking}")

    async def agree(self) -> set[tuple[str, float]]:
        """Check that everybody holds what the relay lists, and return that."""
        _, listing = await self.relay.ask("GET")
        wanted = held(listing)
        for one, holds in zip(
            self.sidecars, await all_of(self.sidecars, SidecarProcess.entries), strict=True
        ):
            assert not wanted - holds, f"{one.folder} lost {len(wanted - holds)} entries"
            assert not holds - wanted, f"{one.folder} invented {len(holds - wanted)} entries"
        return wanted

    async def say(self, raw: bytes) -> set[str]:
        """What they say to a check, all of them."""
        return set(await all_of(self.sidecars, lambda one: one.said(raw)))

    async def counted(self, word: str) -> list[float]:
        """How many messages of the feed each has judged so."""
        numbers = await all_of(self.sidecars, SidecarProcess.metrics)
        return [one["scopegate_deny_feed_messages_total", word] for one in numbers]


async def _upto_and_age(one: SidecarProcess) -> tuple[float, float]:
    numbers = await one.metrics()
    upto = numbers["scopegate_deny_feed_upto", "redis"]
    return upto, numbers.get(("scopegate_deny_feed_age_seconds", "redis"), math.inf)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    folder = tmp_path_factory.mktemp("w")
    plain, durable = (RedisUsers(folder / "r", "--appendonly", kept) for kept in ("no", "yes"))
    operator = RelayFolder(folder / "relay", plain.socket)
    (folder / "relay" / "password").write_text(PASSWORDS["relay"])
    of_relay = {"username": "relay", "password_file": "password"}
    operator.write(redis={**operator.settings["redis"], **of_relay})
    deny_list = {
        "source": "redis",
        "file": "state/denied",
        "keys": str(folder / "relay" / "keys.json"),
        "stale_after": STALE_AFTER_S,
    }
    settings = shared_settings(folder / "etc", deny_list=deny_list, replicas=SIDECARS)
    relay = Relay(operator)
    try:
        await plain.start()
        plain.serve_as(folder / "etc" / "redis.sock")
        await relay.start("--init")
        since = time.monotonic()
        async with running(folder, SIDECARS, settings) as sidecars:
            sys.stdout.write(f"\n{SIDECARS} sidecars ready after {time.monotonic() - since:.1f} s")
            yield Fleet(sidecars, operator, plain, durable)
    finally:
        for process in (relay, plain, durable):
            process.kill()


# --- soon ---------------------------------------------------------------------------------------


async def refused(one: SidecarProcess, raw: bytes, since: float) -> float:
    """Ask until it is revoked; how many seconds after ``since`` that was heard."""
    async with asyncio.timeout(10):
        said = await one.said(raw)
        while said != "revoked":
            await asyncio.sleep(0.005)
            said = await one.said(raw)
    return time.monotonic() - since


async def test_revocation_reaches_every_sidecar_in_under_a_second(
    fleet: Fleet, revocations: int, tell: Tell
) -> None:
    """From the relay's answer to the first refusal at each of twenty sidecars."""
    await fleet.complete()
    took: list[float] = []
    ages: list[float] = []
    for number in range(revocations):
        raw = read(minted(f"timed-{number}"))
        assert await fleet.say(raw) == {PASSED}
        assert await fleet.relay.deny(f"timed-{number}")
        answered = time.monotonic()
        took += await all_of(fleet.sidecars, lambda one: refused(one, raw, answered))  # noqa: B023 - awaited here
        if number % 10 == 0:
            numbers = await all_of(fleet.sidecars, SidecarProcess.metrics)
            ages += [one["scopegate_deny_feed_age_seconds", "redis"] for one in numbers]
    p50, p99, worst = statistics.median(took), percentile(took, 0.99), max(took)
    tell("revocations times sidecars", len(took))
    tell("from the relay's answer to the refusal, ms", in_ms(p50=p50, p99=p99, worst=worst))
    tell("age of the list by the sidecars' own metric, ms", in_ms(worst=max(ages)))

    assert len(took) == revocations * SIDECARS
    assert worst < 1, in_ms(p50=p50, p99=p99, worst=worst)
    await fleet.agree()


async def test_revocation_by_command_reaches_every_sidecar_soon(fleet: Fleet, tell: Tell) -> None:
    """``scopegate deny add --socket`` with the relay's; from its start to the last refusal."""
    await fleet.complete()
    took: list[float] = []
    for number in range(COMMANDS):
        raw = read(minted(f"told-{number}"))
        assert await fleet.say(raw) == {PASSED}
        since = time.monotonic()
        told = ("--issuer", ISSUER, "--tenant", TENANT, "--agent", f"told-{number}")
        process = await asyncio.create_subprocess_exec(
            *(SCOPEGATE, "deny", "add", "--socket", str(fleet.relay.socket), *told),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
        assert said.decode().startswith(f"denied: agent told-{number} ")
        took.append(max(await all_of(fleet.sidecars, lambda one: refused(one, raw, since))))  # noqa: B023 - awaited here
    tell("from the command's start to the last refusal, ms", in_ms(worst=max(took)))


def in_ms(**seconds: float) -> str:
    return ", ".join(f"{name} {value * 1000:.0f}" for name, value in seconds.items())


# --- all, and nothing else ----------------------------------------------------------------------


async def add(relay: RelayFolder, names: Sequence[str], published: list[bool]) -> None:
    """Revoke agents, many with each request; note for each request whether it was published."""
    for first in range(0, len(names), AT_ONCE):
        lines = "\n".join(json.dumps(agent(name)) for name in names[first : first + AT_ONCE])
        status, answer = await relay.ask("POST", "/deny/many", data=lines.encode())
        assert status in {201, 202}, answer
        published.append(status == 201)


async def test_no_revocation_is_lost_or_invented_when_redis_is_killed(
    fleet: Fleet, revoked: int, tell: Tell
) -> None:
    """With and without its file, in the middle of everything; one sidecar dies meanwhile, too."""
    await fleet.complete()
    names = [f"many-{number}" for number in range(revoked)]
    # Lost, lost, come back as it was, the same again, lost, and come back as it was long ago.
    lives = [fleet.redis, *[fleet.durable] * 3, fleet.redis, fleet.durable]
    size = -(-revoked // (2 * len(lives)))
    half = size // AT_ONCE // 2
    parts = [names[first : first + size] for first in range(0, revoked, size)]
    now, published = fleet.redis, list[bool]()
    for turn, life in enumerate(lives):
        if turn % 2 == 0:  # else it is killed while everybody still makes good the last time
            await eventually(fleet.published, "Redis has the whole journal")
        if turn == 2:
            await fleet.complete()
        told = len(published)
        adding = asyncio.create_task(add(fleet.relay, parts[2 * turn], published))
        await eventually(lambda: len(published) > told + half, "the relay is being told")  # noqa: B023 - awaited here
        now.kill()
        await adding
        if turn == 2:
            await dies_and_still_denies(fleet.sidecars[-1])
        adding = asyncio.create_task(add(fleet.relay, parts[2 * turn + 1], published))
        await life.start()
        now = life
        await adding
    tell("requests answered as published, and as kept", (sum(published), published.count(False)))
    tell("everybody complete after the last return, seconds", round(await fleet.complete(), 2))
    listed = await fleet.agree()
    tell("entries at each sidecar", len(listed))

    assert set(published) == {True, False}  # it was killed before and while they were told
    assert {name.rpartition("/")[2] for name, _ in listed} >= set(names)
    for name in names[:: max(1, revoked // 20)]:
        assert await fleet.say(read(minted(name))) == {"revoked"}
        assert await fleet.say(write(minted(name))) == {"revoked"}
    assert await fleet.say(read(minted("free"))) == {PASSED}
    assert await fleet.say(write(minted("free"))) == {PASSED}


async def dies_and_still_denies(one: SidecarProcess) -> None:
    """``kill -9`` and a new start, with nobody there to say who is revoked."""
    before = await one.entries()
    assert any("/many-" in name for name, _ in before)
    one.kill()
    one.start()
    await one.ready()

    assert await one.entries() == before
    for name in [name.rpartition("/")[2] for name, _ in list(before)[:20]]:
        assert await one.said(read(minted(name))) == "revoked"
        assert await one.said(write(minted(name))) == "revoked"

    async def stale() -> bool:
        return await one.said(write(minted("free"))) == "deny_list_unavailable"

    await eventually(stale, "it knows that its list is old")
    assert await one.said(read(minted("free"))) == f"{MARKED}deny_list"


# --- lies ---------------------------------------------------------------------------------------


async def test_nothing_changes_when_somebody_else_writes_to_redis(fleet: Fleet) -> None:
    """With every right of the relay there, and without its key: ignored, counted, and healed."""
    await fleet.complete()
    assert await fleet.relay.deny("pardoned")
    target = replace(fleet.redis.target, username="relay", password=PASSWORDS["relay"])
    async with asking(target) as redis:
        told: Any = await redis.xrevrange(FEED, count=1)
        old_record: bytes = told[0][1][b"b"]
        old_beat: Any = await redis.get(BEAT)
        assert await fleet.relay.lift("pardoned") == 200
        await fleet.complete()
        lies = Lies(fleet, redis, old_record)
        for forged in lies.forged_records():
            await lies.added(forged, "forged")
        await lies.added(old_record, "known")
        await lies.added(old_beat, "forged")
        for forged in lies.forged_beats():
            await lies.beaten(forged, "forged")
        await lies.beaten(old_beat, "known")
        await lies.beaten(old_record, "forged")

    assert await fleet.say(read(minted("framed"))) <= {PASSED, f"{MARKED}deny_list"}
    assert await fleet.say(read(minted("pardoned"))) <= {PASSED, f"{MARKED}deny_list"}
    assert await fleet.relay.deny("guilty")
    await fleet.complete()
    await fleet.agree()
    assert await fleet.say(read(minted("guilty"))) == {"revoked"}
    assert await fleet.say(write(minted("framed"))) == {PASSED}
    assert await fleet.say(write(minted("pardoned"))) == {PASSED}


class Lies:
    """What somebody can put into Redis who does not have the relay's key."""

    def __init__(self, fleet: Fleet, redis: Redis, record: bytes) -> None:
        self._fleet = fleet
        self._redis = redis
        self._record = record
        keys = fleet.relay.keys
        [self._kid] = keys
        self._last = open_batch(record, keys)
        self._key = Ed25519PrivateKey.generate()
        self._id = self._last.upto + 1  # the lift

    def forged_records(self) -> list[bytes]:
        """Revocations of ``framed``: by another key, in its own name too, and a changed record."""
        feed, after = self._last.feed, self._id
        framed = DenyEntry(DenyKey(DenyKind.AGENT, ISSUER, TENANT, "framed"), time.time() + 600)
        batch = Batch(feed, after, after + 1, (Denied(after + 1, framed),))
        changed = self._record.replace(b"pardoned", b"framed--")
        middle = len(self._record) // 2
        flipped = bytes([self._record[middle] ^ 1])
        return [
            sign_batch(batch, self._kid, self._key),
            sign_batch(batch, "another", self._key),
            changed if changed != self._record else self._record[:-1],
            self._record[:middle] + flipped + self._record[middle + 1 :],
            b"",
        ]

    def forged_beats(self) -> list[bytes]:
        """Promises of what does not exist: would they be believed, the list would be stale."""
        beat = Beat(self._last.feed, self._last.upto + 1000, round(time.time() * 1000))
        return [sign_beat(beat, self._kid, self._key), sign_beat(beat, "another", self._key), b"x"]

    async def added(self, text: bytes, word: str) -> None:
        """Add a record where the next one would stand, until everybody has judged it so."""

        async def put() -> None:
            self._id += 1  # above those before: the relay may have removed them meanwhile
            await self._redis.xadd(FEED, {"b": text}, id=f"{self._id}-0")

        await self._judged(put, word)

    async def beaten(self, text: bytes, word: str) -> None:
        """Put it into the heartbeat's place, until everybody has judged it so."""

        async def put() -> None:
            await self._redis.set(BEAT, text, px=10_000)

        await self._judged(put, word)

    async def _judged(self, put: Callable[[], Awaitable[None]], word: str) -> None:
        before = await self._fleet.counted(word)

        async def by_all() -> bool:
            await put()
            await asyncio.sleep(0.25)  # so long may a sidecar wait for a record before it looks
            after = await self._fleet.counted(word)
            return all(old < new for old, new in zip(before, after, strict=True))

        await eventually(by_all, f"everybody counted it as {word}")
