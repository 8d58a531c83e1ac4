"""The contract of ``ports.Ledger``, over every implementation."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.adapters.redis_ledger import RedisLedger
from sidecar.clock import SystemClock
from sidecar.core.model import Claim, Conflict, Dependency, Effects, Pin
from sidecar.core.pins import PINS_PER_AGENT
from sidecar.ports import Ledger
from tests.redis_server import RedisServer, asking, eventually
from tests.values import NOW

SOON = 1.5
"""Seconds: time passes for real in Redis."""
LATER = 3600.0
MADE = -10.0
"""Seconds from now at which claimed tokens were issued."""


class World(ABC):
    """Where a ledger lives: its time, its memory, and who knows it."""

    @abstractmethod
    def now(self) -> float:
        """The time, in seconds since the epoch."""

    @abstractmethod
    async def ledger(self, *, per_owner: int = 1000, pins: int = PINS_PER_AGENT) -> Ledger:
        """Make a ledger that has heard of every token since ``MADE`` and before.

        ``pins``: most live ones of one owner.
        """

    @abstractmethod
    async def pass_time(self, seconds: float) -> None:
        """Let it be later."""

    @abstractmethod
    async def fill(self, ledger: Ledger) -> None:
        """Leave no room for another claim, or another pin."""

    @abstractmethod
    async def make_room(self, ledger: Ledger) -> None:
        """Let there be some again."""

    @abstractmethod
    async def lose(self, ledger: Ledger) -> Ledger:
        """Forget everything; the ledger that is there then begins to remember now."""


class MemoryWorld(World):
    def __init__(self) -> None:
        self._now = NOW

    def now(self) -> float:
        return self._now

    async def ledger(self, *, per_owner: int = 1000, pins: int = PINS_PER_AGENT) -> Ledger:
        return MemoryLedger(
            capacity=1000, per_owner=per_owner, since=self._now + 2 * MADE, pins_per_owner=pins
        )

    async def pass_time(self, seconds: float) -> None:
        self._now += seconds

    async def fill(self, ledger: Ledger) -> None:
        assert isinstance(ledger, MemoryLedger)
        for room in (ledger._tokens, ledger._others, ledger._pins):
            room.capacity = len(room)

    async def make_room(self, ledger: Ledger) -> None:
        assert isinstance(ledger, MemoryLedger)
        for room in (ledger._tokens, ledger._others, ledger._pins):
            room.capacity = 1000

    async def lose(self, ledger: Ledger) -> Ledger:
        del ledger
        return MemoryLedger(capacity=1000, per_owner=1000, since=self._now)


class RedisWorld(World):
    def __init__(self, server: RedisServer, stack: AsyncExitStack) -> None:
        self._server = server
        self._stack = stack

    def now(self) -> float:
        return time.time()

    async def ledger(self, *, per_owner: int = 1000, pins: int = PINS_PER_AGENT) -> Ledger:
        redis = await self._stack.enter_async_context(asking(self._server.target))
        # A negative distance: this Redis knows of everything that was used in the last seconds.
        ledger = RedisLedger(
            redis=redis,
            per_owner=per_owner,
            tags=["{t}"],
            clock=SystemClock(),
            ahead=2 * MADE,
            waiting=2000,
            pins_per_owner=pins,
        )
        self._stack.push_async_callback(ledger.close)
        await ledger.start()
        return ledger

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def fill(self, ledger: Ledger) -> None:
        del ledger
        await self._server.ask("CONFIG", "SET", "maxmemory", 1)

    async def make_room(self, ledger: Ledger) -> None:
        del ledger
        await self._server.ask("CONFIG", "SET", "maxmemory", 0)

    async def lose(self, ledger: Ledger) -> Ledger:
        assert isinstance(ledger, RedisLedger)
        ledger._terms = type(ledger._terms)(1000, 0.0)
        ledger._watch._terms = ledger._terms
        await self._server.ask("FLUSHALL")
        return ledger


@pytest.fixture(params=["memory", "redis"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        if request.param == "memory":
            yield MemoryWorld()
        else:
            server = await stack.enter_async_context(RedisServer(tmp_path / "r"))
            yield RedisWorld(server, stack)


class Teller:
    """Commits by a world's time; every key gets the hash tag that a real one has."""

    def __init__(self, world: World, ledger: Ledger) -> None:
        self.world = world
        self.ledger = ledger

    def claim(
        self,
        key: str,
        *,
        owner: str = "o",
        until: float = LATER,
        row: Dependency = Dependency.REPLAY,
        issued: float | None = MADE,
        quota: int | None = None,
    ) -> Claim:
        """``until`` and ``issued`` are seconds from now."""
        now = self.world.now()
        made = None if issued is None else now + issued
        return Claim(f"{{t}}:jti:{key}", f"{{t}}:agent:{owner}", now + until, row, made, quota)

    def pin(
        self,
        key: str,
        holder: str,
        *,
        owner: str = "o",
        until: float = LATER,
        row: Dependency = Dependency.REPLAY,
        conflict: Conflict = Conflict.SESSION_OF_ANOTHER,
    ) -> Pin:
        """``until`` is seconds from now; the key has a hash tag of its own."""
        end = self.world.now() + until
        return Pin(f"{{{key}}}:session", holder, owner, end, row, conflict)

    async def commit(self, *effects: Claim | Pin) -> Conflict | None:
        claims = tuple(one for one in effects if isinstance(one, Claim))
        pins = tuple(one for one in effects if isinstance(one, Pin))
        return await self.ledger.commit(
            Effects(claims, pins), now=self.world.now(), deadline=time.monotonic() + 20
        )


@pytest.fixture
async def gate(world: World) -> Teller:
    return Teller(world, await world.ledger())


async def test_commit_is_done_when_nothing_is_claimed(gate: Teller) -> None:
    """Most calls use up nothing."""
    assert await gate.commit() is None


async def test_commit_has_one_winner_when_fifty_claim_at_once(gate: Teller) -> None:
    """Of fifty concurrent claims of one key exactly one is won."""
    claim = gate.claim("j1")
    answers = await asyncio.gather(*(gate.commit(claim) for _ in range(50)))

    assert answers.count(None) == 1
    assert answers.count(Conflict.CLAIMED_BEFORE) == 49


async def test_commit_takes_nothing_when_one_claim_was_taken(gate: Teller) -> None:
    """All or nothing: the free claim of a lost commit stays free."""
    await gate.commit(gate.claim("taken"))

    both = (gate.claim("free"), gate.claim("taken"))
    assert await gate.commit(*both) is Conflict.CLAIMED_BEFORE
    assert await gate.commit(gate.claim("free")) is None


async def test_commit_remembers_until_the_end(gate: Teller) -> None:
    """A claim holds to its last moment, and is gone some time after it."""
    await gate.commit(gate.claim("j1", until=SOON))
    await gate.world.pass_time(SOON - 0.3)
    assert await gate.commit(gate.claim("j1")) is Conflict.CLAIMED_BEFORE

    async def free() -> bool:
        await gate.world.pass_time(0.3)
        return await gate.commit(gate.claim("j1")) is None

    await eventually(free, "the claim has ended")


async def test_commit_refuses_over_an_owners_quota(world: World) -> None:
    """One agent's flood is its own refusal, and nobody else's."""
    gate = Teller(world, await world.ledger(per_owner=2))
    await gate.commit(gate.claim("a"))
    await gate.commit(gate.claim("b"))

    assert await gate.commit(gate.claim("c")) is Conflict.QUOTA
    assert await gate.commit(gate.claim("c", owner="other")) is None


async def test_commit_counts_its_own_claims_into_the_quota(world: World) -> None:
    """Two claims of one call weigh two."""
    gate = Teller(world, await world.ledger(per_owner=2))
    await gate.commit(gate.claim("a"))

    assert await gate.commit(gate.claim("b"), gate.claim("c")) is Conflict.QUOTA
    assert await gate.commit(gate.claim("b")) is None


async def test_commit_counts_by_a_claims_own_quota(gate: Teller) -> None:
    """A kind of claim may have another limit than single-use tokens, a larger one too."""
    assert await gate.commit(gate.claim("a", quota=1)) is None
    assert await gate.commit(gate.claim("b", quota=1)) is Conflict.QUOTA
    assert await gate.commit(gate.claim("b", quota=2)) is None
    assert await gate.commit(gate.claim("c", quota=0, owner="other")) is Conflict.QUOTA


async def test_commit_lets_a_claims_quota_be_above_the_ledgers(world: World) -> None:
    """The ledger's own limit is for claims that say nothing."""
    gate = Teller(world, await world.ledger(per_owner=1))
    assert await gate.commit(gate.claim("a", quota=2)) is None

    assert await gate.commit(gate.claim("b")) is Conflict.QUOTA
    assert await gate.commit(gate.claim("b", quota=2)) is None


@pytest.mark.parametrize("turned", [False, True])
async def test_commit_keeps_to_every_quota_when_owners_differ(
    gate: Teller, *, turned: bool
) -> None:
    """Each owner has its own; one that is full takes all of the commit's claims with it."""
    token = gate.claim("token", owner="agent", quota=9)
    proof = gate.claim("proof", owner="proofs", quota=1)
    assert await gate.commit(*((proof, token) if turned else (token, proof))) is None

    second = (
        gate.claim("token2", owner="agent", quota=9),
        gate.claim("p2", owner="proofs", quota=1),
    )
    assert await gate.commit(*(reversed(second) if turned else second)) is Conflict.QUOTA
    assert await gate.commit(second[0]) is None


@pytest.mark.parametrize("quotas", [(2, 1), (1, 2), (None, 1), (1, None)])
async def test_commit_takes_the_least_quota_when_one_owners_claims_differ(
    gate: Teller, quotas: tuple[int | None, int | None]
) -> None:
    """Two limits for one owner: both hold."""
    one, other = (gate.claim(f"{n}", quota=quota) for n, quota in enumerate(quotas))

    assert await gate.commit(one, other) is Conflict.QUOTA
    assert await gate.commit(one) is None


async def test_commit_frees_the_quota_when_claims_end(world: World) -> None:
    """What has ended no longer counts."""
    gate = Teller(world, await world.ledger(per_owner=1))
    await gate.commit(gate.claim("a", until=SOON))
    assert await gate.commit(gate.claim("b")) is Conflict.QUOTA
    await world.pass_time(SOON)

    assert await gate.commit(gate.claim("b")) is None


async def test_commit_says_claimed_before_when_the_quota_is_full_too(world: World) -> None:
    """A replay is named as one."""
    gate = Teller(world, await world.ledger(per_owner=1))
    await gate.commit(gate.claim("a"))

    assert await gate.commit(gate.claim("a")) is Conflict.CLAIMED_BEFORE


async def test_commit_never_forgets_a_live_claim_to_make_room(gate: Teller) -> None:
    """A full ledger takes no other; the claims in it still hold."""
    await gate.commit(gate.claim("a", owner="1"))
    await gate.commit(gate.claim("b", owner="2"))
    await gate.world.fill(gate.ledger)

    assert await gate.commit(gate.claim("c", owner="3")) is Conflict.OVERLOADED
    assert await gate.commit(gate.claim("a")) is Conflict.CLAIMED_BEFORE


@pytest.mark.parametrize("row", [Dependency.REPLAY, Dependency.REPLAY_OF_SINGLE_USE_TOKEN])
@pytest.mark.parametrize("quota", [None, 9])
async def test_commit_is_overloaded_when_there_is_no_room(
    gate: Teller, row: Dependency, quota: int | None
) -> None:
    """Callers fill it: that is a refusal, and never an outage, which would let reads pass."""
    await gate.world.fill(gate.ledger)
    claim = gate.claim("a", row=row, quota=quota)

    assert await gate.commit(claim) is Conflict.OVERLOADED
    await gate.world.make_room(gate.ledger)
    assert await gate.commit(claim) is None


@pytest.mark.parametrize("issued", [-0.5, MADE, None])
async def test_commit_refuses_what_it_could_have_forgotten(
    gate: Teller, issued: float | None
) -> None:
    """A token from before the memory began may have been used; one without ``iat`` too."""
    assert await gate.commit(gate.claim("a", issued=-0.5)) is None
    after = Teller(gate.world, await gate.world.lose(gate.ledger))
    old = after.claim("b", issued=issued)

    assert await after.commit(old) is Conflict.NOT_REMEMBERED
    assert await after.commit(old, after.claim("c", issued=60)) is Conflict.NOT_REMEMBERED
    assert await after.commit(after.claim("c", issued=60)) is None


# --- pins ---------------------------------------------------------------------------------------


async def test_pin_has_one_holder_when_fifty_come_at_once(gate: Teller) -> None:
    """Whoever is first holds it, and all the others are told so."""
    pins = [gate.pin("s", f"agent-{n}") for n in range(50)]
    answers = await asyncio.gather(*map(gate.commit, pins))

    assert answers.count(None) == 1
    assert answers.count(Conflict.SESSION_OF_ANOTHER) == 49
    again = [await gate.commit(pin) for pin in pins]
    assert again == answers


async def test_pin_is_held_again_when_its_holder_comes_back(gate: Teller) -> None:
    """A session is used many times, also many times at once."""
    assert await gate.commit(gate.pin("s", "a")) is None

    answers = await asyncio.gather(*(gate.commit(gate.pin("s", "a")) for _ in range(20)))
    assert set(answers) == {None}


@pytest.mark.parametrize("conflict", [Conflict.SESSION_OF_ANOTHER, Conflict.ANOTHER_PEER])
async def test_pin_is_refused_by_its_own_word_when_another_holds_it(
    gate: Teller, conflict: Conflict
) -> None:
    """What it is called stands in the pin that is refused; other pins are free."""
    await gate.commit(gate.pin("s", "a"))

    assert await gate.commit(gate.pin("s", "b", conflict=conflict)) is conflict
    assert await gate.commit(gate.pin("other", "b", conflict=conflict)) is None


async def test_pin_ends(gate: Teller) -> None:
    """It holds to its last moment, and is anybody's some time after it."""
    await gate.commit(gate.pin("s", "a", until=SOON))
    await gate.world.pass_time(SOON - 0.3)
    assert await gate.commit(gate.pin("s", "b")) is Conflict.SESSION_OF_ANOTHER

    async def free() -> bool:
        await gate.world.pass_time(0.3)
        return await gate.commit(gate.pin("s", "b")) is None

    await eventually(free, "the pin has ended")
    assert await gate.commit(gate.pin("s", "a")) is Conflict.SESSION_OF_ANOTHER


@pytest.mark.parametrize(
    "untils", [(SOON, LATER), (LATER, SOON), (SOON, LATER, SOON), (LATER, -SOON)]
)
async def test_pin_lasts_to_the_latest_end_when_it_is_held_again(
    gate: Teller, untils: tuple[float, ...]
) -> None:
    """Another use makes it longer and never shorter."""
    for until in untils:
        await gate.commit(gate.pin("s", "a", until=until))
    await gate.world.pass_time(SOON + 2.5)  # Redis keeps everything for 2 s more

    assert await gate.commit(gate.pin("s", "b")) is Conflict.SESSION_OF_ANOTHER


async def test_claims_stay_free_when_a_pin_is_refused(gate: Teller) -> None:
    """Who rides another's session burns no token, and takes no other pin."""
    await gate.commit(gate.pin("s", "a"))

    effects = (gate.pin("s", "b"), gate.pin("t", "b"), gate.claim("j"))
    assert await gate.commit(*effects) is Conflict.SESSION_OF_ANOTHER
    assert await gate.commit(gate.pin("t", "c"), gate.claim("j")) is None


async def test_pins_stay_held_when_a_claim_is_refused(gate: Teller) -> None:
    """Pins come first; whoever may hold one loses nothing by holding it."""
    await gate.commit(gate.claim("j"))

    effects = (gate.pin("s", "a"), gate.pin("t", "a"), gate.claim("j"))
    assert await gate.commit(*effects) is Conflict.CLAIMED_BEFORE
    for key in ("s", "t"):
        assert await gate.commit(gate.pin(key, "b")) is Conflict.SESSION_OF_ANOTHER
        assert await gate.commit(gate.pin(key, "a")) is None


async def test_pin_is_never_forgotten_to_make_room(gate: Teller) -> None:
    """A full ledger takes none that is new; what is held stays its holder's."""
    await gate.commit(gate.pin("s", "a"))
    await gate.world.fill(gate.ledger)

    assert await gate.commit(gate.pin("t", "a")) is Conflict.OVERLOADED
    assert await gate.commit(gate.pin("s", "b")) is Conflict.SESSION_OF_ANOTHER
    assert await gate.commit(gate.pin("s", "a")) is None


@pytest.mark.parametrize("row", [Dependency.REPLAY, Dependency.REPLAY_OF_SINGLE_USE_TOKEN])
async def test_claim_stays_free_when_a_pin_has_no_room(gate: Teller, row: Dependency) -> None:
    """A refusal burns no token, and is no outage whatever the pin is for."""
    await gate.world.fill(gate.ledger)

    effects = (gate.pin("s", "a", row=row), gate.claim("j"))
    assert await gate.commit(*effects) is Conflict.OVERLOADED
    await gate.world.make_room(gate.ledger)
    assert await gate.commit(gate.pin("s", "b"), gate.claim("j")) is None


# --- the quota of pins --------------------------------------------------------------------------


async def test_pin_is_refused_over_its_owners_quota(world: World) -> None:
    """One agent's flood of sessions is its own refusal, and nobody else's."""
    gate = Teller(world, await world.ledger(pins=2))
    for key in ("s", "t"):
        assert await gate.commit(gate.pin(key, "a")) is None

    assert await gate.commit(gate.pin("u", "a")) is Conflict.QUOTA
    assert await gate.commit(gate.pin("u", "b", owner="other")) is None


async def test_pin_costs_nothing_new_when_its_owner_holds_it(world: World) -> None:
    """However often the sessions are used that there are; the quota stays as it was."""
    gate = Teller(world, await world.ledger(pins=2))
    for until in (60.0, 120.0, 30.0):
        for key in ("s", "t"):
            assert await gate.commit(gate.pin(key, "a", until=until)) is None

    assert await gate.commit(gate.pin("u", "a")) is Conflict.QUOTA


async def test_pin_is_anothers_when_the_quota_is_full_too(world: World) -> None:
    """A stolen session is named as one."""
    gate = Teller(world, await world.ledger(pins=1))
    await gate.commit(gate.pin("s", "a", owner="1"))
    await gate.commit(gate.pin("t", "b", owner="2"))

    assert await gate.commit(gate.pin("s", "b", owner="2")) is Conflict.SESSION_OF_ANOTHER


async def test_pins_quota_is_free_when_pins_end(world: World) -> None:
    """What has ended counts no more; what was made to last longer does."""
    gate = Teller(world, await world.ledger(pins=2))
    await gate.commit(gate.pin("s", "a", until=SOON))
    await gate.commit(gate.pin("t", "a", until=SOON))
    await gate.commit(gate.pin("t", "a", until=LATER))
    assert await gate.commit(gate.pin("u", "a")) is Conflict.QUOTA
    await world.pass_time(SOON)

    assert await gate.commit(gate.pin("u", "a")) is None
    assert await gate.commit(gate.pin("v", "a")) is Conflict.QUOTA


async def test_claim_and_pin_stay_free_when_the_quota_of_pins_is_full(world: World) -> None:
    """Who has too many burns no token, and what was refused is anybody's."""
    gate = Teller(world, await world.ledger(pins=1))
    await gate.commit(gate.pin("s", "a"))

    assert await gate.commit(gate.pin("t", "a"), gate.claim("j")) is Conflict.QUOTA
    assert await gate.commit(gate.pin("t", "b", owner="other"), gate.claim("j")) is None


async def test_pins_quota_is_a_thousand_when_nobody_says_otherwise(gate: Teller) -> None:
    """What a sidecar is made with."""
    pins = [gate.pin(f"s{n}", "a") for n in range(1001)]
    answers = await asyncio.gather(*map(gate.commit, pins))

    assert answers == [None] * 1000 + [Conflict.QUOTA]
