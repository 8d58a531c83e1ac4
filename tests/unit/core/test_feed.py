"""A reader of the feed ends with what the journal says, whoever delivers it, or knows better."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.deny import DenyEntry, DenyKey
from sidecar.core.feed import (
    MAX_FUTURE,
    Batch,
    Beat,
    Change,
    Denied,
    FeedId,
    Genesis,
    Lifted,
    Reading,
    Taken,
)
from tests.feed_source import FEED, NEWER, OLDER, FeedSource, agent_key, denial
from tests.values import NOW

AT = round(NOW * 1000)


def batch(after: int, upto: int, feed: FeedId = FEED) -> Batch:
    changes: tuple[Change, ...] = (Genesis(1),) if after == 0 else ()
    return Batch(feed, after, upto, changes)


def beat(upto: int, at: int = AT, feed: FeedId = FEED) -> Beat:
    return Beat(feed, upto, at)


def at(upto: int, feed: FeedId = FEED) -> Reading:
    """A reader who stands there, and has heard nothing."""
    return Reading(feed, upto)


def after(reading: Reading, *said: Batch | Beat, now: float = NOW) -> Reading:
    for one in said:
        taken = reading.take(one) if isinstance(one, Batch) else reading.hear(one, now=now)
        reading = taken[1]
    return reading


@pytest.mark.parametrize(
    ("changes", "first", "last"),
    [
        ((), 0, 1),
        ((Denied(1, denial()),), 0, 1),
        ((Genesis(1), Genesis(2)), 0, 2),
        ((Denied(3, denial()), Denied(3, denial("b"))), 2, 4),
        ((Denied(4, denial()), Denied(3, denial())), 2, 4),
        ((Denied(2, denial()),), 2, 4),
        ((Denied(5, denial()),), 2, 4),
        ((), 4, 4),
        ((), 4, 3),
        ((), -1, 3),
        ((Genesis(1),), -1, 3),
    ],
    ids=[
        "without_genesis",
        "no_genesis_first",
        "genesis_twice",
        "number_twice",
        "falling_numbers",
        "before_the_stretch",
        "behind_the_stretch",
        "empty_stretch",
        "backwards",
        "before_the_beginning",
        "genesis_before_the_beginning",
    ],
)
def test_batch_is_refused_when_its_numbers_contradict_each_other(
    changes: tuple[Change, ...], first: int, last: int
) -> None:
    """A stretch that nobody could have cut out of a journal is no batch."""
    with pytest.raises(ValueError, match=r"contradict|genesis"):
        Batch(FEED, first, last, changes)


@pytest.mark.parametrize(
    ("reading", "arriving", "judged", "upto"),
    [
        (Reading(), batch(0, 3), Taken.APPLIED, 3),
        (Reading(), batch(1, 3), Taken.GAP, 0),
        (at(3), batch(3, 5), Taken.APPLIED, 5),
        (at(3), batch(0, 5), Taken.APPLIED, 5),
        (at(3), batch(4, 5), Taken.GAP, 3),
        (at(3), batch(0, 3), Taken.KNOWN, 3),
        (at(3), batch(1, 2), Taken.KNOWN, 3),
        (at(3), batch(0, 2, NEWER), Taken.APPLIED, 2),
        (at(3), batch(3, 4, NEWER), Taken.GAP, 3),
        (at(3), batch(0, 9, OLDER), Taken.FOREIGN, 3),
        (at(3), batch(3, 9, OLDER), Taken.FOREIGN, 3),
        (at(3), batch(3, 9, replace(FEED, began=FEED.began + 1)), Taken.FOREIGN, 3),
        (at(3), batch(0, 9, replace(FEED, name="d" * 32)), Taken.FOREIGN, 3),
    ],
    ids=[
        "beginning",
        "not_the_beginning",
        "continues",
        "overlaps",
        "gap",
        "same_again",
        "older_again",
        "newer_feed_begins",
        "newer_feed_later_on",
        "older_feed_begins",
        "older_feed_continues",
        "same_name_other_beginning",
        "other_name_same_beginning",
    ],
)
def test_take_applies_only_what_continues_here(
    reading: Reading, arriving: Batch, judged: Taken, upto: int
) -> None:
    """Nothing is skipped, repeated, or told by a feed that ours has replaced."""
    taken, then = reading.take(arriving)

    assert (taken, then.upto) == (judged, upto)
    assert then.feed == (arriving.feed if taken is Taken.APPLIED else reading.feed)


def test_news_are_what_a_reader_in_the_middle_does_not_hold() -> None:
    """An overlapping batch changes nothing twice: what was lifted since is not denied again."""
    source = FeedSource()
    source.deny(denial("a"))
    source.lift(agent_key("a"))
    source.deny(denial("b"))
    whole = source.stretch(0, 4)

    assert [change.seq for change in at(3).news(whole)] == [4]
    assert [change.seq for change in Reading().news(whole)] == [1, 2, 3, 4]


def test_news_of_a_newer_feed_are_all_of_it() -> None:
    """Its numbers have nothing to do with those of the feed before it."""
    assert [change.seq for change in at(9).news(batch(0, 1, NEWER))] == [1]


def test_hear_completes_a_reader_who_holds_what_the_beat_tells_of() -> None:
    """Whoever holds that much, and heard so, knows all there was at that moment."""
    judged, reading = at(3).hear(beat(3), now=NOW)

    assert judged is Taken.APPLIED
    assert (reading.complete_at, reading.behind) == (AT, False)


def test_hear_notes_a_promise_when_changes_are_missing() -> None:
    """The heartbeat of a feed that went on does not make an old list fresh."""
    reading = after(at(3), beat(5))
    assert (reading.complete_at, reading.behind) == (None, True)

    reading = after(reading, batch(3, 4))
    assert (reading.complete_at, reading.behind) == (None, True)

    reading = after(reading, batch(4, 5))
    assert (reading.complete_at, reading.behind) == (AT, False)


def test_hear_never_completes_a_reader_from_whom_one_record_is_withheld() -> None:
    """Beats flow and records do not: the list ages, whatever the beats say."""
    reading = after(at(3), beat(3), *(beat(5, AT + 500 * n) for n in range(1, 20)), batch(4, 5))

    assert (reading.complete_at, reading.behind, reading.upto) == (AT, True, 3)


def test_hear_keeps_the_first_promise_for_a_reader_who_is_always_a_little_behind() -> None:
    """A busy source does not make its readers look lost: they are late by one beat."""
    reading = after(at(3), beat(4, AT), beat(6, AT + 500), batch(3, 5))
    assert (reading.complete_at, reading.behind) == (AT, True)

    reading = after(reading, batch(5, 6))
    assert (reading.complete_at, reading.behind) == (AT + 500, False)


@pytest.mark.parametrize(
    ("arriving", "judged"),
    [
        (beat(3, AT), Taken.KNOWN),
        (beat(3, AT - 1), Taken.KNOWN),
        (beat(9, AT - 1), Taken.KNOWN),
        (beat(3, AT + 1, OLDER), Taken.FOREIGN),
        (beat(3, AT + 1, NEWER), Taken.GAP),
        (beat(3, AT + 5001), Taken.EARLY),
    ],
    ids=["again", "older", "older_with_more", "old_feed", "new_feed", "from_the_future"],
)
def test_hear_learns_nothing_from_any_other_beat(arriving: Beat, judged: Taken) -> None:
    """Replayed, delayed, foreign or too early: the reading stays as it was."""
    reading = after(at(3), beat(3))

    assert reading.hear(arriving, now=NOW) == (judged, reading)


def test_a_feed_that_was_rewound_is_never_complete_again() -> None:
    """Its source gives numbers again: what comes second under one is not taken, and is lost."""
    reading = after(at(3), beat(3))
    judged, reading = reading.hear(beat(2, AT + 1), now=NOW)
    later = after(reading, beat(3, AT + 2))

    assert judged is Taken.REWOUND
    assert later.complete_at == reading.complete_at == AT
    _, replaced = later.take(Batch(NEWER, 0, 1, (Genesis(1),)))
    assert after(replaced, beat(1, AT + 3, NEWER)).complete_at == AT + 3


def test_hear_takes_a_beat_of_a_clock_that_is_a_little_ahead() -> None:
    """Clocks differ; by how much they may is written down."""
    ahead = beat(3, AT + round(MAX_FUTURE * 1000))

    assert at(3).hear(ahead, now=NOW)[0] is Taken.APPLIED


def test_hear_without_a_feed_asks_for_its_beginning() -> None:
    """A beat alone says that there is something to read."""
    assert Reading().hear(beat(3), now=NOW) == (Taken.GAP, Reading())


def test_age_runs_from_the_beat_not_from_its_arrival() -> None:
    """Whoever delays a heartbeat makes nothing fresh by it."""
    reading = after(at(3), beat(3, AT - 60_000))

    assert reading.age(NOW) == 60.0
    assert at(3).age(NOW) is None


def test_age_is_unknown_when_our_clock_was_set_back() -> None:
    """A list from the future is not fresh until the clock gets there."""
    reading = after(at(3), beat(3))

    assert reading.age(NOW - MAX_FUTURE) == 0.0
    assert reading.age(NOW - MAX_FUTURE - 0.001) == math.inf


def test_a_newer_feed_is_complete_only_by_its_own_beats() -> None:
    """What the feed before it promised or proved says nothing about it."""
    reading = after(at(3), beat(3), beat(9, AT + 1), batch(0, 2, NEWER))

    assert reading == Reading(NEWER, 2)


NAMES = st.sampled_from("abc")
ENTRIES = st.builds(
    denial,
    NAMES,
    until=st.sampled_from([NOW - 10, NOW + 10, NOW + 100]),
    reason=st.sampled_from(["", "again"]),
)
JOURNALS = st.lists(ENTRIES | st.builds(agent_key, NAMES), max_size=12)


def journal(said: list[DenyEntry | DenyKey]) -> FeedSource:
    source = FeedSource()
    for one in said:
        if isinstance(one, DenyKey):
            source.lift(one)
        else:
            source.deny(one)
    return source


class Reader:
    """The least that a reader is: a reading, and what its news said."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.entries: set[DenyEntry] = set()

    def get(self, said: Batch | Beat, now: float) -> None:
        if isinstance(said, Beat):
            _, self.reading = self.reading.hear(said, now=now)
            return
        taken, reading = self.reading.take(said)
        if taken is Taken.APPLIED:
            for change in self.reading.news(said):
                if isinstance(change, Denied):
                    self.entries.add(change.entry)
                elif isinstance(change, Lifted):
                    self.entries = {one for one in self.entries if one.key != change.key}
        self.reading = reading

    def held(self, now: float) -> set[DenyEntry]:
        return {entry for entry in self.entries if now < entry.until}


@given(said=JOURNALS, data=st.data())
def test_a_reader_that_is_complete_holds_what_the_journal_says(
    said: list[DenyEntry | DenyKey], data: st.DataObject
) -> None:
    """Batches cut and compacted anywhere, shuffled, repeated, dropped; beats of any age.

    Whatever arrives of it in whatever order: at no moment is a reader complete, up to the last
    that was published, and holds less or more than the journal.
    """
    source, now = journal(said), NOW
    cut = st.tuples(st.integers(0, source.end - 1), st.integers(1, source.end)).filter(
        lambda ends: ends[0] < ends[1]
    )
    pieces = data.draw(st.lists(cut, max_size=12))
    shortened = data.draw(st.lists(st.booleans(), min_size=len(pieces), max_size=len(pieces)))
    told = data.draw(st.lists(st.integers(1, source.end), max_size=4).map(sorted))
    delivery: list[Batch | Beat] = [
        source.compacted(*ends, now=now) if short else source.stretch(*ends)
        for ends, short in zip(pieces, shortened, strict=True)
    ]
    delivery += [beat(upto, AT + n) for n, upto in enumerate(told)]
    delivery.append(beat(source.end, AT + 100))
    reader = Reader()

    for one in data.draw(st.permutations(delivery)):
        reader.get(one, now)
        if reader.reading.complete_at == AT + 100:
            assert reader.held(now) == source.held(now)
        if reader.reading.upto == source.end:
            assert reader.held(now) == source.held(now)


@given(said=JOURNALS, upto=st.integers(1, 13))
def test_a_reader_completes_from_where_it_stands_by_the_base_alone(
    said: list[DenyEntry | DenyKey], upto: int
) -> None:
    """Compaction loses nothing for those who begin, nor for those in the middle."""
    source = journal(said)
    reader = Reader()
    reader.get(source.stretch(0, min(upto, source.end)), NOW)
    reader.get(source.compacted(0, source.end, now=NOW), NOW)
    reader.get(beat(source.end), NOW)

    assert reader.reading.complete_at == AT
    assert reader.held(NOW) == source.held(NOW)
