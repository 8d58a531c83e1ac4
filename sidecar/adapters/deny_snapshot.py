"""What a sidecar has read of the deny feed, on disk: so that a restart without Redis still denies.

One signed text a line, in the order of reading: batches, and a heartbeat that shows that the list
was complete once. Whoever loads it judges every line as if it came from Redis.

A thread of its own writes, so that a slow disk never holds up a check. A killed process loses what
its thread had not been given the time to write, a lost machine what the kernel had not: then the
file ends earlier, and the feed is read again from there.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final, TypeAlias

import structlog

from sidecar.adapters.own_file import OwnFile
from sidecar.core.feed import Batch, Beat, Denied, FeedId
from sidecar.logs import place_of

_log = structlog.get_logger(__name__)

_FEW_LINES: Final = 1000
_GROWTH: Final = 4
_MOST_WAITING: Final = 64 * 1024 * 1024

Signed: TypeAlias = tuple[bytes, Batch | Beat]
"""A text, and what it says."""


@dataclass(frozen=True, slots=True)
class _Line:
    feed: FeedId
    upto: int
    until: float
    """When the last of what it denies ends."""

    @classmethod
    def of(cls, said: Batch | Beat) -> _Line:
        changes = said.changes if isinstance(said, Batch) else ()
        ends = (change.entry.until for change in changes if isinstance(change, Denied))
        return cls(said.feed, said.upto, max(ends, default=-math.inf))


class DenySnapshot:
    """The file, private and in a folder of ours. Raises ``OSError`` as ``OwnFile`` does."""

    def __init__(self, path: Path) -> None:
        self._file = OwnFile(path)
        self._worker = ThreadPoolExecutor(1, "deny-snapshot")
        self._lock = Lock()
        self._waiting: list[bytes] = []
        self._size_waiting = 0
        self._failing = False
        self._given_up = False
        self._lines: list[_Line] = []
        self._enough = _FEW_LINES

    def load(self) -> list[bytes]:
        """Every line. A last one without its end is dropped: it was being written at a crash."""
        content = self._file.read()
        *lines, torn = content.split(b"\n")
        if torn:
            _log.warning("deny_snapshot_line_cut_off", file=str(self._file.path))
            self._file.cut(len(content) - len(torn))
        return lines

    def loaded(self, said: Batch | Beat) -> None:
        """Note that the next line was good."""
        self._lines.append(_Line.of(said))

    def refuse_rest(self, lines: Sequence[bytes], why: str) -> None:
        """Drop what follows the last good line; the whole file is set aside for the operator."""
        good = len(self._lines)
        log = _log.bind(file=str(self._file.path), line=good + 1, why=why, kept_lines=good)
        try:
            log = log.bind(set_aside=str(self._file.set_aside()))
            self._file.cut(sum(len(line) + 1 for line in lines[:good]))
        except OSError as failed:
            log = log.bind(**place_of(failed))
            self.give_up()
        log.error("deny_snapshot_refused")

    def give_up(self) -> None:
        """Write no more: what the file holds stays true, and is continued after a restart."""
        self._given_up = True

    @property
    def saved(self) -> bool:
        """Whether everything read so far was given to the disk."""
        return not (self._waiting or self._given_up)

    @property
    def wants_base(self) -> bool:
        """Whether the file grew so long that it should be shortened."""
        return len(self._lines) > self._enough and not self._given_up

    def append(self, text: bytes, said: Batch | Beat) -> None:
        """Have a line written, soon; never raises, never waits."""
        if self._given_up:
            return
        with self._lock:
            self._waiting.append(text + b"\n")
            self._size_waiting += len(text) + 1
        self._lines.append(_Line.of(said))
        if self._size_waiting > _MOST_WAITING:
            _log.error("deny_snapshot_given_up", file=str(self._file.path))
            self.give_up()
        self.write_soon()

    def write_soon(self) -> None:
        """Write what is waiting, if anything is: also what could not be written before."""
        if self._waiting:
            self._worker.submit(self._write)

    async def rewrite(
        self,
        base: Sequence[tuple[bytes, Batch]],
        proof: Sequence[Signed],
        *,
        now: float,
    ) -> bool:
        """Let ``base`` stand for every line of its feed that it covers; whether it does now.

        Lines of a feed that was replaced go when everything in it has ended, all together: without
        the first the others could not be read.
        """
        feed, covered = base[-1][1].feed, base[-1][1].upto
        here = [at for at, line in enumerate(self._lines) if line.feed == feed]
        older = self._lines[: here[0]] if here else list(self._lines)
        needed = {line.feed for line in older if now < line.until}
        before = [at for at, line in enumerate(older) if line.feed in needed]
        tail = next((at for at in here if self._lines[at].upto > covered), len(self._lines))
        middle: list[Signed] = [*base, *proof]
        texts = [text + b"\n" for text, _ in middle]
        loop = asyncio.get_running_loop()
        done = await loop.run_in_executor(self._worker, self._rewrite, before, texts, tail)
        if done:
            heads = [self._lines[at] for at in before] + [_Line.of(said) for _, said in middle]
            self._lines = heads + self._lines[tail:]
        self._enough = max(_FEW_LINES, _GROWTH * len(self._lines))
        return done

    async def close(self) -> None:
        """Write what is waiting, and close the file."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._worker, self._write)
        self._worker.shutdown()
        self._file.close()

    def _write(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
        if not lines or self._given_up:
            return
        try:
            self._file.append(b"".join(lines))
        except OSError as failed:
            with self._lock:
                self._waiting = lines + self._waiting
            if not self._failing:
                _log.error("deny_snapshot_not_written", **place_of(failed))
            self._failing = True
            return
        with self._lock:
            self._size_waiting -= sum(map(len, lines))
        if self._failing:
            _log.info("deny_snapshot_written_again")
        self._failing = False

    def _rewrite(self, before: Sequence[int], middle: Sequence[bytes], tail: int) -> bool:
        self._write()
        if self._failing or self._given_up:
            return False
        lines = self._file.read().splitlines(keepends=True)
        try:
            self._file.replace([*(lines[at] for at in before), *middle, *lines[tail:]])
        except OSError as failed:
            _log.error("deny_snapshot_not_shortened", **place_of(failed))
            return False
        return True
