"""The journal: what it keeps, what it forgets, and what it refuses to open."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.feed import Batch, Denied, FeedId, Genesis, Lifted
from sidecar.core.feed_wire import MAX_BYTES, MAX_CHANGES, sign_batch
from sidecar.relay import journal as journal_module
from sidecar.relay.journal import Journal
from sidecar.relay.journal_disk import JournalError, begin
from sidecar.relay.journal_file import JournalFile
from sidecar.relay.keys import make_keys, read_signer

FEED = FeedId("0" * 32, 1_800_000_000_000)
NOW = 1_800_000_000.0


def entry(value: str, until: float = NOW + 60, **more: Any) -> DenyEntry:
    return DenyEntry(DenyKey(DenyKind.AGENT, "https://i.test", "acme", value), until, **more)


@asynccontextmanager
async def opened(path: Path, capacity: int = 100) -> AsyncIterator[Journal]:
    journal = Journal(path, capacity=capacity)
    await journal.open()
    try:
        yield journal
    finally:
        await journal.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "journal.db"
    begin(made, FEED)
    return made


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    async with opened(path) as made:
        yield made


async def everything(journal: Journal, after: int = 0) -> Batch:
    batch = (await journal.stretch(after)).batch
    assert batch is not None
    return batch


async def test_journal_begins_with_its_genesis(journal: Journal) -> None:
    """A feed is seen to begin."""
    assert await everything(journal) == Batch(FEED, 0, 1, (Genesis(1),))


def test_journal_is_its_owners_alone(path: Path) -> None:
    """Whoever can write it can lift a revocation."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("setting", "value"), [("journal_mode", "wal"), ("synchronous", 2)])
async def test_journal_waits_for_the_disk(journal: Journal, setting: str, value: object) -> None:
    """SQLite's FULL is 2: a commit returns when the disk has it."""
    told = await journal._ordering(lambda file: file._rows(f"PRAGMA {setting}").fetchone()[0])

    assert told == value


async def test_journal_numbers_changes_without_a_gap(journal: Journal) -> None:
    """Every change has the next number, and its own batch has nothing else."""
    assert await journal.add((entry("a"), entry("b")), now=NOW) == 3
    assert await journal.lift(entry("a").key, now=NOW) == 4

    assert await everything(journal, 1) == Batch(
        FEED, 1, 4, (Denied(3, entry("b")), Lifted(4, entry("a").key))
    )


async def test_add_changes_nothing_when_the_same_entry_is_there(journal: Journal) -> None:
    """Whoever repeats a command repeats no change; another end is another entry."""
    await journal.add((entry("a"), entry("a")), now=NOW)
    await journal.add((entry("a"),), now=NOW)
    assert journal.upto == 2

    await journal.add((entry("a", until=NOW + 61), entry("a", not_before=NOW)), now=NOW)
    assert journal.upto == 4
    assert len(await journal.entries(now=NOW)) == 3


async def test_add_is_all_or_nothing_when_the_list_is_full(path: Path) -> None:
    """A chunk that does not fit leaves no part of itself."""
    async with opened(path, capacity=2) as journal:
        await journal.add((entry("a"),), now=NOW)
        with pytest.raises(ValueError, match=r"full \(2 entries\)"):
            await journal.add((entry("b"), entry("c")), now=NOW)

        assert [held.key.value for held in await journal.entries(now=NOW)] == ["a"]
        assert journal.upto == 2


async def test_add_makes_room_by_forgetting_what_has_ended(path: Path) -> None:
    """Ended entries do not keep new ones out."""
    async with opened(path, capacity=1) as journal:
        await journal.add((entry("a", until=NOW + 1),), now=NOW)
        await journal.add((entry("b", until=NOW + 999),), now=NOW + 100)

        assert [held.key.value for held in await journal.entries(now=NOW)] == ["b"]


async def test_lift_says_whether_there_was_something(journal: Journal) -> None:
    """Nothing there, or nothing that still holds: nothing is written."""
    assert await journal.lift(entry("a").key, now=NOW) is None
    await journal.add((entry("a", until=NOW + 1),), now=NOW)
    assert await journal.lift(entry("a").key, now=NOW + 2) is None
    assert journal.upto == 2


async def test_lift_stays_until_what_it_lifted_would_have_ended(journal: Journal) -> None:
    """A reader in the middle holds the denial so long; a clock may be behind."""
    await journal.add((entry("a", until=NOW + 100), entry("a", until=NOW + 500)), now=NOW)
    await journal.lift(entry("a").key, now=NOW)

    await journal.forget(now=NOW + 559)
    assert (await everything(journal)).changes == (Genesis(1), Lifted(4, entry("a").key))
    await journal.forget(now=NOW + 560)
    assert await everything(journal) == Batch(FEED, 0, 4, (Genesis(1),))


async def test_forget_keeps_what_holds(journal: Journal) -> None:
    """Only what has ended goes, a minute later, and the genesis never."""
    await journal.add((entry("a", until=NOW + 10), entry("b", until=NOW + 1000)), now=NOW)

    await journal.forget(now=NOW + 69)
    assert len((await everything(journal)).changes) == 3
    await journal.forget(now=NOW + 70)
    assert (await everything(journal)).changes == (Genesis(1), Denied(3, entry("b", NOW + 1000)))
    assert journal.held == 1


async def test_journal_remembers_after_a_restart(path: Path) -> None:
    """Numbers, entries and the feed's name outlive the process."""
    async with opened(path) as journal:
        await journal.add((entry("a", not_before=NOW - 5, reason='"\0é'),), now=NOW)
        await journal.lift(entry("a").key, now=NOW)
        await journal.add((entry("b", not_before=NOW - 5, reason='"\0é'),), now=NOW)
    async with opened(path) as journal:
        assert (journal.feed, journal.upto, journal.held) == (FEED, 4, 1)
        assert await journal.entries(now=NOW) == (entry("b", not_before=NOW - 5, reason='"\0é'),)


async def test_journal_numbers_go_on_when_everything_was_forgotten(path: Path) -> None:
    """A number is never given twice, even when its change is gone."""
    async with opened(path) as journal:
        await journal.add((entry("a"),), now=NOW)
        await journal.forget(now=NOW + 9999)
    async with opened(path) as journal:
        assert await journal.add((entry("b"),), now=NOW) == 3


async def test_stretch_fits_into_a_batch(path: Path) -> None:
    """At most a thousand changes and four MiB, whatever the texts; nothing is left out."""
    make_keys(path.parent / "key.pem", path.parent / "keys.json")
    signer = read_signer(path.parent / "key.pem")
    long = [entry(f"{n}", reason="\x01" * 1024) for n in range(1100)]
    async with opened(path, capacity=5000) as journal:
        await journal.add([entry(f"s-{n}") for n in range(1100)], now=NOW)
        await journal.add(long, now=NOW)
        after, seen = 0, 0
        while (batch := (await journal.stretch(after)).batch) is not None:
            assert batch.after == after
            assert len(batch.changes) <= MAX_CHANGES
            assert len(sign_batch(batch, signer.kid, signer.key)) <= MAX_BYTES
            after, seen = batch.upto, seen + len(batch.changes)

    assert (after, seen) == (2201, 2201)


async def test_stretch_ends_where_it_is_told(journal: Journal) -> None:
    """A base covers what was published, and nothing that came since."""
    await journal.add((entry("a"), entry("b")), now=NOW)

    batch = (await journal.stretch(0, 2)).batch
    assert batch is not None
    assert (batch.upto, len(batch.changes)) == (2, 2)
    assert (await journal.stretch(2, 2)).batch is None


async def test_journal_keeps_together_who_comes_together(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simultaneous revocations share a transaction, and each gets its answer."""
    commits: list[int] = []
    commit = JournalFile.commit

    def counted(file: JournalFile, orders: list[Callable[[JournalFile], Any]]) -> list[Any]:
        commits.append(len(orders))
        return commit(file, orders)

    monkeypatch.setattr(JournalFile, "commit", counted)
    ends = await asyncio.gather(*(journal.add((entry(f"{n}"),), now=NOW) for n in range(50)))

    assert sorted(ends) == list(range(2, 52))
    assert sum(commits) == 50
    assert len(commits) <= 3


async def test_journal_answers_each_order_of_a_group_for_itself(path: Path) -> None:
    """One that does not fit takes nobody along."""
    async with opened(path, capacity=2) as journal:
        wanted = [journal.add((entry(f"{n}"),), now=NOW) for n in range(3)]
        answers = await asyncio.gather(*wanted, return_exceptions=True)

        assert answers[:2] == [2, 3]
        assert isinstance(answers[2], ValueError)


async def test_journal_refuses_more_than_it_can_keep_waiting(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue is bounded, and whoever is turned away hears of it."""
    monkeypatch.setattr(journal_module, "MOST_WAITING", 3)
    wanted = [journal.add((entry(f"{n}"),), now=NOW) for n in range(10)]
    answers = await asyncio.gather(*wanted, return_exceptions=True)

    refused = [answer for answer in answers if isinstance(answer, JournalError)]
    assert len(refused) == 7
    assert journal.upto == 4


async def test_journal_says_when_the_disk_does_not_take_it(journal: Journal) -> None:
    """Nothing is answered as kept that was not; afterwards it works again, without a gap."""
    pages = journal._ordering(lambda file: file._rows("PRAGMA max_page_count = 1").fetchone()[0])
    assert await pages > 1
    with pytest.raises(JournalError, match="full"):
        await journal.add([entry(f"{n}", reason="r" * 1000) for n in range(90)], now=NOW)
    await journal._ordering(lambda file: file._rows("PRAGMA max_page_count = 100000").fetchone())

    assert await journal.add((entry("b"),), now=NOW) == 2
    assert [held.key.value for held in await journal.entries(now=NOW)] == ["b"]


async def test_begin_again_keeps_what_holds_under_a_later_feed(journal: Journal) -> None:
    """Readers switch to it, and nobody is let in again by that; also when the clock is behind."""
    await journal.add((entry("a"), entry("b"), entry("c", until=NOW + 1)), now=NOW)
    await journal.lift(entry("b").key, now=NOW)
    await journal.begin_again("f" * 32, now=NOW - 9)

    assert journal.feed.replaces(FEED)
    held = await journal.entries(now=NOW)
    batch = await everything(journal)
    assert [one.key.value for one in held] == ["a", "c"]
    assert batch == Batch(journal.feed, 0, 3, (Genesis(1), Denied(2, held[0]), Denied(3, held[1])))


async def refused(path: Path) -> str:
    with pytest.raises(JournalError) as failed:
        async with opened(path):
            pass
    return str(failed.value)


async def test_journal_is_not_made_by_an_ordinary_start(tmp_path: Path) -> None:
    """A volume that is missing is no reason to forget who was revoked."""
    assert "needs --init" in await refused(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def test_begin_leaves_a_journal_that_is_there(path: Path) -> None:
    """--init on every start would be no protection."""
    before = path.read_bytes()
    with pytest.raises(JournalError, match="is there already"):
        begin(path, FeedId("1" * 32, 1))

    assert path.read_bytes() == before


async def test_begin_goes_on_after_one_that_was_cut_off(tmp_path: Path) -> None:
    """A journal is made whole or not at all."""
    (tmp_path / "j.db.new").write_bytes(b"half a")
    begin(tmp_path / "j.db", FEED)

    async with opened(tmp_path / "j.db") as journal:
        assert journal.feed == FEED


async def test_journal_serves_one_process(path: Path) -> None:
    """Two would give the same numbers to different changes."""
    async with opened(path):
        assert "another relay is running" in await refused(path)
    async with opened(path):
        pass


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda _: b"", "no journal"),
        (lambda raw: b"x" * len(raw), "damaged, or no journal"),
        (lambda raw: raw[:68] + b"\0\0\0\0" + raw[72:], "no journal"),
        (lambda raw: raw[:4096] + b"\xff" * 4096 + raw[8192:], "damaged"),
        (lambda raw: raw[: len(raw) // 2], "damaged"),
    ],
)
def test_journal_that_is_damaged_is_never_a_new_one(
    path: Path, damage: Callable[[bytes], bytes], says: str
) -> None:
    """Said in words, and the file stays as it is."""
    broken = damage(path.read_bytes())
    path.write_bytes(broken)

    assert says in asyncio.run(refused(path))
    assert path.read_bytes() == broken


async def test_journal_that_names_no_feed_is_damaged(path: Path) -> None:
    """A table that somebody emptied."""
    async with opened(path) as journal:
        await journal._ordering(lambda file: file._rows("DELETE FROM feed").fetchone())

    assert "it names no feed" in await refused(path)


async def test_journal_takes_nothing_once_it_closes(path: Path) -> None:
    """Whoever comes too late hears that; what was ordered before is kept."""
    journal = Journal(path, capacity=10)
    await journal.open()
    last = asyncio.create_task(journal.add((entry("a"),), now=NOW))
    await asyncio.sleep(0)
    await journal.close()

    assert await last == 2
    with pytest.raises(JournalError, match="stopping"):
        await journal.add((entry("b"),), now=NOW)


async def test_journal_survives_an_order_with_a_bug(journal: Journal) -> None:
    """It goes to who gave the order, and leaves nothing behind."""

    def broken(file: JournalFile) -> None:
        file.add((entry("a"),), now=NOW)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await journal._ordering(broken)
    assert await journal.add((entry("b"),), now=NOW) == 2
    await journal._ordering(partial(JournalFile.forget, now=NOW))
    assert journal.held == 1
