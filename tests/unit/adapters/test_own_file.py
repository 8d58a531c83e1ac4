"""A file that is ours alone, and never half written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidecar.adapters.own_file import OwnFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own" / "file"


def test_file_and_folder_are_made_private(path: Path) -> None:
    """0600 in 0700, also when the file was wider before."""
    OwnFile(path).close()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    path.chmod(0o666)
    OwnFile(path).close()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_file_is_refused_when_others_can_write_to_its_folder(path: Path, mode: int) -> None:
    """Whoever can write to the folder can put another file there."""
    path.parent.mkdir()
    path.parent.chmod(mode)

    with pytest.raises(OSError, match="only this user"):
        OwnFile(path)


def test_file_is_refused_when_its_folder_or_itself_is_somebody_elses(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner can do with it what we can."""
    OwnFile(path).close()
    me = os.geteuid()
    for asked, match in ([me + 1], "only this user"), ([me, me + 1], "plain file"):
        monkeypatch.setattr(os, "geteuid", iter(asked).__next__)
        with pytest.raises(OSError, match=match):
            OwnFile(path)


def test_file_is_refused_when_it_is_a_link_or_no_file(path: Path, tmp_path: Path) -> None:
    """What a link points to is not ours to write to; a pipe would never end."""
    path.parent.mkdir(mode=0o700)
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        OwnFile(path)

    path.unlink()
    os.mkfifo(path)
    with pytest.raises(OSError, match="plain file"):
        OwnFile(path)


def test_folder_is_locked_until_close(path: Path) -> None:
    """Two processes that write to one file would mix their lines."""
    first = OwnFile(path)
    with pytest.raises(OSError, match="another process"):
        OwnFile(path)
    first.close()

    OwnFile(path).close()


def test_append_leaves_nothing_of_what_could_not_be_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk takes half a line: the next one must not stick to it."""
    file, write = OwnFile(path), os.write
    file.append(b"one\n")
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
        with pytest.raises(OSError, match="only part"):
            file.append(b"two\n")

    file.append(b"three\n", durably=True)
    assert file.read() == b"one\nthree\n"
    file.close()


def test_append_leaves_nothing_when_even_that_could_not_be_undone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is undone before the next line."""
    file, write = OwnFile(path), os.write

    def fail(*_: object) -> None:
        raise OSError("no")

    with monkeypatch.context() as broken:
        broken.setattr(os, "write", lambda fd, data: write(fd, data[:2]))
        broken.setattr(os, "ftruncate", fail)
        with pytest.raises(OSError, match="no"):
            file.append(b"two\n")
    assert file.read() == b"tw"

    file.append(b"three\n")
    assert file.read() == b"three\n"
    file.close()


def test_replace_puts_all_in_place_at_once_and_goes_on_from_there(path: Path) -> None:
    """Appending goes to the new file, and nothing else is left in the folder."""
    file = OwnFile(path)
    file.append(b"one\n")
    file.replace([b"two\n", b"three\n"])
    file.append(b"four\n")

    assert path.read_bytes() == b"two\nthree\nfour\n"
    assert [found.name for found in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o777 == 0o600
    file.close()


def test_replace_changes_nothing_when_it_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file is whole until the new one is."""
    file = OwnFile(path)
    file.append(b"one\n")

    def fail(_: int) -> None:
        raise OSError("no")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="no"):
            file.replace([b"two\n"])
    file.append(b"three\n")

    assert path.read_bytes() == b"one\nthree\n"
    file.close()


def test_set_aside_copies_for_the_operator(path: Path) -> None:
    """What was refused can be looked at, by its owner."""
    file = OwnFile(path)
    file.append(b"one\n")

    assert file.set_aside().read_bytes() == file.set_aside().read_bytes() == b"one\n"
    assert (path.parent / "file.refused").stat().st_mode & 0o777 == 0o600
    file.close()
