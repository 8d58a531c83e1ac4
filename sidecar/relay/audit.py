"""Whether Redis holds what we published: nothing lost, nothing put in, nothing ahead of us.

Redis is not trusted and may forget at any time. Whatever is wrong there is put right by writing all
of it again, with one exception: what only our own key can have signed and our journal does not
know. Then not Redis is wrong but the journal is an old one, and numbers given twice would make
readers take new revocations for known ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from sidecar.core.feed import Batch, Beat, Change, FeedId
from sidecar.core.feed_wire import FeedKeys, ForgedError, open_batch, open_beat


class Fault(Enum):
    """Why the feed in Redis has to be written again."""

    LOST = "lost"
    """There is no base."""
    GAP = "gap"
    """Something is missing in the middle."""
    AHEAD = "ahead"
    """The stream's last id is not the last record's: nothing could be added."""
    FOREIGN = "foreign"
    """Something stands there that none of our keys has signed."""
    ROTATED = "rotated"
    """Signed by another key of ours: readers will forget that one."""
    OLDER_FEED = "older_feed"
    """Of a feed that ours has replaced."""


class SupersededError(Exception):
    """This journal may not publish any more; says why, in an operator's words."""


@dataclass(frozen=True, slots=True)
class Found:
    """What Redis holds, unverified."""

    records: tuple[tuple[str, bytes], ...] = ()
    """Id and signed batch of every record of the stream; empty bytes for any other shape."""
    last_id: str = ""
    """The stream's last generated id; empty without a stream."""
    base: tuple[bytes, ...] = ()
    beat: bytes = b""
    readable: bool = True
    """False for keys of another type, and for more than we could ever have written."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What Redis holds, as it was last seen or written."""

    upto: int
    """Every change up to here is published."""
    records: int
    """In the stream."""
    last: bytes = field(repr=False)
    """The stream's last record; empty without one."""
    base_upto: int
    """Every change up to here is in the base."""


@dataclass(frozen=True, slots=True)
class Ours:
    """What is true."""

    feed: FeedId
    upto: int
    """The journal's end, read after what was ``Found``."""
    kid: str
    """The key that signs now."""
    keys: FeedKeys
    """Every key that readers may still take."""


def judge(found: Found, ours: Ours) -> Standing | Fault:
    """Compare the two. Raises ``SupersededError``."""
    _refuse_if_superseded(found, ours)
    if not found.readable:
        return Fault.FOREIGN
    if not found.base:
        return Fault.LOST
    base = _read_base(found, ours)
    if isinstance(base, Fault):
        return base
    upto = _read_stream(found, ours, base)
    if isinstance(upto, Fault):
        return upto
    last = found.records[-1][1] if found.records else b""
    return Standing(upto, len(found.records), last, base)


def changes_after(known: int, found: Found, ours: Ours) -> frozenset[Change]:
    """What batches of our feed say about numbers above ``known``."""
    texts = (*found.base, *(text for _, text in found.records))
    batches = [one for one in (_opened(text, ours.keys) for text in texts) if one is not None]
    ours_alone = [one for one in batches if one.feed == ours.feed]
    return frozenset(change for one in ours_alone for change in one.changes if change.seq > known)


def last_beat(found: Found, keys: FeedKeys) -> Beat | None:
    """The heartbeat in Redis, if one of our keys signed it."""
    try:
        return open_beat(found.beat, keys)
    except ForgedError:
        return None


def _read_base(found: Found, ours: Ours) -> int | Fault:
    """Up to where the base goes."""
    position = 0
    for text in found.base:
        batch = _batch_of_ours(text, ours)
        if isinstance(batch, Fault):
            return batch
        if batch.after != position:
            return Fault.GAP
        position = batch.upto
    return position


def _read_stream(found: Found, ours: Ours, base: int) -> int | Fault:
    """Up to where the stream goes, or the base when there is none."""
    position: int | None = None
    for record_id, text in found.records:
        batch = _batch_of_ours(text, ours)
        if isinstance(batch, Fault):
            return batch
        if record_id != f"{batch.upto}-0":
            return Fault.FOREIGN
        if batch.after > base if position is None else batch.after != position:
            return Fault.GAP
        position = batch.upto
    if position is None:
        return Fault.GAP if found.last_id else base
    if found.last_id != f"{position}-0":
        return Fault.AHEAD
    return Fault.GAP if position < base else position


def _batch_of_ours(text: bytes, ours: Ours) -> Batch | Fault:
    mine = {kid: key for kid, key in ours.keys.items() if kid == ours.kid}
    try:
        batch = open_batch(text, mine)
    except ForgedError:
        return Fault.FOREIGN if _opened(text, ours.keys) is None else Fault.ROTATED
    return batch if batch.feed == ours.feed else Fault.OLDER_FEED


def _opened(text: bytes, keys: FeedKeys) -> Batch | None:
    try:
        return open_batch(text, keys)
    except ForgedError:
        return None


def _refuse_if_superseded(found: Found, ours: Ours) -> None:
    for feed, upto in _signed_by_us(found, ours.keys):
        if feed == ours.feed and upto > ours.upto:
            raise SupersededError(
                f"the journal is an old copy: it ends at change {ours.upto}, and {upto} was "
                "published. Bring the right one back, or start once with --new-feed"
            )
        if feed != ours.feed and feed.began >= ours.feed.began:
            raise SupersededError(
                "another feed, begun later and signed by our key, has replaced this journal's: "
                "is this the right journal? To go on with it, start once with --new-feed"
            )


def _signed_by_us(found: Found, keys: FeedKeys) -> Iterator[tuple[FeedId, int]]:
    beat = last_beat(found, keys)
    if beat is not None:
        yield beat.feed, beat.upto
    for text in (*found.base, *(text for _, text in found.records)):
        batch = _opened(text, keys)
        if batch is not None:
            yield batch.feed, batch.upto
