"""``scopegate deny`` as an operator runs it, against a socket that really listens."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import typer
from prometheus_client import CollectorRegistry
from typer.core import TyperGroup

from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.cli.deny import app
from sidecar.fronts.admin import AdminFront, port_app, socket_app
from sidecar.readiness import Readiness
from tests.tokens import ISSUER, NOW, make_profile
from tests.values import StillClock, make_agent

SCOPEGATE = Path(sys.executable).parent / "scopegate"
OF = ("--issuer", ISSUER, "--tenant", "acme")
MEANT = "is not known; did you mean"


class NoDocuments:
    def document(self, name: str) -> None:
        del name


@pytest.fixture
def deny_list() -> MemoryDenyList:
    return MemoryDenyList(capacity=100)


@pytest.fixture
async def socket(tmp_path: Path, deny_list: MemoryDenyList) -> AsyncIterator[Path]:
    path = tmp_path / "admin.sock"
    front = AdminFront(
        port_app(CollectorRegistry(), Readiness(dict), NoDocuments()),
        socket_app(deny_list, StillClock(), {ISSUER: make_profile()}),
    )
    await front.start(host="127.0.0.1", port=0, socket=path)
    yield path
    await front.stop()


async def deny(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, output and errors of one command."""
    process = await asyncio.create_subprocess_exec(
        SCOPEGATE,
        "deny",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_deny_add_refuses_from_then_on(socket: Path, deny_list: MemoryDenyList) -> None:
    """What was added holds at once, lists, and can be lifted."""
    agent = make_agent(issuer=ISSUER)
    target = ("--socket", socket, *OF, "--agent", agent.agent)

    assert (await deny("add", *target, "--for", "60", "--reason", "leaked"))[0] == 0
    assert deny_list.find(agent, now=NOW) is not None
    _, listed, _ = await deny("list", "--socket", socket)
    assert json.loads(listed)["key"]["value"] == agent.agent
    assert json.loads(listed)["until"] == NOW + 60
    assert (await deny("remove", *target))[0] == 0
    assert deny_list.find(agent, now=NOW) is None
    status, _, error = await deny("remove", *target)
    assert (status, "no such entry" in error) == (1, True)


@pytest.mark.parametrize("kind", ["jti", "agent", "task", "session", "chain"])
async def test_deny_add_takes_every_kind(
    socket: Path, deny_list: MemoryDenyList, kind: str
) -> None:
    """Each kind has its option."""
    assert (await deny("add", "--socket", socket, *OF, f"--{kind}", "x-1"))[0] == 0
    assert [entry.key.kind.value for entry in deny_list.entries(now=NOW)] == [kind]


async def test_deny_add_readmits_whoever_is_issued_later(
    socket: Path, deny_list: MemoryDenyList
) -> None:
    """``--issued-before`` leaves newer tokens alone."""
    before = ("--issued-before", str(int(NOW)))
    await deny("add", "--socket", socket, *OF, "--agent", "agent-1", *before)

    assert deny_list.find(make_agent(issuer=ISSUER, issued_at=NOW - 1), now=NOW) is not None
    assert deny_list.find(make_agent(issuer=ISSUER, issued_at=NOW), now=NOW) is None


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ((*OF,), 2, "exactly one of --jti"),
        ((*OF, "--jti", "a", "--task", "b"), 2, "exactly one of --jti"),
        ((*OF, "--agent", "a", "--for", "0"), 1, "lasts"),
        (("--issuer", ISSUER, "--agent", "a"), 1, "tenant"),
        ((*OF, "--kid", "k"), 1, "tenant"),
        (("--issuer", f"{ISSUER}x", "--kid", "k"), 1, f"issuer: {MEANT} '{ISSUER}'?"),
        ((*OF[:2], "--tenant", "acmee", "--jti", "a"), 1, f"tenant: {MEANT} 'acme'?"),
        ((*OF, "--agent", "a" * 300), 1, "1 to 256 visible ASCII characters"),
        ((*OF, "--agent", "a" * 100_000), 1, "must have at most 4096 bytes"),
    ],
)
async def test_deny_add_says_what_is_wrong(
    socket: Path, deny_list: MemoryDenyList, arguments: tuple[str, ...], status: int, says: str
) -> None:
    """A mistake names its option, and nothing is denied, nor said to be."""
    ended, said, error = await deny("add", "--socket", socket, *arguments)

    assert (ended, says in error, said) == (status, True, "")
    assert len(deny_list) == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--issuer", f"{ISSUER}x", "--kid", "k"), f"issuer: {MEANT} '{ISSUER}'?"),
        ((*OF[:2], "--tenant", "acmee", "--jti", "a"), f"tenant: {MEANT} 'acme'?"),
        ((*OF, "--agent", "a" * 100_000), "the answer was 400 Bad Request; is it too long?"),
    ],
)
async def test_deny_remove_says_what_is_wrong(
    socket: Path, arguments: tuple[str, ...], says: str
) -> None:
    """A typo is no entry that is gone, and no sidecar that does not answer."""
    ended, _, error = await deny("remove", "--socket", socket, *arguments)

    assert (ended, says in error) == (1, True)


async def test_every_option_says_what_it_is_for() -> None:
    """No option of the deny commands is left to guess."""
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    options = [option for command in group.commands.values() for option in command.params]

    assert len(options) > 15
    assert [option.name for option in options if not getattr(option, "help", None)] == []


async def test_deny_says_when_nobody_listens(tmp_path: Path) -> None:
    """A revocation that reached nobody is an error of its own."""
    status, _, error = await deny("list", "--socket", tmp_path / "none.sock")

    assert status == 3
    assert "no sidecar or relay answers" in error
