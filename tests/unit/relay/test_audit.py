"""What is wrong in Redis, judged without it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.core.feed import Batch, Beat, Change, FeedId, Genesis
from sidecar.core.feed_wire import sign_batch, sign_beat
from sidecar.relay.audit import Fault, Found, Ours, Standing, SupersededError, judge, last_beat

FEED = FeedId("a" * 32, 2000)
OLDER, LATER = FeedId("b" * 32, 1999), FeedId("c" * 32, 2001)
TWIN = FeedId("d" * 32, 2000)
MINE, OLD, FOREIGN = (Ed25519PrivateKey.generate() for _ in range(3))
KEYS = {"mine": MINE.public_key(), "old": OLD.public_key()}
OURS = Ours(FEED, 9, "mine", KEYS)


def signed(after: int, upto: int, feed: FeedId = FEED, kid: str = "mine") -> bytes:
    changes: tuple[Change, ...] = () if after else (Genesis(1),)
    key = {"mine": MINE, "old": OLD, "foreign": FOREIGN}[kid]
    return sign_batch(Batch(feed, after, upto, changes), kid, key)


def beat(upto: int, feed: FeedId = FEED, kid: str = "mine") -> bytes:
    return sign_beat(Beat(feed, upto, 5000), kid, {"mine": MINE, "foreign": FOREIGN}[kid])


WHOLE = Found(
    records=(("6-0", signed(4, 6)), ("8-0", signed(6, 8))),
    last_id="8-0",
    base=(signed(0, 3), signed(3, 5)),
    beat=beat(8),
)


def test_audit_finds_where_a_whole_feed_stands() -> None:
    """What is whole stays, also when it lags behind the journal or has no stream."""
    assert judge(WHOLE, OURS) == Standing(8, 2, signed(6, 8), 5)
    assert judge(replace(WHOLE, records=(), last_id=""), OURS) == Standing(5, 0, b"", 5)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"base": ()}, Fault.LOST),
        ({"base": (), "records": (), "last_id": "", "beat": b""}, Fault.LOST),
        ({"base": (signed(0, 3),)}, Fault.GAP),
        ({"base": (signed(3, 5),)}, Fault.GAP),
        ({"base": (signed(3, 5), signed(0, 3))}, Fault.GAP),
        ({"base": (signed(0, 3), signed(0, 3), signed(3, 5))}, Fault.GAP),
        ({"base": (signed(0, 9),)}, Fault.GAP),
        ({"base": (signed(0, 3), signed(3, 5, kid="foreign"))}, Fault.FOREIGN),
        ({"base": (signed(0, 3), b"")}, Fault.FOREIGN),
        ({"base": (signed(0, 3), beat(5))}, Fault.FOREIGN),
        ({"base": (signed(0, 3, kid="old"), signed(3, 5))}, Fault.ROTATED),
        ({"base": (signed(0, 3, OLDER), signed(3, 5, OLDER))}, Fault.OLDER_FEED),
        ({"records": WHOLE.records[1:]}, Fault.GAP),
        ({"records": WHOLE.records[:1], "last_id": "8-0"}, Fault.AHEAD),
        ({"records": ()}, Fault.GAP),
        ({"records": (WHOLE.records[0], ("9-0", signed(8, 9))), "last_id": "9-0"}, Fault.GAP),
        ({"last_id": "8-1"}, Fault.AHEAD),
        ({"last_id": "18446744073709551615-0"}, Fault.AHEAD),
        ({"records": (*WHOLE.records, ("9-0", b"")), "last_id": "9-0"}, Fault.FOREIGN),
        ({"records": (*WHOLE.records, ("9-0", signed(6, 8))), "last_id": "9-0"}, Fault.FOREIGN),
        ({"records": (*WHOLE.records, ("8-1", signed(6, 8))), "last_id": "8-1"}, Fault.FOREIGN),
        (
            {"records": (*WHOLE.records, ("9-0", signed(8, 9, kid="foreign"))), "last_id": "9-0"},
            Fault.FOREIGN,
        ),
        (
            {"records": (WHOLE.records[0], ("8-0", signed(6, 8, kid="old")))},
            Fault.ROTATED,
        ),
        ({"records": (("8-0", signed(7, 8, OLDER)),)}, Fault.OLDER_FEED),
        ({"readable": False}, Fault.FOREIGN),
    ],
)
def test_audit_names_what_is_wrong(change: dict[str, Any], fault: Fault) -> None:
    """Lost, withheld, put in, put ahead: each is seen, and none is taken for whole."""
    assert judge(replace(WHOLE, **change), OURS) is fault


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"base": (signed(0, 10),)}, "old copy"),
        ({"records": (("10-0", signed(8, 10)),), "last_id": "10-0"}, "old copy"),
        ({"records": (("10-0", signed(8, 10, kid="old")),), "last_id": "10-0"}, "old copy"),
        ({"beat": beat(10)}, "old copy"),
        ({"beat": beat(10), "readable": False}, "old copy"),
        ({"base": (signed(0, 3, LATER),)}, "has replaced"),
        ({"records": (("2-0", signed(1, 2, LATER)),)}, "has replaced"),
        ({"beat": beat(1, LATER)}, "has replaced"),
        ({"beat": beat(1, TWIN)}, "has replaced"),
    ],
)
def test_audit_refuses_a_journal_that_our_own_key_contradicts(
    change: dict[str, Any], says: str
) -> None:
    """Numbers given twice would make readers take new revocations for known ones."""
    with pytest.raises(SupersededError, match=says):
        judge(replace(WHOLE, **change), OURS)


@pytest.mark.parametrize(
    "change",
    [
        {"base": (signed(0, 10, kid="foreign"),)},
        {"records": (("10-0", signed(8, 10, LATER, kid="foreign")),), "last_id": "10-0"},
        {"beat": beat(10, kid="foreign")},
        {"beat": beat(1, LATER, kid="foreign")},
    ],
)
def test_audit_is_not_stopped_by_what_others_signed(change: dict[str, Any]) -> None:
    """Whoever can write to Redis cannot keep the relay from publishing."""
    assert isinstance(judge(replace(WHOLE, **change), OURS), Fault | Standing)


def test_last_beat_is_one_of_ours_or_none() -> None:
    """What nobody signed tells nothing about time."""
    assert last_beat(Found(beat=beat(8)), KEYS) == Beat(FEED, 8, 5000)
    assert last_beat(Found(beat=beat(8, kid="foreign")), KEYS) is None
    assert last_beat(Found(beat=signed(0, 3)), KEYS) is None
    assert last_beat(Found(), KEYS) is None
