"""The journal for asyncio: one thread owns the file, and who comes together is kept together.

While one transaction is on its way to the disk, the next orders gather; they become one
transaction, one batch of the feed and one signature. Nobody is answered before the disk has it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from sidecar.core.deny import DenyEntry, DenyKey
from sidecar.core.feed import Batch, FeedId
from sidecar.relay.journal_disk import JournalError
from sidecar.relay.journal_file import JournalFile

T = TypeVar("T")

MOST_WAITING: Final = 1000
"""Orders at once; more are refused, and whoever gave them knows it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What follows some number, and how far the feed went at that moment."""

    batch: Batch | None
    upto: int


class Journal:
    """Every method raises ``JournalError`` when the file fails; then nothing has happened."""

    feed: FeedId
    upto: int
    """The number of the last change that is on the disk."""
    held: int
    """Entries, those included that have just ended."""

    def __init__(self, path: Path, *, capacity: int) -> None:
        self._path = path
        self._capacity = capacity
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._orders: list[tuple[Callable[[JournalFile], Any], asyncio.Future[Any]]] = []
        self._ordered = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the file. Raises ``JournalError``."""
        loop = asyncio.get_running_loop()
        opened = partial(JournalFile, self._path, capacity=self._capacity)
        try:
            file = await loop.run_in_executor(self._thread, opened)
        except JournalError:
            self._thread.shutdown()
            raise
        self._working = asyncio.create_task(self._work(file))
        try:
            await self._ordering(lambda _: None)
        except JournalError:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what was ordered, and close the file."""
        working, self._working = self._working, None
        if working is not None:
            self._ordered.set()
            await working
        self._thread.shutdown()

    async def add(self, entries: Sequence[DenyEntry], *, now: float) -> int:
        """See ``JournalFile.add``; raises ``ValueError`` when the list is full."""
        return await self._ordering(partial(JournalFile.add, entries=entries, now=now))

    async def lift(self, key: DenyKey, *, now: float) -> int | None:
        """See ``JournalFile.lift``."""
        return await self._ordering(partial(JournalFile.lift, key=key, now=now))

    async def entries(self, *, now: float) -> tuple[DenyEntry, ...]:
        """See ``JournalFile.entries``."""
        return await self._ordering(partial(JournalFile.entries, now=now))

    async def stretch(self, after: int, upto: int | None = None) -> Stretch:
        """See ``JournalFile.stretch``."""
        return await self._ordering(lambda file: Stretch(file.stretch(after, upto), file.upto))

    async def forget(self, *, now: float) -> None:
        """See ``JournalFile.forget``."""
        await self._ordering(partial(JournalFile.forget, now=now))

    async def begin_again(self, name: str, *, now: float) -> None:
        """Begin a new feed with what holds now; it replaces the old one with its readers."""
        later = max(int(now * 1000), self.feed.began + 1)
        feed = FeedId(name, later)
        await self._ordering(partial(JournalFile.begin_again, feed=feed, now=now))

    async def _ordering(self, order: Callable[[JournalFile], T]) -> T:
        if self._working is None or len(self._orders) >= MOST_WAITING:
            raise JournalError("too many changes at once, or the relay is stopping: try again")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._orders.append((order, future))
        self._ordered.set()
        return await future

    async def _work(self, file: JournalFile) -> None:
        loop = asyncio.get_running_loop()
        while self._orders or self._working is not None:
            self._ordered.clear()
            if self._orders:
                taken, self._orders = self._orders, []
                orders = [order for order, _ in taken]
                try:
                    answers = await loop.run_in_executor(self._thread, file.commit, orders)
                    self.feed, self.upto, self.held = file.feed, file.upto, file.held
                except Exception as failed:  # noqa: BLE001 - whoever ordered hears of it
                    answers = [failed] * len(taken)
                _tell([future for _, future in taken], answers)
            elif self._working is not None:
                await self._ordered.wait()
        await loop.run_in_executor(self._thread, file.close)


def _tell(waiting: Sequence[asyncio.Future[Any]], answers: Sequence[Any]) -> None:
    for future, answer in zip(waiting, answers, strict=True):
        with contextlib.suppress(asyncio.InvalidStateError):  # whoever asked has gone
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
