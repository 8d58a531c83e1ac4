"""Many issuers, files as sources, and the beginning and end of the client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.jwks import IssuerKeys, KeyLimits, KeySource
from sidecar.adapters.jwks_fetch import open_session
from sidecar.core.model import Unavailable
from tests.fakes_keys import FakeTime, jwk, jwks
from tests.jwks_client import EDDSA, ISSUER, LIMITS, at, client_of
from tests.jwks_server import JwksServer


async def test_issuers_do_not_wait_for_each_other() -> None:
    """While one issuer hangs, others are refreshed, rotate and answer."""
    async with JwksServer(jwks("a")) as slow, JwksServer(jwks("a")) as quick:
        sources = [at(slow, "https://slow.example", "slow"), at(quick)]
        async with client_of(*sources) as client:
            slow.hold()
            stuck = asyncio.create_task(client.find("made-up", "https://slow.example"))
            await slow.asked(2)
            quick.document = jwks("b")

            assert await client.find("b") is not None
            assert not stuck.done()
            slow.release()
            assert await stuck is None
            assert client.keys.ready() == {"slow": True, "main": True}
            assert client.keys.document("slow") == jwks("a")
            assert client.keys.document("main") == jwks("b")


async def test_cooldown_of_one_issuer_is_not_that_of_another() -> None:
    """Made-up kids of one issuer cost the rotation of another nothing."""
    async with (
        JwksServer(jwks("a")) as one,
        JwksServer(jwks("a")) as two,
        client_of(at(one), at(two, "https://two.example", "two")) as client,
    ):
        await client.find("made-up")
        two.document = jwks("b")

        assert await client.find("b", "https://two.example") is not None


async def test_start_succeeds_when_an_issuer_is_down() -> None:
    """One issuer's trouble at the start is its own, and is over when it is."""
    async with (
        JwksServer() as down,
        JwksServer(jwks("a")) as up,
        client_of(at(down, "https://down.example", "down"), at(up)) as client,
    ):
        assert client.keys.ready() == {"down": False, "main": True}
        assert client.keys.status()["down"].age_s is None
        with pytest.raises(Unavailable):
            await client.find("a", "https://down.example")
        assert await client.find("a") is not None
        down.document = jwks("a")
        await client.time.advance(1)

        assert client.keys.ready() == {"down": True, "main": True}


@pytest.mark.parametrize(("uses", "kids"), [({"sig"}, ["a", "c"]), ({"jwt-svid"}, ["b", "c"])])
async def test_keys_count_when_their_use_is_one_of_the_source(
    uses: set[str], kids: list[str]
) -> None:
    """SPIFFE's bundles name the use of their JWT keys ``jwt-svid``."""
    document = jwks(jwk("a"), jwk("b", use="jwt-svid"), without_use("c"))
    async with (
        JwksServer(document) as server,
        client_of(at(server, uses=frozenset(uses))) as client,
    ):
        assert [kid for kid in "abc" if await client.find(kid) is not None] == kids


def without_use(kid: str) -> dict[str, Any]:
    return {name: value for name, value in jwk(kid).items() if name != "use"}


async def test_file_counts_within_a_second_when_it_changes(tmp_path: Path) -> None:
    """An edit is seen although the file's time and length stay the same."""
    file = tmp_path / "keys.json"
    file.write_bytes(jwks("a"))
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    async with client_of(KeySource(ISSUER, "main", EDDSA, file=file)) as client:
        assert client.time.slept == [1]
        await client.time.advance(1)
        assert client.status.not_modified == 1
        file.write_bytes(jwks("b"))
        os.utime(file, ns=times)
        await client.time.advance(1)

        assert await client.find("a") is None
        assert await client.find("b") is not None


def missing(file: Path) -> None:
    file.unlink()


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def too_large(file: Path) -> None:
    file.write_bytes(jwks("a") + b" " * LIMITS.max_bytes)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (missing, "No such file"),
        (folder, "not a regular file"),
        (pipe, "not a regular file"),
        (too_large, "more than 262144 bytes"),
    ],
)
async def test_keys_stay_when_the_file_is_spoilt(
    tmp_path: Path, spoil: Callable[[Path], None], why: str
) -> None:
    """A file fails as a server does, and the log names it."""
    file = tmp_path / "keys.json"
    file.write_bytes(jwks("a"))
    async with client_of(KeySource(ISSUER, "main", EDDSA, file=file)) as client:
        spoil(file)
        with capture_logs() as logs:
            await client.time.advance(1)

        assert await client.find("a") is not None
        assert str(file) in logs[0]["why"]
        assert why in logs[0]["why"]


async def test_change_of_keys_is_logged_once_with_what_was_skipped() -> None:
    """The operator reads which keys are in use and which are not, when that changes."""
    published = jwks("a", jwk("enc", use="enc"))
    async with JwksServer(published) as server:
        server.etags = False
        with capture_logs() as logs:
            async with client_of(at(server)) as client:
                await client.time.advance(60)
                assert client.status.skipped == 1

        assert [(log["event"], log["kids"], log["skipped"]) for log in logs] == [
            ("keys_changed", ["a"], ["'enc': 'use' is not sig"])
        ]


async def test_refreshing_survives_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw is a failed fetch, not the end of all fetches."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async with JwksServer(jwks("a")) as server, client_of(at(server)) as client:
        server.document = jwks("b")
        with monkeypatch.context() as patch:
            patch.setattr("sidecar.adapters.jwks_ring.parse_jwks", broken)
            await client.time.advance(60)
        assert client.status.failures == 1
        assert client.time.slept[-1] == 1
        assert await client.find("a") is not None
        await client.time.advance(1)

        assert client.status.failures == 1
        assert await client.find("b") is not None


async def test_close_ends_every_task_when_a_fetch_hangs() -> None:
    """Nothing of ours runs on after ``close``, and the session is closed."""
    session = open_session()
    time = FakeTime()
    async with JwksServer(jwks("a")) as server:
        before = asyncio.all_tasks()
        keys = IssuerKeys(
            [at(server)],
            LIMITS,
            time,
            random=lambda: 1.0,
            sleep=time.sleep,
            session=lambda: session,
        )
        await keys.start()
        server.hold()
        caller = asyncio.create_task(keys.find(ISSUER, "b", deadline=time.monotonic() + 5))
        await server.asked(2)
        await keys.close()

        assert await caller is None
        assert session.closed
        ours = {task for task in asyncio.all_tasks() - before if "jwks_ring" in repr(task)}
        assert ours == set()


@pytest.mark.parametrize(
    "second",
    [KeySource(ISSUER, "b", EDDSA, url="http://b"), KeySource("b", "a", EDDSA, url="http://b")],
)
def test_sources_are_refused_when_two_share_an_issuer_or_a_name(second: KeySource) -> None:
    """Otherwise one of them would silently not count."""
    first = KeySource(ISSUER, "a", EDDSA, url="http://a")
    with pytest.raises(ValueError, match="twice"):
        IssuerKeys([first, second], LIMITS, FakeTime(), random=lambda: 1.0)


@pytest.mark.parametrize("place", [{}, {"url": "http://a", "file": Path("a")}])
def test_source_is_refused_when_it_has_no_place_or_two(place: dict[str, Any]) -> None:
    """A source says in one way where its keys are."""
    with pytest.raises(ValueError, match="issuer a: give its keys either"):
        KeySource(ISSUER, "a", EDDSA, **place)


@pytest.mark.parametrize(
    "wrong",
    [
        {"refresh_s": 0},
        {"timeout_s": 0},
        {"cooldown_s": 0},
        {"max_bytes": 0},
        {"max_age_s": 60},
    ],
)
def test_limits_are_refused_when_they_switch_a_rule_off(wrong: dict[str, Any]) -> None:
    """A limit of nothing is no limit; keys must outlive a refresh."""
    with pytest.raises(ValueError, match="must be above"):
        KeyLimits(**wrong)
