"""The deny list of one process, fed through the admin socket.

It has no source that could fall silent, so it is never stale: what was added is all there is.
With a file it outlives the process: what was answered is on disk.
"""

from __future__ import annotations

import math
from pathlib import Path

import structlog

from sidecar.adapters.deny_file import Change, DenyFile
from sidecar.adapters.deny_index import DenyIndex, name_of, row_of
from sidecar.core.deny import DenyEntry, DenyKey
from sidecar.core.model import Agent

_log = structlog.get_logger(__name__)


class MemoryDenyList:
    """``ports.DenyList`` and ``ports.DenyListAdmin``; a look-up is O(1).

    ``file`` is where changes are kept: durably, before ``add`` and ``remove`` return. That takes
    the disk's time (fdatasync, some milliseconds), for an operator's command and for no check.
    Raises ``BrokenDenyFileError`` for a file with a bad line and ``OSError`` for one that is not
    ours, or not ours alone. More entries on file than ``capacity`` are all held.
    """

    def __init__(self, *, capacity: int, file: Path | None = None) -> None:
        self._capacity = capacity
        self._index = DenyIndex()
        self._file = None if file is None else _loaded(file, self._index)

    def find(self, agent: Agent, *, now: float) -> DenyEntry | None:
        """See ``ports.DenyList``."""
        return self._index.find(agent, now=now)

    def add(self, entry: DenyEntry, *, now: float) -> None:
        """See ``ports.DenyListAdmin``.

        Raises ``ValueError`` also when the file cannot be written. Then the entry holds all the
        same, until the process ends: in an emergency a full disk must not let an agent pass.
        """
        name, row = name_of(entry.key), row_of(entry)
        if row in self._index.under(name):
            return
        if len(self._index) >= self._capacity:
            self._index.forget(len(self._index), now=now)
        if len(self._index) >= self._capacity:
            raise ValueError(f"the deny list is full ({self._capacity} entries)")
        self._index.put(name, (*self._index.under(name), row), now=now)
        self._keep(entry, "it holds only until the next start")
        self._tidy(now)

    def remove(self, key: DenyKey) -> bool:
        """See ``ports.DenyListAdmin``.

        Raises ``ValueError`` when the file cannot be written; then nothing was lifted.
        """
        if not self._index.under(name_of(key)):
            return False
        self._keep(key, "nothing was lifted")
        self._index.put(name_of(key), (), now=-math.inf)
        return True

    def entries(self, *, now: float) -> tuple[DenyEntry, ...]:
        """See ``ports.DenyListAdmin``."""
        return tuple(self._index.entries(now=now))

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def __len__(self) -> int:
        return len(self._index)

    def _keep(self, change: Change, otherwise: str) -> None:
        if self._file is None:
            return
        try:
            self._file.keep(change)
        except OSError as failed:
            raise ValueError(
                f"the deny list's file cannot be written ({failed.strerror or failed}): {otherwise}"
            ) from None

    def _tidy(self, now: float) -> None:
        """Keep the file, and a start from it, short."""
        if self._file is None or not self._file.is_long_for(len(self._index)):
            return
        try:
            self._file.keep_only(self._index.entries(now=now))
        except OSError:
            _log.warning("deny_file_not_shortened")


def _loaded(path: Path, index: DenyIndex) -> DenyFile:
    file = DenyFile(path)
    try:
        for change in file.load():
            if isinstance(change, DenyKey):
                index.put(name_of(change), (), now=-math.inf)
                continue
            name, row = name_of(change.key), row_of(change)
            if row not in index.under(name):
                index.put(name, (*index.under(name), row), now=-math.inf)
    except BaseException:
        file.close()
        raise
    return file
