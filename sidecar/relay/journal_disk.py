"""A journal's file: made once, opened by one process, checked before it is believed.

SQLite in WAL mode with ``synchronous=FULL``: what is committed is on the disk. A missing or foreign
file is an error and never a new feed: an empty one in the place of the last would bring back all
who were revoked, as soon as their sidecars had switched. Two processes with one journal would
number their changes alike, so there is a lock; the kernel drops it with the process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path
from typing import Final

from sidecar.core.feed import FIRST, FeedId

_APPLICATION: Final = 0x5347_4A31
"""SQLite's ``application_id``: "SGJ1"."""
_SCHEMA: Final = f"""
CREATE TABLE feed (name TEXT NOT NULL, began INTEGER NOT NULL, upto INTEGER NOT NULL) STRICT;
CREATE TABLE changes (
    seq INTEGER PRIMARY KEY,
    op TEXT NOT NULL CHECK (op IN ('genesis', 'deny', 'lift')),
    issuer TEXT, tenant TEXT, kind TEXT, value TEXT, until REAL, not_before REAL, reason TEXT
) STRICT;
CREATE INDEX by_key ON changes (issuer, tenant, kind, value);
CREATE INDEX by_end ON changes (until);
PRAGMA application_id = {_APPLICATION};
"""


class JournalError(Exception):
    """The journal cannot be used, or a change could not be kept; says why, in an operator's words.

    What was asked for has not happened.
    """


def begin(path: Path, feed: FeedId) -> None:
    """Make a new journal that holds a feed's genesis. Raises ``JournalError``."""
    made = path.with_name(f"{path.name}.new")
    if path.exists():
        raise JournalError(f"{path} is there already: --init is for the very first start")
    try:
        made.unlink(missing_ok=True)
        os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with contextlib.closing(_connect(made)) as database:
            database.executescript(_SCHEMA)
            database.execute("INSERT INTO feed VALUES (?, ?, ?)", (feed.name, feed.began, FIRST))
            database.execute("INSERT INTO changes (seq, op) VALUES (?, 'genesis')", (FIRST,))
        made.rename(path)
        _sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise JournalError(f"{path} cannot be made: {error}") from None


def lock(path: Path) -> int:
    """Own the journal until the descriptor that is returned is closed. Raises ``JournalError``."""
    beside = path.with_name(f"{path.name}.lock")
    try:
        descriptor = os.open(beside, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"{beside} cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise JournalError(f"{path} is in use: another relay is running with it") from None
    return descriptor


def open_database(path: Path) -> sqlite3.Connection:
    """Open what ``begin`` made. Raises ``JournalError`` for anything else, and for damage."""
    if not path.exists():
        raise JournalError(
            f"there is no journal at {path}. The very first start needs --init. If this is not "
            "the first, its volume is missing: a new feed would not know who is revoked"
        )
    try:
        database = _connect(path)
        try:
            _check(database, path)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
        except BaseException:
            database.close()
            raise
    except sqlite3.Error as error:
        raise JournalError(f"{path} is damaged, or no journal of a relay: {error}") from None
    return database


def _check(database: sqlite3.Connection, path: Path) -> None:
    if _single(database, "PRAGMA application_id") != _APPLICATION:
        raise JournalError(f"{path} is no journal of a relay")
    verdict = _single(database, "PRAGMA quick_check(1)")
    if verdict != "ok":
        raise JournalError(f"{path} is damaged: {verdict}")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=1)


def _single(database: sqlite3.Connection, statement: str) -> object:
    row = database.execute(statement).fetchone()
    return row[0] if row else None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
