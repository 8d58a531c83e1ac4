"""A deny list with a file: what was answered is still there after whatever ended the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sidecar.adapters.deny_file import BrokenDenyFileError
from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from tests.feed_source import agent_key, denial
from tests.values import NOW, make_agent


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "own" / "deny.jsonl"


@contextmanager
def opened(path: Path, *, capacity: int = 10_000) -> Iterator[MemoryDenyList]:
    deny_list = MemoryDenyList(capacity=capacity, file=path)
    try:
        yield deny_list
    finally:
        deny_list.close()


def held(path: Path) -> tuple[DenyEntry, ...]:
    with opened(path) as deny_list:
        return deny_list.entries(now=NOW)


def test_a_restart_holds_what_was_added_and_not_what_was_removed(path: Path) -> None:
    """With all that an entry says, in its order."""
    kid = DenyKey(DenyKind.KID, "https://i.example", "", "ünï\ncode")
    entries = (DenyEntry(kid, NOW + 1.5, NOW - 0.25, "why"), denial("a"), denial("a", reason="2"))
    with opened(path) as deny_list:
        for entry in (*entries, denial("b")):
            deny_list.add(entry, now=NOW)
        deny_list.add(entries[1], now=NOW)
        assert deny_list.remove(agent_key("b"))
        assert not deny_list.remove(agent_key("nobody"))

    assert held(path) == entries
    assert len(path.read_bytes().splitlines()) == 5  # what changed nothing was not written


def test_an_entry_is_durable_before_add_returns(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written and flushed to the disk: whoever was answered may pull the plug."""
    flushed: list[bytes] = []
    monkeypatch.setattr(os, "fdatasync", lambda _: flushed.append(path.read_bytes()))
    with opened(path) as deny_list:
        deny_list.add(denial(), now=NOW)
        deny_list.remove(denial().key)

    assert [content.count(b"\n") for content in flushed] == [1, 2]


CHILD = """
import sys
from pathlib import Path
from sidecar.adapters.memory_deny_list import MemoryDenyList
from tests.feed_source import agent_key, denial

deny_list = MemoryDenyList(capacity=100_000, file=Path(sys.argv[1]))
for n in range(100_000):
    deny_list.add(denial(str(n)), now=0)
    print(f"added {n}", flush=True)
    if n % 3 == 0:
        deny_list.remove(agent_key(str(n)))
        print(f"removed {n}", flush=True)
"""


def test_nothing_that_was_answered_is_lost_when_the_process_is_killed(path: Path) -> None:
    """``kill -9`` in the middle of many changes."""
    command = [sys.executable, "-c", CHILD, str(path)]
    said: set[str] = set()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            said ^= {line.split()[1]}
            if len(said) == 100:
                child.send_signal(signal.SIGKILL)

    found = {entry.key.value for entry in held(path)}
    last = str(max(map(int, found | said)))  # the one that was under way
    assert found - {last} == said - {last}


def test_a_line_that_was_cut_off_by_a_crash_was_never_answered(path: Path) -> None:
    """It is dropped, and the next one does not stick to it."""
    with opened(path) as deny_list:
        deny_list.add(denial("a"), now=NOW)
        deny_list.add(denial("b"), now=NOW)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])

    with opened(path) as deny_list:
        assert deny_list.entries(now=NOW) == (denial("a"),)
        deny_list.add(denial("c"), now=NOW)
    assert held(path) == (denial("a"), denial("c"))


def test_a_last_line_without_its_end_is_an_editors(path: Path) -> None:
    """It is whole, so it holds, and the next one does not stick to it."""
    with opened(path) as deny_list:
        deny_list.add(denial("a"), now=NOW)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))

    with opened(path) as deny_list:
        deny_list.add(denial("b"), now=NOW)
    assert held(path) == (denial("a"), denial("b"))


GOOD = (
    b'{"op":"deny","kind":"agent","issuer":"https://issuer.example","tenant":"acme",'
    b'"value":"agent-1","until":1900000000}\n'
)


@pytest.mark.parametrize(
    "bad",
    [
        b"\n",
        b"{}\n",
        b"rubbish\n",
        b"\xff\n",
        GOOD.replace(b"deny", b"allow"),
        GOOD.replace(b"agent", b"agents", 1),
        GOOD.replace(b'"until"', b'"til"'),
        GOOD.replace(b"1900000000", b"null"),
        GOOD.replace(b"1900000000", b"1e999"),
        GOOD.replace(b"}", b',"more":1}'),
        GOOD[:-20] + b"\n",
    ],
)
def test_a_bad_line_ends_the_start(path: Path, bad: bytes) -> None:
    """Naming file and line: whoever started without it would forget a revocation."""
    path.parent.mkdir(mode=0o700)
    path.write_bytes(GOOD + bad + GOOD)

    with pytest.raises(BrokenDenyFileError, match=rf"^{path}:2: "):
        MemoryDenyList(capacity=10, file=path)

    path.write_bytes(GOOD)  # and whoever mended it can start: nothing is left locked
    assert len(held(path)) == 1


def test_a_file_may_hold_more_than_there_is_room_for(path: Path) -> None:
    """Whoever lowered the limit forgets nothing by it, and adds nothing."""
    with opened(path) as deny_list:
        for n in range(3):
            deny_list.add(denial(f"agent-{n}"), now=NOW)

    with opened(path, capacity=2) as deny_list:
        assert len(deny_list.entries(now=NOW)) == 3
        with pytest.raises(ValueError, match="full"):
            deny_list.add(denial("more"), now=NOW)
    assert len(held(path)) == 3


def test_an_entry_holds_when_it_cannot_be_kept_and_the_operator_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an emergency a full disk must not let an agent pass; nor may it lift a revocation."""
    with opened(path) as deny_list:
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda *_: 0)
            with pytest.raises(ValueError, match="holds only until the next start"):
                deny_list.add(denial(), now=NOW)
            with pytest.raises(ValueError, match="nothing was lifted"):
                deny_list.remove(denial().key)
        assert deny_list.find(make_agent(), now=NOW) == denial()

    assert held(path) == ()


def fail(_: int) -> None:
    raise OSError("no")


def test_the_file_does_not_grow_with_what_means_nothing_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of changes about few entries; and when it cannot be shortened, it grows."""
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    with opened(path) as deny_list:
        deny_list.add(denial("kept"), now=NOW)
        for _ in range(600):
            deny_list.add(denial("a"), now=NOW)
            deny_list.remove(agent_key("a"))
        assert len(path.read_bytes().splitlines()) < 250

        monkeypatch.setattr(os, "fsync", fail)
        for _ in range(1000):
            deny_list.add(denial("a"), now=NOW)
            deny_list.remove(agent_key("a"))
        deny_list.add(denial("b"), now=NOW)

    assert held(path) == (denial("kept"), denial("b"))
