"""A file of this process alone: lines are added at its end, and the whole is replaced at once.

Its folder must be ours, too: whoever can write to the folder can swap the file. The folder is
locked, so that two processes never write to one file.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_OTHERS_MAY_WRITE: Final = 0o022
_MINE: Final = 0o600
_MINE_TO_ENTER: Final = 0o700


class OwnFile:
    """A private file (mode 0600) in a folder that nobody else can write to.

    Missing ones are made. Raises ``OSError``, in words, for a folder or file of somebody else's,
    and for a folder that another process has locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = _locked(path.parent)
        try:
            self._file = _opened(path)
        except OSError:
            os.close(self._folder)
            raise
        self._size = os.fstat(self._file).st_size
        self._torn = False  # whether something half written may stand at the end

    def read(self) -> bytes:
        """Everything in the file."""
        return self.path.read_bytes()

    def append(self, data: bytes, *, durably: bool = False) -> None:
        """Add to the end: all, or on ``OSError`` nothing.

        What was added survives the death of this process. ``durably`` (fdatasync) it survives the
        loss of power, for some milliseconds of waiting.
        """
        if self._torn:
            self.cut(self._size)
        try:
            self._torn = True
            _write(self._file, data)
            if durably:
                os.fdatasync(self._file)
        except OSError:
            self.cut(self._size)
            raise
        self._torn = False
        self._size += len(data)

    def cut(self, size: int) -> None:
        """Keep the first ``size`` bytes."""
        os.ftruncate(self._file, size)
        self._size, self._torn = size, False

    def replace(self, parts: Iterable[bytes]) -> None:
        """Put ``parts`` in place of everything, at once and durably, or raise ``OSError``."""
        fresh = self.path.with_name(self.path.name + ".new")
        fresh.unlink(missing_ok=True)
        file = _opened(fresh)
        try:
            with os.fdopen(os.dup(file), "wb") as stream:
                stream.writelines(parts)
                stream.flush()
                os.fsync(file)
            fresh.replace(self.path)
        except OSError:
            os.close(file)
            raise
        os.fsync(self._folder)
        os.close(self._file)
        self._file, self._size, self._torn = file, os.fstat(file).st_size, False

    def set_aside(self) -> Path:
        """Copy the file to ``<name>.refused``, for whoever wants to see what was in it."""
        aside = self.path.with_name(self.path.name + ".refused")
        aside.unlink(missing_ok=True)
        file = _opened(aside)
        with os.fdopen(file, "wb") as stream:
            stream.write(self.read())
        return aside

    def close(self) -> None:
        """Close the file and unlock the folder."""
        os.close(self._file)
        os.close(self._folder)


def _locked(folder: Path) -> int:
    folder.mkdir(mode=_MINE_TO_ENTER, parents=True, exist_ok=True)
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _require_ours(folder, os.fstat(opened))
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(opened)
        raise OSError(f"{folder}: another process keeps its deny list there") from None
    except OSError:
        os.close(opened)
        raise
    return opened


def _require_ours(folder: Path, found: os.stat_result) -> None:
    if found.st_uid != os.geteuid() or found.st_mode & _OTHERS_MAY_WRITE:
        raise OSError(f"{folder}: must be a folder that only this user can write to")


def _write(file: int, data: bytes) -> None:
    if os.write(file, data) != len(data):
        raise OSError("the disk took only part of it")


def _opened(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    file = os.open(path, flags, _MINE)
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(file)
        raise OSError(f"{path}: must be a plain file of this user's")
    os.fchmod(file, _MINE)
    return file
