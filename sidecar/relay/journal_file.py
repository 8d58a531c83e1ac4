"""The journal's content: every change by its number, as one thread reads and writes it.

Nothing in it is signed, so that keys can change. What no reader needs any more is gone: denials
that were lifted or have ended, and lifts once what they lifted would have ended. The genesis stays
for ever.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.feed import FIRST, Batch, Change, Denied, FeedId, Genesis, Lifted
from sidecar.core.feed_wire import MAX_BYTES, MAX_CHANGES
from sidecar.relay.journal_disk import JournalError, lock, open_database

T = TypeVar("T")

_CLOCKS_DIFFER_BY: Final = 60.0
"""Seconds for which an ended denial stays: a reader's clock may be behind ours."""
_ROOM: Final = MAX_BYTES * 5 // 8
"""Of JSON in one batch: base64 makes a third more of it."""
_BESIDE_TEXT: Final = 200
"""Bytes of a change's JSON beside its texts."""
_ESCAPED: Final = 6
"""The most bytes that JSON needs for a character."""

_LATEST: Final = """
SELECT max(until) FROM changes
WHERE issuer = ? AND tenant = ? AND kind = ? AND value = ? AND op = 'deny'
"""
_DROP: Final = """
DELETE FROM changes
WHERE issuer = ? AND tenant = ? AND kind = ? AND value = ? AND op = 'deny'
"""
_HOLDING: Final = """
SELECT seq, op, issuer, tenant, kind, value, until, not_before, reason FROM changes
WHERE op = 'deny' AND until > ? ORDER BY issuer, tenant, kind, value, seq
"""
_BETWEEN: Final = """
SELECT seq, op, issuer, tenant, kind, value, until, not_before, reason FROM changes
WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?
"""
_SAME: Final = """
SELECT 1 FROM changes
WHERE issuer = ? AND tenant = ? AND kind = ? AND value = ? AND op = 'deny'
AND until = ? AND not_before IS ? AND reason = ?
"""
_APPEND: Final = """
INSERT INTO changes (seq, op, issuer, tenant, kind, value, until, not_before, reason)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class JournalFile:
    """One open journal, for one thread."""

    feed: FeedId
    upto: int
    """The number of the last change."""
    held: int
    """Entries, those included that have just ended."""

    def __init__(self, path: Path, *, capacity: int) -> None:
        """Open and check what ``begin`` made. Raises ``JournalError``."""
        self._path = path
        self._capacity = capacity
        self._lock = lock(path)
        self._uncertain = True
        try:
            self._database = open_database(path)
        except JournalError:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()
        os.close(self._lock)

    def commit(self, orders: Sequence[Callable[[JournalFile], T]]) -> list[T | ValueError]:
        """Carry out all orders in one transaction; a ``ValueError`` is an order's own answer.

        Raises ``JournalError`` when nothing of it could be kept.
        """
        try:
            self._database.execute("BEGIN IMMEDIATE")
            if self._uncertain:
                self._look_up()
            began_at = self.upto
            answers = [_answer(order, self) for order in orders]
            if self.upto != began_at:
                self._database.execute("UPDATE feed SET upto = ?", (self.upto,))
            self._database.execute("COMMIT")
        except BaseException as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error):
                raise JournalError(f"{self._path} cannot be used: {error}") from None
            raise
        return answers

    def add(self, entries: Sequence[DenyEntry], *, now: float) -> int:
        """Add all or none; the number up to which they stand. What is there already is left.

        Raises ``ValueError``, before anything is written, when they do not fit.
        """
        new = [entry for entry in dict.fromkeys(entries) if not self._has(entry)]
        if self.held + len(new) > self._capacity:
            self.forget(now=now)
        if self.held + len(new) > self._capacity:
            raise ValueError(f"the deny list is full ({self._capacity} entries)")
        for entry in new:
            self._append("deny", entry.key, entry.until, entry.not_before, entry.reason)
        self.held += len(new)
        return self.upto

    def lift(self, key: DenyKey, *, now: float) -> int | None:
        """The number of the change that lifts all under ``key``; None when nothing holds there."""
        latest = self._one(_LATEST, _bound(key))
        if latest is None or latest <= now:
            return None
        self.held -= self._rows(_DROP, _bound(key)).rowcount
        self._append("lift", key, latest, None, "")
        return self.upto

    def entries(self, *, now: float) -> tuple[DenyEntry, ...]:
        """What holds, the entries of one key together."""
        changes = map(_read, self._rows(_HOLDING, (now,)))
        return tuple(change.entry for change in changes if isinstance(change, Denied))

    def stretch(self, after: int, upto: int | None = None) -> Batch | None:
        """What follows ``after``, as much as fits into one batch; None when nothing does.

        ``upto``, or else the end of the feed, is the last number that is wanted.
        """
        end = self.upto if upto is None else upto
        if after >= end:
            return None
        rows = self._rows(_BETWEEN, (after, end, MAX_CHANGES + 1)).fetchall()
        changes = _fitting(rows)
        whole = len(changes) == len(rows)
        return Batch(self.feed, after, end if whole else changes[-1].seq, changes)

    def forget(self, *, now: float) -> None:
        """Drop what has ended."""
        self._rows("DELETE FROM changes WHERE until <= ?", (now - _CLOCKS_DIFFER_BY,))
        self._count()

    def begin_again(self, feed: FeedId, *, now: float) -> None:
        """Begin a new feed with what holds now."""
        holding = self.entries(now=now)
        self._rows("DELETE FROM changes")
        self._rows("INSERT INTO changes (seq, op) VALUES (?, 'genesis')", (FIRST,))
        self._rows("UPDATE feed SET name = ?, began = ?, upto = ?", (feed.name, feed.began, FIRST))
        self._look_up()
        self.add(holding, now=now)

    def _has(self, entry: DenyEntry) -> bool:
        said = (entry.until, entry.not_before, entry.reason)
        return self._one(_SAME, (*_bound(entry.key), *said)) is not None

    def _append(
        self, op: str, key: DenyKey, until: float, not_before: float | None, reason: str
    ) -> None:
        self.upto += 1
        self._rows(_APPEND, (self.upto, op, *_bound(key), until, not_before, reason))

    def _look_up(self) -> None:
        row = self._rows("SELECT name, began, upto FROM feed").fetchone()
        if row is None:
            raise sqlite3.DatabaseError("it names no feed")
        name, began, self.upto = row
        self.feed = FeedId(name, began)
        self._count()
        self._uncertain = False

    def _count(self) -> None:
        self.held = self._one("SELECT count(*) FROM changes WHERE op = 'deny'")

    def _roll_back(self) -> None:
        """Back to what the file says; it is asked, because memory may be ahead of it."""
        self._uncertain = True
        if self._database.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")

    def _rows(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        return self._database.execute(statement, values)

    def _one(self, statement: str, values: Sequence[Any] = ()) -> Any:
        row = self._rows(statement, values).fetchone()
        return row[0] if row else None


def _answer(order: Callable[[JournalFile], T], file: JournalFile) -> T | ValueError:
    try:
        return order(file)
    except ValueError as refused:
        return refused


def _fitting(rows: Iterable[tuple[Any, ...]]) -> tuple[Change, ...]:
    """As many changes from the first on as one batch may hold; never none."""
    fitting: list[Change] = []
    room = _ROOM
    for row in rows:
        room -= _BESIDE_TEXT + _ESCAPED * sum(len(one) for one in row if isinstance(one, str))
        if fitting and (room < 0 or len(fitting) == MAX_CHANGES):
            break
        fitting.append(_read(row))
    return tuple(fitting)


def _read(row: tuple[Any, ...]) -> Change:
    seq, op, issuer, tenant, kind, value, until, not_before, reason = row
    if op == "genesis":
        return Genesis(seq)
    key = DenyKey(DenyKind(kind), issuer, tenant, value)
    return (
        Lifted(seq, key) if op == "lift" else Denied(seq, DenyEntry(key, until, not_before, reason))
    )


def _bound(key: DenyKey) -> tuple[str, str, str, str]:
    return key.issuer, key.tenant, key.kind.value, key.value
