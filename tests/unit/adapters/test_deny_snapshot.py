"""The feed on disk: a restart denies what was denied, and believes no line that nobody signed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from sidecar.adapters import deny_snapshot
from sidecar.adapters.deny_snapshot import DenySnapshot
from sidecar.adapters.fed_deny_list import FedDenyList
from sidecar.adapters.own_file import OwnFile
from sidecar.core.feed import Batch, Taken
from sidecar.core.feed_wire import FeedKeys
from sidecar.core.model import Dependency, Unavailable
from tests.feed_source import KEYS, NEWER, FeedSource, agent_key, denial
from tests.redis_server import eventually
from tests.values import NOW, StillClock, make_agent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own" / "deny.feed"


@pytest.fixture
def source() -> FeedSource:
    """Three denials, in three batches (``fill``)."""
    source = FeedSource()
    source.deny(denial("a"), denial("b"), denial("c"))
    return source


@asynccontextmanager
async def started(
    path: Path,
    *,
    keys: FeedKeys = KEYS,
    capacity: int = 100_000,
    stale_after: float | None = 5,
    now: float = NOW,
) -> AsyncIterator[FedDenyList]:
    clock = StillClock()
    clock.wall = now
    snapshot = DenySnapshot(path)
    deny_list = FedDenyList(
        keys=keys, capacity=capacity, stale_after=stale_after, clock=clock, snapshot=snapshot
    )
    try:
        await deny_list.start()
        yield deny_list
    finally:
        await deny_list.close()


def content(path: Path) -> bytes:
    return path.read_bytes()


def put(path: Path, text: bytes) -> None:
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_bytes(text)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def read(deny_list: FedDenyList, source: FeedSource) -> None:
    """Everything in one batch a change, and that this is all."""
    for after in range(deny_list.upto, source.end):
        deny_list.take(source.signed(after, after + 1))
    deny_list.hear(source.beat(NOW))


async def fill(path: Path, source: FeedSource) -> list[bytes]:
    """A complete snapshot's lines."""
    async with started(path) as deny_list:
        read(deny_list, source)
    return content(path).splitlines()


def names(deny_list: FedDenyList) -> set[str]:
    return {entry.key.value for entry in deny_list.entries(now=NOW)}


def silence(deny_list: FedDenyList, now: float = NOW) -> Dependency | None:
    try:
        assert deny_list.find(make_agent(agent="x", subject="x"), now=now) is None
    except Unavailable as silent:
        return silent.dependency
    return None


async def test_a_restart_without_redis_still_denies(path: Path, source: FeedSource) -> None:
    """It is ready at once, holds what was held, and knows how old that is."""
    lines = await fill(path, source)
    assert len(lines) == 5  # genesis, three denials, and the heartbeat by which it was complete

    async with started(path, now=NOW + 60) as deny_list:
        assert (deny_list.ready, deny_list.upto, names(deny_list)) == (True, 4, {"a", "b", "c"})
        assert (deny_list.age(NOW + 60), silence(deny_list, NOW + 60)) == (60, Dependency.DENY_LIST)
        source.lift(agent_key("b"))
        read(deny_list, source)
    async with started(path) as deny_list:
        assert names(deny_list) == {"a", "c"}


async def test_the_file_is_private(path: Path, source: FeedSource) -> None:
    """0600, in a folder that nobody else can write to."""
    await fill(path, source)

    assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)


async def test_a_beginning_on_disk_makes_no_list_ready(path: Path, source: FeedSource) -> None:
    """Whoever fed a new sidecar with an old prefix cannot make it ready by a restart."""
    async with started(path) as deny_list:
        deny_list.take(source.signed(0, 2))
        deny_list.hear(source.beat(NOW - 60, upto=2))
        assert not await deny_list.compact(texts([source.signed(0, 2)]))

    async with started(path) as deny_list:
        assert (deny_list.ready, names(deny_list)) == (False, {"a"})
        assert silence(deny_list) is Dependency.DENY_LIST_NEVER_LOADED


async def test_a_beginning_on_disk_is_enough_without_heartbeats(
    path: Path, source: FeedSource
) -> None:
    """Where nobody ever says that this is all."""
    async with started(path, stale_after=None) as deny_list:
        deny_list.take(source.signed(0, 2))

    async with started(path, stale_after=None) as deny_list:
        assert (deny_list.ready, silence(deny_list)) == (True, None)


def cut(lines: list[bytes], place: int) -> bytes:
    return b"\n".join(lines)[:-place]


async def test_a_line_that_was_cut_off_is_dropped(path: Path, source: FeedSource) -> None:
    """And the next one does not stick to it."""
    lines = await fill(path, source)
    put(path, b"\n".join(lines[:3])[:-20])

    async with started(path) as deny_list:
        assert names(deny_list) == {"a"}
        read(deny_list, source)
    async with started(path) as deny_list:
        assert (names(deny_list), deny_list.ready) == ({"a", "b", "c"}, True)
    assert not path.with_name("deny.feed.refused").exists()


FORGER = FeedSource(key=Ed25519PrivateKey.generate())
FORGER.deny(*(denial("x") for _ in range(3)))


def swapped(lines: list[bytes]) -> list[bytes]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


@pytest.mark.parametrize(
    ("change", "kept", "why"),
    [
        (lambda lines: [*lines[:2], FORGER.signed(2, 3), *lines[2:]], {"a"}, "signature"),
        (lambda lines: [*lines[:2], lines[2][:-5] + b"AAAAA", *lines[3:]], {"a"}, "signature"),
        (lambda lines: [*lines[:2], b"", *lines[2:]], {"a"}, "JWS"),
        (lambda lines: [*lines[:2], b"\xff\x00rubbish", *lines[2:]], {"a"}, "JWS"),
        (swapped, set(), "gap"),
        (lambda lines: [*lines[:2], *lines[3:]], {"a"}, "gap"),
        (lambda lines: lines[1:], set(), "gap"),
        (lambda lines: [*lines[:2], FeedSource(NEWER).signed()[::-1], *lines[2:]], {"a"}, "JWS"),
    ],
    ids=["forged", "edited", "empty", "rubbish", "reordered", "missing", "headless", "reversed"],
)
async def test_a_line_that_nobody_signed_for_this_place_ends_the_reading(
    path: Path, source: FeedSource, change: Any, kept: set[str], why: str
) -> None:
    """What was valid before it holds; it is told, the file is set aside, and reading goes on."""
    lines = await fill(path, source)
    edited = b"\n".join(change(lines)) + b"\n"
    put(path, edited)

    with capture_logs() as logs:
        async with started(path) as deny_list:
            assert (names(deny_list), deny_list.ready) == (kept, False)
            read(deny_list, source)
    refused = [one for one in logs if one["event"] == "deny_snapshot_refused"]
    assert [(one["log_level"], one["kept_lines"] + 1 == one["line"]) for one in refused] == [
        ("error", True)
    ]
    assert why in refused[0]["why"]
    assert path.with_name("deny.feed.refused").read_bytes() == edited
    async with started(path) as deny_list:
        assert (names(deny_list), deny_list.ready) == ({"a", "b", "c"}, True)


async def test_a_file_of_another_feeds_key_is_refused_in_words(
    path: Path, source: FeedSource
) -> None:
    """Whoever mounted the wrong volume, or changed keys too early, can read it in the log."""
    await fill(path, source)
    with capture_logs() as logs:
        async with started(path, keys={"other": KEYS["feed-1"]}) as deny_list:
            assert (len(deny_list), deny_list.ready) == (0, False)

    told = next(one for one in logs if one["event"] == "deny_snapshot_refused")
    assert "not among the feed's keys" in told["why"]


async def test_a_file_that_was_rolled_back_is_read_on_from_there(
    path: Path, source: FeedSource
) -> None:
    """It holds less, and says how old it is; the feed gives the rest."""
    lines = await fill(path, source)
    source.deny(denial("d"))
    async with started(path) as deny_list:
        read(deny_list, source)
    put(path, b"\n".join(lines) + b"\n")

    async with started(path, now=NOW + 60) as deny_list:
        assert silence(deny_list, NOW + 60) is Dependency.DENY_LIST
        assert deny_list.take(source.signed(4)) is Taken.APPLIED
        assert names(deny_list) == {"a", "b", "c", "d"}


async def test_a_file_that_cannot_be_set_aside_is_left_alone(
    path: Path, source: FeedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is no reason to lose what was found, nor to end."""
    lines = await fill(path, source)
    put(path, b"\n".join([lines[0], *lines[2:]]) + b"\n")
    before = content(path)

    def fail(_: object) -> Path:
        raise OSError("no")

    monkeypatch.setattr(OwnFile, "set_aside", fail)
    async with started(path) as deny_list:
        read(deny_list, source)
        assert (names(deny_list), deny_list.ready) == ({"a", "b", "c"}, True)
    assert content(path) == before


async def test_a_file_with_more_than_there_is_room_for_is_left_alone(
    path: Path, source: FeedSource
) -> None:
    """Whoever lowered the limit by mistake loses nothing, and is told."""
    lines = await fill(path, source)
    with capture_logs() as logs:
        async with started(path, capacity=2) as deny_list:
            assert (names(deny_list), deny_list.ready) == ({"a", "b"}, False)
            assert deny_list.take(source.signed(3)) is Taken.FULL
    assert [one["how"] for one in logs if one["log_level"] == "error"] == ["full"]

    assert content(path).splitlines() == lines
    async with started(path) as deny_list:
        assert names(deny_list) == {"a", "b", "c"}


async def test_two_sidecars_never_share_a_file(path: Path, source: FeedSource) -> None:
    """Their lines would mix; the second says so."""
    async with started(path) as deny_list:
        read(deny_list, source)
        with pytest.raises(OSError, match="another process"):
            DenySnapshot(path)


CHILD = """
import asyncio, sys
from pathlib import Path
from sidecar.adapters.deny_snapshot import DenySnapshot
from sidecar.adapters.fed_deny_list import FedDenyList
from sidecar.core.feed_wire import open_batch
from tests.values import StillClock

async def main():
    keys = __import__("tests.feed_source", fromlist=["KEYS"])
    source = keys.FeedSource()
    snapshot = DenySnapshot(Path(sys.argv[1]))
    deny_list = FedDenyList(
        keys=keys.KEYS, capacity=10**6, stale_after=5, clock=StillClock(), snapshot=snapshot
    )
    await deny_list.start()
    for n in range(10**6):
        deny_list.take(source.signed(n))
        source.deny(keys.denial(str(n)))
        while not snapshot.saved:
            await asyncio.sleep(0)
        print("at", n + 1, keys.KEY.private_bytes_raw().hex(), flush=True)

asyncio.run(main())
"""


async def test_what_was_written_survives_a_kill(path: Path) -> None:
    """``kill -9`` in the middle of many batches loses none that the thread had written."""
    last, key = "0", ""
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:  # noqa: ASYNC220
        assert child.stdout is not None
        for line in child.stdout:
            if line.startswith("at "):
                _, last, key = line.split()
            if int(last) == 200:
                child.kill()

    public = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(key)).public_key()
    async with started(path, keys={"feed-1": public}) as deny_list:
        assert deny_list.upto >= int(last) >= 200
        assert len(deny_list) == deny_list.upto - 1


async def texts(some: Iterable[bytes]) -> AsyncIterator[bytes]:
    for text in some:
        yield text


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is long from eleven lines on."""
    monkeypatch.setattr(deny_snapshot, "_FEW_LINES", 10)


def is_long(deny_list: FedDenyList) -> bool:
    return deny_list.wants_base


@pytest.mark.usefixtures("short")
async def test_compact_puts_the_base_in_place_of_what_it_covers(path: Path) -> None:
    """What came after it stays; a restart holds the same, and is ready."""
    source = FeedSource()
    source.deny(*(denial(str(n)) for n in range(12)))
    for n in range(10):
        source.lift(agent_key(str(n)))
    async with started(path) as deny_list:
        read(deny_list, source)
        assert is_long(deny_list)
        held = names(deny_list)
        assert await deny_list.compact(texts(source.base(NOW, upto=20)))
        assert not is_long(deny_list)
        source.deny(denial("later"))
        deny_list.take(source.signed(23))

    assert len(content(path).splitlines()) == 7  # base, beat, tail with its beat, later
    async with started(path) as deny_list:
        assert (names(deny_list), deny_list.upto) == (held | {"later"}, 24)
        assert deny_list.ready


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    "other", ["nothing", "forged", "gap", "newer", "mixed", "further", "unproven"]
)
async def test_compact_leaves_the_file_alone_when_the_base_is_not_ours(
    path: Path, source: FeedSource, other: str
) -> None:
    """Whoever writes to Redis cannot empty the file, nor put an older feed into it."""
    new = FeedSource(NEWER)
    new.deny(*source.held(NOW))
    bases = {
        "nothing": [],
        "forged": [FORGER.signed()],
        "gap": [source.signed(1)],
        "newer": [new.signed()],
        "mixed": [source.signed(), new.signed()],
        "further": [source.signed()],
        "unproven": [new.signed()],
    }
    lines = await fill(path, source)
    async with started(path) as deny_list:
        if other == "mixed":
            read(deny_list, new)
            lines.append(new.signed())
        if other == "unproven":
            deny_list.take(new.signed())
        if other == "further":
            source.deny(denial("d"))
            bases["further"] = [source.signed()]
        assert not await deny_list.compact(texts(bases[other]))
    async with started(path) as deny_list:
        assert {"a", "b", "c"} <= names(deny_list)
    assert content(path).splitlines()[:5] == lines[:5]


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("ended", [False, True])
async def test_compact_keeps_a_replaced_feed_until_everything_in_it_has_ended(
    path: Path,
    source: FeedSource,
    ended: bool,  # noqa: FBT001
) -> None:
    """A new journal's base knows nothing of what the lost one denied."""
    new = FeedSource(NEWER)
    new.lift(agent_key("a"))
    await fill(path, source)
    now = NOW + (600 if ended else 0)
    async with started(path, now=now) as deny_list:
        for after in range(new.end):
            deny_list.take(new.signed(after, after + 1))
        deny_list.hear(new.beat(now))
        assert await deny_list.compact(texts([new.signed()]))

    async with started(path, now=now) as deny_list:
        assert names(deny_list) == (set() if ended else {"b", "c"})
        assert (deny_list.ready, deny_list.feed) == (True, NEWER)
    assert len(content(path).splitlines()) == (0 if ended else 5) + 2


@pytest.mark.usefixtures("short")
async def test_a_file_that_cannot_be_shortened_stays_as_it_was(
    path: Path, source: FeedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And grows on."""
    lines = await fill(path, source)
    async with started(path) as deny_list:
        with monkeypatch.context() as broken:
            broken.setattr(os, "fsync", lambda _: os.fstat(-1))
            assert not await deny_list.compact(texts([source.signed()]))
        source.deny(denial("d"))
        deny_list.take(source.signed(4))

    assert content(path).splitlines() == [*lines, source.signed(4)]


async def test_a_full_disk_delays_the_file_and_nothing_else(
    path: Path, source: FeedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list goes on; what could not be written is written in its order when there is room."""
    async with started(path) as deny_list:
        snapshot: Any = deny_list._snapshot
        with monkeypatch.context() as full, capture_logs() as logs:
            full.setattr(os, "write", lambda *_: 0)
            for after in range(4):
                deny_list.take(source.signed(after, after + 1))
                await eventually(lambda: snapshot._failing, "the disk is full")
            snapshot._worker.submit(int).result()
            assert names(deny_list) == {"a", "b", "c"}
            assert (content(path), snapshot.saved) == (b"", False)
            assert not await snapshot.rewrite(
                [(source.signed(), source.stretch(0, 4))], [], now=NOW
            )
            assert content(path) == b""
        assert [one["event"] for one in logs] == ["deny_snapshot_not_written"]

        deny_list.hear(source.beat(NOW))
        await eventually(lambda: snapshot.saved, "everything is written")
    async with started(path) as deny_list:
        assert (names(deny_list), deny_list.ready) == ({"a", "b", "c"}, True)


async def test_a_disk_that_stays_full_does_not_fill_the_memory(
    path: Path, source: FeedSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond a limit the file is given up: it stays a true beginning."""
    monkeypatch.setattr(deny_snapshot, "_MOST_WAITING", 1000)
    async with started(path) as deny_list:
        snapshot: Any = deny_list._snapshot
        deny_list.take(source.signed(0, 1))
        await eventually(lambda: snapshot.saved, "the first is written")
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda *_: 0)
            for after in range(1, 4):
                deny_list.take(source.signed(after, after + 1))
            snapshot._worker.submit(int).result()
        deny_list.hear(source.beat(NOW))
        snapshot._worker.submit(int).result()
        assert (snapshot._waiting, deny_list.wants_base) == ([], False)

    assert content(path) == source.signed(0, 1) + b"\n"


async def test_a_restart_with_twenty_thousand_entries_takes_a_moment(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a base, and from shorter lines; the times are printed, not judged."""
    source = FeedSource()
    source.deny(*(denial(f"agent-{n:032d}") for n in range(20_000)))
    for step in (1000, 10, 1):
        starts = range(0, source.end, step)
        lines = [source.sign(_stretch(source, at, min(at + step, source.end))) for at in starts]
        put(path, b"".join(line + b"\n" for line in lines))
        began = time.perf_counter()
        async with started(path) as deny_list:
            took = time.perf_counter() - began
            assert len(deny_list) == 20_000
        with capsys.disabled():
            print(f"\nrestart, 20,000 entries, {step} a line: {took:.2f} s")  # noqa: T201


def _stretch(source: FeedSource, after: int, upto: int) -> Batch:
    return Batch(source.feed, after, upto, tuple(source.changes[after:upto]))
