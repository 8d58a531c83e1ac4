"""A fed deny list: what it takes, when it may be believed, and when it is ready."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.fed_deny_list import FedDenyList
from sidecar.core.feed import Taken
from sidecar.core.model import Dependency, Unavailable
from tests.feed_source import KEYS, NEWER, OLDER, FeedSource, agent_key, denial
from tests.values import NOW, StillClock, make_agent

STALE_AFTER = 5.0


class Fed:
    """A list, its clock, and what its journal said so far."""

    def __init__(self, *, capacity: int = 100, stale_after: float | None = STALE_AFTER) -> None:
        self.clock = StillClock()
        self.source = FeedSource()
        self.list = FedDenyList(
            keys=KEYS, capacity=capacity, stale_after=stale_after, clock=self.clock
        )

    def silence(self) -> Dependency | None:
        """What the list gives for an answer when no entry refuses."""
        try:
            assert self.list.find(make_agent(agent="x", subject="x"), now=self.clock.now()) is None
        except Unavailable as silent:
            return silent.dependency
        return None

    def passes(self, seconds: float) -> None:
        self.clock.wall += seconds
        self.clock.ticks += seconds

    def read(self) -> None:
        """Everything, and that this is all."""
        assert self.list.take(self.source.signed()) is Taken.APPLIED
        assert self.list.hear(self.source.beat(self.clock.now())) is Taken.APPLIED


@pytest.fixture
def fed() -> Fed:
    return Fed()


def test_list_is_ready_when_it_is_complete_and_fresh(fed: Fed) -> None:
    """Not before: until then it says that it was never loaded."""
    assert (fed.list.ready, fed.silence()) == (False, Dependency.DENY_LIST_NEVER_LOADED)

    fed.read()
    assert (fed.list.ready, fed.silence()) == (True, None)
    assert (fed.list.upto, fed.list.age(NOW), fed.list.lag, fed.list.behind) == (1, 0.0, 0.0, False)


def test_a_clock_that_is_ahead_for_a_moment_ends_nothing(fed: Fed) -> None:
    """At the start or later: what is forgotten would not come back when the clock does."""
    fed.source.deny(denial("early", until=NOW + 3600))
    fed.clock.wall += 7200
    assert fed.list.take(fed.source.signed()) is Taken.APPLIED
    fed.clock.wall -= 7200
    assert fed.list.hear(fed.source.beat(NOW)) is Taken.APPLIED
    fed.clock.wall += 7200
    before = fed.source.end
    fed.source.deny(denial("late", until=NOW + 90_000))
    assert fed.list.take(fed.source.signed(before)) is Taken.APPLIED
    fed.clock.wall -= 7200

    assert {entry.key.value for entry in fed.list.entries(now=NOW)} == {"early", "late"}


def test_what_ended_by_both_clocks_is_forgotten(fed: Fed) -> None:
    """Else a list would only grow."""
    fed.source.deny(denial("early", until=NOW + 10))
    fed.read()
    fed.passes(20)
    assert fed.list.hear(fed.source.beat(fed.clock.now())) is Taken.APPLIED
    before = fed.source.end
    fed.source.deny(denial("late", until=NOW + 90_000))
    assert fed.list.take(fed.source.signed(before)) is Taken.APPLIED

    assert len(fed.list) == 1


def test_an_old_beginning_makes_no_new_list_ready(fed: Fed) -> None:
    """Whoever writes to Redis plays what was true a minute ago, batch and heartbeat."""
    then = fed.source.signed(), fed.source.beat(NOW - 60)
    fed.source.deny(denial())

    fed.list.take(then[0])
    fed.list.hear(then[1])
    assert (fed.list.ready, fed.silence()) == (False, Dependency.DENY_LIST_NEVER_LOADED)


def test_a_beginning_with_a_true_heartbeat_makes_no_new_list_ready(fed: Fed) -> None:
    """The heartbeat tells of more than is there."""
    beginning = fed.source.signed()
    fed.source.deny(denial())

    fed.list.take(beginning)
    fed.list.hear(fed.source.beat(NOW))
    assert (fed.list.ready, fed.silence()) == (False, Dependency.DENY_LIST_NEVER_LOADED)
    assert fed.list.behind

    fed.list.take(fed.source.signed(1))
    assert (fed.list.ready, fed.silence()) == (True, None)


def test_list_is_not_ready_while_more_was_told_of(fed: Fed) -> None:
    """Although it was complete a moment ago: what proves that would be half of the truth."""
    fed.list.take(fed.source.signed())
    fed.source.deny(denial("a"), denial("b"))
    for upto in (2, 3):
        fed.list.hear(fed.source.beat(NOW + upto / 10, upto=upto))

    fed.list.take(fed.source.signed(1, 2))
    assert (fed.list.ready, fed.list.age(NOW)) == (False, 0.0)
    fed.list.take(fed.source.signed(2, 3))
    assert fed.list.ready


def test_list_is_stale_when_nobody_vouched_for_it_lately(fed: Fed) -> None:
    """It stays ready; what it holds still refuses, and it knows no more than that."""
    fed.source.deny(denial())
    fed.read()

    fed.passes(STALE_AFTER)
    assert fed.silence() is None
    fed.passes(0.001)
    assert (fed.list.ready, fed.silence()) == (True, Dependency.DENY_LIST)
    assert fed.list.find(make_agent(), now=fed.clock.now()) == denial()

    fed.list.hear(fed.source.beat(fed.clock.now()))
    assert fed.silence() is None


def test_a_delayed_heartbeat_makes_nothing_fresh(fed: Fed) -> None:
    """Its age is the source's, not its arrival's."""
    fed.read()
    late = fed.source.beat(NOW + 1)

    fed.passes(10)
    assert fed.list.hear(late) is Taken.APPLIED
    assert (fed.silence(), fed.list.age(fed.clock.now())) == (Dependency.DENY_LIST, 9.0)
    assert fed.list.lag == 9.0


def test_a_clock_that_is_set_back_makes_nothing_fresh(fed: Fed) -> None:
    """By a little, where only the monotonic clock notices, or by much."""
    fed.read()
    fed.passes(10)

    for back in (11.0, 100.0):
        fed.clock.wall = NOW + 10 - back
        assert fed.silence() is Dependency.DENY_LIST


def test_a_heartbeat_from_the_future_makes_nothing_fresh(fed: Fed) -> None:
    """Neither now nor later: it is not kept for the time when it would be true."""
    fed.read()
    assert fed.list.hear(fed.source.beat(NOW + 20)) is Taken.EARLY

    fed.passes(20)
    assert fed.silence() is Dependency.DENY_LIST


def test_a_relay_that_is_stuck_makes_its_readers_stale(fed: Fed) -> None:
    """It says how far its journal goes, and sends nothing of it."""
    fed.read()
    fed.source.deny(denial())
    for _ in range(20):
        fed.passes(0.5)
        fed.list.hear(fed.source.beat(fed.clock.now()))

    assert (fed.silence(), fed.list.behind) == (Dependency.DENY_LIST, True)


def test_a_source_that_forgot_makes_its_readers_stale(fed: Fed) -> None:
    """A journal out of an old backup says less than it said before: that is told, and not taken."""
    fed.source.deny(denial())
    fed.read()

    fed.passes(6)
    with capture_logs() as logs:
        assert fed.list.hear(fed.source.beat(NOW + 6, upto=1)) is Taken.REWOUND
    assert (logs[0]["log_level"], logs[0]["how"]) == ("error", "rewound")
    assert fed.silence() is Dependency.DENY_LIST


@pytest.mark.parametrize("beats", [False, True], ids=["without_beats", "with_beats"])
def test_forged_batches_change_nothing_and_are_told_once_a_minute(
    fed: Fed,
    beats: bool,  # noqa: FBT001
) -> None:
    """Whoever can write to Redis fills neither the list nor the log."""
    fed.read()
    forged = fed.source.signed()[:-10] + b"AAAAAAAAAA"
    ask = fed.list.hear if beats else fed.list.take
    with capture_logs() as logs:
        for _ in range(1000):
            assert ask(forged) is Taken.FORGED
        fed.passes(61)
        ask(forged)

    assert [(one["log_level"], one["how"]) for one in logs] == [("error", "forged")] * 2
    assert fed.list.tally.by_word()["forged"] == 1001
    assert fed.list.entries(now=NOW) == ()


def test_a_full_list_drops_nothing_and_closes() -> None:
    """It takes none of the batch that does not fit, says so, and goes on when there is room."""
    fed = Fed(capacity=2)
    fed.source.deny(denial("a", until=NOW + 30), denial("b"))
    fed.read()
    fed.source.deny(denial("c"))
    more = fed.source.signed(3)
    with capture_logs() as logs:
        assert fed.list.take(more) is Taken.FULL
        assert fed.list.take(more) is Taken.FULL
    assert [one["how"] for one in logs] == ["full"]
    assert {entry.key.value for entry in fed.list.entries(now=NOW)} == {"a", "b"}

    fed.passes(6)
    fed.list.hear(fed.source.beat(fed.clock.now()))
    assert fed.silence() is Dependency.DENY_LIST

    fed.passes(30)
    assert fed.list.take(more) is Taken.APPLIED
    fed.list.hear(fed.source.beat(fed.clock.now()))
    assert (fed.silence(), len(fed.list)) == (None, 2)


def test_a_full_list_still_lifts() -> None:
    """Room comes from what goes, also within one batch; what is held twice counts once."""
    fed = Fed(capacity=2)
    fed.source.deny(denial("a"), denial("b"))
    fed.read()
    fed.source.lift(agent_key("a"))
    fed.source.deny(denial("b"), denial("c"))

    assert fed.list.take(fed.source.signed(3)) is Taken.APPLIED
    assert {entry.key.value for entry in fed.list.entries(now=NOW)} == {"b", "c"}


def test_a_list_without_heartbeats_is_stale_while_it_knows_that_something_is_missing() -> None:
    """It never ages; but a change that it could not take is one that it lacks."""
    fed = Fed(capacity=1, stale_after=None)
    fed.list.take(fed.source.signed())
    assert (fed.list.ready, fed.silence()) == (True, None)
    fed.passes(1e6)
    assert fed.silence() is None

    fed.source.deny(denial("a", until=NOW + 2e6))
    fed.source.deny(denial("b", until=NOW + 3e6))
    assert fed.list.take(fed.source.signed(2)) is Taken.GAP
    assert fed.silence() is Dependency.DENY_LIST
    assert fed.list.take(fed.source.signed(1, 2)) is Taken.APPLIED
    assert fed.silence() is Dependency.DENY_LIST
    assert fed.list.take(fed.source.signed(2)) is Taken.FULL
    assert fed.silence() is Dependency.DENY_LIST

    fed.passes(2e6)
    assert fed.list.take(fed.source.signed(2)) is Taken.APPLIED
    assert fed.silence() is None


def test_what_one_feed_lacked_says_nothing_about_the_next() -> None:
    """The new journal's numbers begin again."""
    fed = Fed(stale_after=None)
    fed.list.take(fed.source.signed())
    fed.source.deny(*(denial(str(n)) for n in range(9)))
    assert fed.list.take(fed.source.signed(9)) is Taken.GAP
    assert fed.silence() is Dependency.DENY_LIST

    assert fed.list.take(FeedSource(NEWER).signed()) is Taken.APPLIED
    assert fed.silence() is None


def test_a_newer_feed_replaces_the_reading_and_keeps_the_entries(fed: Fed) -> None:
    """A journal was lost, the revocations in it were not; the new one can lift them."""
    fed.source.deny(denial("a"), denial("b"))
    fed.read()
    new = FeedSource(NEWER)
    new.deny(denial("c"))
    new.lift(agent_key("b"))
    fed.passes(6)
    assert fed.list.hear(new.beat(fed.clock.now())) is Taken.GAP

    assert fed.list.take(new.signed()) is Taken.APPLIED
    held = {entry.key.value for entry in fed.list.entries(now=NOW)}
    assert (held, fed.silence()) == ({"a", "c"}, Dependency.DENY_LIST)

    assert fed.list.hear(new.beat(fed.clock.now())) is Taken.APPLIED
    assert fed.silence() is None
    assert fed.list.take(fed.source.signed()) is Taken.FOREIGN
    assert fed.list.hear(fed.source.beat(fed.clock.now() + 1)) is Taken.FOREIGN


def test_an_older_feed_is_replaced_where_it_was_played_to_a_new_reader(fed: Fed) -> None:
    """It was signed once; the heartbeat of the right one ends it."""
    old = FeedSource(OLDER)
    fed.list.take(old.signed())
    fed.list.hear(old.beat(NOW - 3600))
    assert not fed.list.ready

    assert fed.list.hear(fed.source.beat(NOW)) is Taken.GAP
    fed.read()
    assert (fed.list.ready, fed.silence()) == (True, None)
