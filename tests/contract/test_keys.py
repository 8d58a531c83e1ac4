"""The contract of ``ports.Keys``, over every implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from sidecar.adapters.jwks import IssuerKeys, KeyLimits, KeySource
from sidecar.core.model import Dependency, Key, Unavailable
from sidecar.ports import Keys
from tests.fakes_keys import ALL_ALGORITHMS, FakeKeys, FakeTime, jwk, jwks
from tests.jwks_server import JwksServer, hang_up

ISSUER = "https://issuer.example"
OTHER = "https://other.example"
LIMITS = KeyLimits(refresh_s=60, max_age_s=3600, cooldown_s=10, wait_s=5, max_skew_s=None)

Documents = Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class World:
    """Issuers and an implementation that has fetched from each of them once."""

    keys: Keys
    time: FakeTime
    publish: Callable[[str, bytes | None], None]
    """What the issuer answers from now on; None: nothing at all."""
    refresh: Callable[[], None]
    """What time alone does not bring about: the fake has no schedule."""

    async def find(self, kid: str | None, issuer: str = ISSUER) -> Key | None:
        return await self.keys.find(issuer, kid, deadline=self.time.monotonic() + 5)

    async def pass_schedule(self) -> None:
        await self.time.advance(60)
        self.refresh()


MakeWorld = Callable[[Documents], AbstractAsyncContextManager[World]]


@asynccontextmanager
async def fake_world(documents: Documents, _: Path) -> AsyncIterator[World]:
    time = FakeTime()
    fake = FakeKeys(time, LIMITS)
    for issuer, document in documents.items():
        fake.publish(issuer, document)
        fake.refresh(issuer)

    def refresh() -> None:
        for issuer in documents:
            fake.refresh(issuer)

    yield World(fake, time, fake.publish, refresh)


@asynccontextmanager
async def adapter_world(
    sources: list[KeySource], publish: Callable[[str, bytes | None], None]
) -> AsyncIterator[World]:
    time = FakeTime()
    keys = IssuerKeys(sources, LIMITS, time, random=lambda: 1.0, sleep=time.sleep)
    await keys.start()
    try:
        await time.asleep(len(sources))
        yield World(keys, time, publish, lambda: None)
    finally:
        await keys.close()


@asynccontextmanager
async def url_world(documents: Documents, _: Path) -> AsyncIterator[World]:
    async with JwksServer() as one, JwksServer() as two:
        servers = dict(zip(documents, (one, two), strict=False))

        def publish(issuer: str, document: bytes | None) -> None:
            servers[issuer].document = document or b""
            servers[issuer].answer = hang_up if document is None else None

        for issuer, document in documents.items():
            publish(issuer, document)
        sources = [
            KeySource(issuer, issuer, ALL_ALGORITHMS, url=server.url)
            for issuer, server in servers.items()
        ]
        async with adapter_world(sources, publish) as world:
            yield world


@asynccontextmanager
async def file_world(documents: Documents, folder: Path) -> AsyncIterator[World]:
    files = {issuer: folder / f"{place}.json" for place, issuer in enumerate(documents)}

    def publish(issuer: str, document: bytes | None) -> None:
        if document is None:
            files[issuer].unlink()
        else:
            files[issuer].write_bytes(document)

    for issuer, document in documents.items():
        if document is not None:
            publish(issuer, document)
    sources = [
        KeySource(issuer, issuer, ALL_ALGORITHMS, file=file) for issuer, file in files.items()
    ]
    async with adapter_world(sources, publish) as world:
        yield world


@pytest.fixture(params=["fake", "url", "file"])
def make_world(request: pytest.FixtureRequest, tmp_path: Path) -> MakeWorld:
    make = {"fake": fake_world, "url": url_world, "file": file_world}[request.param]
    return lambda documents: make(documents, tmp_path)


async def test_find_returns_the_key_when_it_is_published(make_world: MakeWorld) -> None:
    """A key comes back under its issuer, its kid and its one algorithm."""
    async with make_world({ISSUER: jwks("a", "b")}) as world:
        key = await world.find("a")

        assert key is not None
        assert (key.issuer, key.kid, key.algorithm) == (ISSUER, "a", "EdDSA")


async def test_find_returns_the_only_key_when_no_kid_is_given(make_world: MakeWorld) -> None:
    """A token without a kid means the key of an issuer that has exactly one."""
    async with make_world({ISSUER: jwks("a"), OTHER: jwks("b", "c")}) as world:
        key = await world.find(None)

        assert key is not None
        assert key.kid == "a"
        assert await world.find(None, OTHER) is None


async def test_find_returns_none_when_the_issuer_is_unknown(make_world: MakeWorld) -> None:
    """Nobody's issuer is no outage."""
    async with make_world({ISSUER: jwks("a")}) as world:
        assert await world.find("a", "https://nobody.example") is None
        assert await world.find("a", ISSUER + "/") is None


async def test_find_returns_none_when_the_kid_is_of_another_issuer(make_world: MakeWorld) -> None:
    """An issuer's keys are its own, also under equal kids."""
    ours, theirs = jwk("shared", seed="ours"), jwk("shared", seed="theirs")
    async with make_world({ISSUER: jwks(ours, "a"), OTHER: jwks(theirs)}) as world:
        assert await world.find("a", OTHER) is None
        key, other = await world.find("shared"), await world.find("shared", OTHER)

        assert key is not None
        assert other is not None
        assert key.thumbprint != other.thumbprint
        assert (key.issuer, other.issuer) == (ISSUER, OTHER)


async def test_find_returns_the_new_key_when_it_was_just_published(make_world: MakeWorld) -> None:
    """An issuer may rotate without warning: the call that meets the new kid finds it."""
    async with make_world({ISSUER: jwks("old")}) as world:
        world.publish(ISSUER, jwks("old", "new"))

        assert await world.find("new") is not None


async def test_find_fetches_once_in_a_cooldown_when_kids_are_unknown(make_world: MakeWorld) -> None:
    """What was published during the cool-down is found after it, and not before."""
    async with make_world({ISSUER: jwks("old")}) as world:
        assert await world.find("made-up") is None
        world.publish(ISSUER, jwks("old", "new"))
        world.time.pass_by(9.9)
        assert await world.find("new") is None
        world.time.pass_by(0.2)

        assert await world.find("new") is not None


async def test_find_cools_down_when_the_fetch_failed(make_world: MakeWorld) -> None:
    """A failed fetch is followed by a cool-down as a good one is."""
    async with make_world({ISSUER: jwks("old")}) as world:
        world.publish(ISSUER, None)
        assert await world.find("made-up") is None
        world.publish(ISSUER, jwks("old", "new"))
        world.time.pass_by(9.9)

        assert await world.find("new") is None


async def test_find_raises_when_no_keys_were_ever_loaded(make_world: MakeWorld) -> None:
    """Without any keys there is nothing to say, for known and unknown kids alike."""
    async with make_world({ISSUER: None}) as world:
        for kid in ("a", None):
            with pytest.raises(Unavailable) as outage:
                await world.find(kid)
            assert outage.value.dependency is Dependency.KEYS


async def test_find_recovers_when_the_issuer_comes_up(make_world: MakeWorld) -> None:
    """A failed first fetch is repeated."""
    async with make_world({ISSUER: None}) as world:
        world.publish(ISSUER, jwks("a"))
        await world.pass_schedule()

        assert await world.find("a") is not None


@pytest.mark.parametrize(
    "broken",
    [None, b"", b"<html>", jwks(), jwks(jwk("b", d="AAAA")), jwks("b", "b")],
    ids=["down", "nothing", "html", "no keys", "private key", "ambiguous"],
)
async def test_find_keeps_the_keys_when_a_refresh_fails(
    make_world: MakeWorld, broken: bytes | None
) -> None:
    """Nothing but a good document replaces good keys."""
    async with make_world({ISSUER: jwks("a")}) as world:
        world.publish(ISSUER, broken)
        await world.pass_schedule()

        assert await world.find("a") is not None
        assert await world.find("b") is None


async def test_find_raises_when_the_keys_are_over_age(make_world: MakeWorld) -> None:
    """Keys that nobody could confirm for ``max_age_s`` verify nothing any more."""
    async with make_world({ISSUER: jwks("a")}) as world:
        world.publish(ISSUER, None)
        world.time.pass_by(3600)
        assert await world.find("a") is not None
        world.time.pass_by(0.1)

        for kid in ("a", "b"):
            with pytest.raises(Unavailable):
                await world.find(kid)


async def test_find_keeps_answering_when_refreshes_confirm_the_keys(make_world: MakeWorld) -> None:
    """Keys that are confirmed do not age."""
    async with make_world({ISSUER: jwks("a")}) as world:
        for _ in range(70):
            await world.pass_schedule()

        assert await world.find("a") is not None


async def test_find_forgets_a_key_when_a_refresh_misses_it(make_world: MakeWorld) -> None:
    """A withdrawn key is untrusted from the refresh on that misses it."""
    async with make_world({ISSUER: jwks("a", "b")}) as world:
        world.publish(ISSUER, jwks("b"))
        await world.pass_schedule()

        assert await world.find("a") is None
        assert await world.find("b") is not None


async def test_find_returns_the_same_object_when_a_refresh_brings_an_equal_key(
    make_world: MakeWorld,
) -> None:
    """What was proven under a key stays proven while the issuer publishes that key."""
    async with make_world({ISSUER: jwks("a", "b")}) as world:
        before = await world.find("a")
        world.publish(ISSUER, jwks("a", "c"))
        await world.pass_schedule()

        assert before is not None
        assert await world.find("a") is before


async def test_find_returns_another_key_when_a_kid_is_reused(make_world: MakeWorld) -> None:
    """A kid that comes back with other material is another key."""
    async with make_world({ISSUER: jwks(jwk("a", seed="one"))}) as world:
        before = await world.find("a")
        world.publish(ISSUER, jwks(jwk("a", seed="two")))
        await world.pass_schedule()

        assert await world.find("a") not in (None, before)
