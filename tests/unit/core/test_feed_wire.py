"""What is signed is read as it was meant, and nothing else is read at all."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.feed import Batch, Beat, Change, Denied, Genesis, Lifted
from sidecar.core.feed_wire import (
    BATCH,
    BEAT,
    MAX_BYTES,
    MAX_CHANGES,
    ForgedError,
    UnknownKeyError,
    open_any,
    open_batch,
    open_beat,
    sign_batch,
    sign_beat,
)
from tests.feed_source import FEED, KEY, KEYS, KID, FeedSource, denial
from tests.values import NOW

STRANGER = Ed25519PrivateKey.generate()
WHOLE = Batch(
    FEED,
    0,
    5,
    (
        Genesis(1),
        Denied(2, DenyEntry(DenyKey(DenyKind.KID, "https://i.example", "", "k"), NOW + 1)),
        Denied(3, DenyEntry(denial().key, NOW + 1.5, NOW, "leaked, ünïcode")),
        Lifted(5, denial().key),
    ),
)
BEAT_1 = Beat(FEED, 5, 1_800_000_000_123)
TEXT, BEAT_TEXT = sign_batch(WHOLE, KID, KEY), sign_beat(BEAT_1, KID, KEY)


def plain(**changes: Any) -> dict[str, Any]:
    """A batch's payload as JSON says it."""
    feed = {"name": FEED.name, "began": FEED.began}
    return {"feed": feed, "after": 0, "upto": 1, "changes": [{"op": "genesis", "seq": 1}]} | changes


def signed(payload: Any, *, key: Any = KEY, **header: Any) -> bytes:
    """Sign anything, by another program than ours."""
    head = {"alg": "EdDSA", "kid": KID, "typ": BATCH} | header
    parts = [json.dumps(part).encode() for part in (head, payload)]
    text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    return text + b"." + base64.urlsafe_b64encode(key.sign(text)).rstrip(b"=")


def test_a_batch_is_read_as_it_was_signed() -> None:
    """Every kind of change, with all that it says."""
    assert open_batch(TEXT, KEYS) == WHOLE
    assert open_any(TEXT, KEYS) == WHOLE


def test_a_beat_is_read_as_it_was_signed() -> None:
    """Its time in milliseconds, to the last."""
    assert open_beat(BEAT_TEXT, KEYS) == BEAT_1
    assert open_any(BEAT_TEXT, KEYS) == BEAT_1


def test_a_batch_is_a_jws_that_others_can_read() -> None:
    """RFC 7515 and RFC 8037, no dialect of ours."""
    read = jwt.decode(TEXT, KEYS[KID], algorithms=["EdDSA"])

    assert jwt.get_unverified_header(TEXT) == {"alg": "EdDSA", "kid": KID, "typ": BATCH}
    assert (read["after"], read["upto"]) == (0, 5)


def test_ours_reads_what_others_sign() -> None:
    """The form is the payload's, not our encoder's."""
    assert open_batch(signed(plain()), KEYS) == Batch(FEED, 0, 1, (Genesis(1),))


@pytest.mark.parametrize(
    "forged",
    [
        sign_batch(WHOLE, KID, STRANGER),
        signed(plain(), alg="none"),
        signed(plain(), alg="HS256"),
        signed(plain(), alg="Ed25519"),
        signed(plain(), jwk={}),
        signed(plain(), crit=["b64"], b64=False),
        BEAT_TEXT,
        signed(plain(), typ="JWT"),
        b"",
        b"..",
        b"." * MAX_BYTES,
        TEXT + b".",
        TEXT + b"\n",
        TEXT.rpartition(b".")[0] + b".",
        TEXT.rpartition(b".")[0],
        b"\xff" + TEXT,
    ],
    ids=[
        "strangers_key_under_our_kid",
        "alg_none",
        "alg_hmac",
        "alg_by_another_name",
        "key_inside",
        "critical_extension",
        "beat_as_batch",
        "token_as_batch",
        "nothing",
        "two_dots",
        "only_dots",
        "four_parts",
        "line_end",
        "no_signature",
        "two_parts",
        "not_ascii",
    ],
)
def test_open_batch_refuses_what_is_not_a_batch_of_ours(forged: bytes) -> None:
    """One key, one algorithm, one purpose, one form."""
    with pytest.raises(ForgedError) as refused:
        open_batch(forged, KEYS)
    assert len(str(refused.value)) < 80


@pytest.mark.parametrize("opened", [open_batch, open_beat, open_any])
def test_open_looks_at_nothing_that_is_too_long(opened: Any) -> None:
    """Whoever can write to Redis costs us no more than that to read."""
    with pytest.raises(ForgedError, match="too long"):
        opened(TEXT + b"A" * MAX_BYTES, KEYS)


@pytest.mark.parametrize(
    ("opened", "text"),
    [
        (open_batch, sign_batch(WHOLE, "other", STRANGER)),
        (open_beat, sign_beat(BEAT_1, "other", STRANGER)),
        (open_any, sign_batch(WHOLE, "other", STRANGER)),
        (open_any, sign_beat(BEAT_1, "other", STRANGER)),
    ],
)
def test_open_says_when_it_does_not_know_the_key(opened: Any, text: bytes) -> None:
    """Whoever changed keys too early can read it in the log."""
    with pytest.raises(UnknownKeyError, match="not among"):
        opened(text, KEYS)


@pytest.mark.parametrize("forged", [TEXT, sign_beat(BEAT_1, KID, STRANGER), b"", b"a.b.c"])
def test_open_beat_refuses_what_is_not_a_beat_of_ours(forged: bytes) -> None:
    """A batch that is played as a heartbeat makes nothing fresh."""
    with pytest.raises(ForgedError):
        open_beat(forged, KEYS)


@given(place=st.integers(0, len(TEXT) - 1), bit=st.integers(0, 7))
def test_open_batch_refuses_any_changed_bit(place: int, bit: int) -> None:
    """Or reads the very same: some bits of base64's last digit mean nothing."""
    changed = bytearray(TEXT)
    changed[place] ^= 1 << bit
    try:
        assert open_batch(bytes(changed), KEYS) == WHOLE
    except ForgedError:
        return
    assert place > TEXT.rindex(b".")


@given(st.binary(max_size=200))
def test_open_any_refuses_any_bytes(text: bytes) -> None:
    """With one kind of error."""
    with pytest.raises(ForgedError):
        open_any(text, KEYS)


DENY = {
    "op": "deny", "seq": 1, "kind": "agent", "issuer": "i", "tenant": "t", "value": "v", "until": 1
}  # fmt: skip


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        plain(more=1),
        plain(after=-1),
        plain(upto=2**53 + 1),
        plain(upto=1.5),
        plain(upto="1"),
        plain(upto=0),
        plain(feed={"name": "a" * 31, "began": 1}),
        plain(feed={"name": "A" * 32, "began": 1}),
        plain(feed={"name": "a" * 32 + "\n", "began": 1}),
        plain(feed={"name": "a" * 32, "began": -1}),
        plain(changes=[{"op": "genesis", "seq": 2}]),
        plain(changes=[{"op": "grant", "seq": 1}]),
        plain(changes=[{"seq": 1}]),
        plain(after=1, upto=2, changes=[DENY | {"seq": 2, "kind": "all"}]),
        plain(after=1, upto=2, changes=[DENY | {"seq": 2, "until": None}]),
        plain(after=1, upto=2, changes=[DENY | {"seq": 2, "until": -1}]),
        plain(after=1, upto=2, changes=[DENY | {"seq": 2, "value": "v" * 1025}]),
        plain(after=1, upto=2, changes=[DENY | {"seq": 2, "more": 1}]),
        plain(
            after=1,
            upto=2000,
            changes=[DENY | {"seq": n} for n in range(2, MAX_CHANGES + 3)],
        ),
    ],
)
def test_open_batch_refuses_a_payload_that_is_no_batch(payload: Any) -> None:
    """Even our own key signs nothing that could be read in two ways."""
    with pytest.raises(ForgedError, match="no batch"):
        open_batch(signed(payload), KEYS)


@pytest.mark.parametrize("payload", [None, {}, {"feed": plain()["feed"], "upto": 1, "at": -1}])
def test_open_beat_refuses_a_payload_that_is_no_beat(payload: Any) -> None:
    """As for batches."""
    with pytest.raises(ForgedError, match="no heartbeat"):
        open_beat(signed(payload, typ=BEAT), KEYS)


def batch_of(*changes: Change) -> Batch:
    return Batch(FEED, 1, 2 + MAX_CHANGES, changes)


@pytest.mark.parametrize(
    "unreadable",
    [
        batch_of(Denied(2, denial(reason="r" * 1025))),
        batch_of(Denied(2, denial("n" * 1025))),
        batch_of(Denied(2, denial(until=math.inf))),
        batch_of(Denied(2, denial(until=math.nan))),
        batch_of(Denied(2, denial(until=-1.0))),
        batch_of(Denied(2, denial(until=2.0**54))),
        batch_of(Denied(2, denial("\ud800"))),
        batch_of(*(Denied(n, denial()) for n in range(2, MAX_CHANGES + 3))),
        batch_of(
            *(Denied(n, denial("\u20ac" * 1024, reason="\u20ac" * 1024)) for n in range(2, 1002))
        ),
    ],
    ids=[
        "reason",
        "value",
        "for_ever",
        "no_number",
        "negative",
        "far_away",
        "surrogate",
        "many",
        "long",
    ],
)
def test_sign_batch_refuses_what_no_reader_would_take(unreadable: Batch) -> None:
    """Published, it would stop every reader there for ever."""
    with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind: it is not published
        sign_batch(unreadable, KID, KEY)


def test_sign_beat_refuses_what_no_reader_would_take() -> None:
    """As for batches."""
    with pytest.raises(ValueError, match="no reader"):
        sign_beat(Beat(FEED, 1, -1), KID, KEY)


def test_several_keys_hold_while_the_source_changes_them() -> None:
    """The kid says which; neither opens what the other signed."""
    both = {**KEYS, "feed-2": STRANGER.public_key()}
    source = FeedSource(key=STRANGER, kid="feed-2")

    assert open_batch(source.signed(), both) == source.stretch(0, 1)
    assert open_batch(TEXT, both) == WHOLE
    with pytest.raises(ForgedError):
        open_batch(sign_batch(WHOLE, "feed-2", KEY), both)
