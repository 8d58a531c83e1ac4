"""``scopegate deny relay`` as an operator runs it: processes, signals, commands, files."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.redis_server import Process, RedisServer, asking, eventually
from tests.relay_kit import FeedReader, RelayFolder, agent
from tests.tokens import ISSUER

SCOPEGATE = str(Path(sys.executable).with_name("scopegate"))
OF = ("--issuer", ISSUER, "--tenant", "acme")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(tmp_path / "redis") as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, server: RedisServer) -> RelayFolder:
    return RelayFolder(tmp_path / "relay", server.socket)


class Relay(Process):
    """A relay that is a process."""

    def __init__(self, relay: RelayFolder) -> None:
        super().__init__(relay.folder)
        self._relay = relay

    async def start(self, *options: str) -> Relay:
        """Start, and wait until it answers."""
        self.run(SCOPEGATE, "deny", "relay", "--config", str(self._relay.config), *options)
        await eventually(self._answers, "the relay answers")
        return self

    async def end(self) -> int:
        """``SIGTERM``; the exit status."""
        assert self._running is not None
        self._running.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self._running.wait, 15)

    async def _answers(self) -> bool:
        assert self.running(), self.output
        try:
            return (await self._relay.ask("GET"))[0] == 200
        except OSError:
            return False


@pytest.fixture
async def relay(folder: RelayFolder) -> AsyncIterator[Relay]:
    made = Relay(folder)
    yield await made.start("--init")
    made.kill()


async def scopegate(*arguments: str | Path, send: str = "") -> tuple[int, str, str]:
    """Exit status, output and errors of one command."""
    process = await asyncio.create_subprocess_exec(
        SCOPEGATE,
        "deny",
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(send.encode())
    return process.returncode or 0, out.decode(), err.decode()


async def read_all(folder: RelayFolder, server: RedisServer) -> set[str] | None:
    """What a new reader holds; None when it is not complete."""
    async with asking(server.target) as redis:
        reader = FeedReader(redis, folder.keys)
        complete = await reader.read()
        return reader.holds if complete and not reader.forged else None


async def test_commands_work_with_a_relay_as_with_a_sidecar(
    folder: RelayFolder, relay: Relay, server: RedisServer
) -> None:
    """The same add, list and remove; the relay's socket instead of the sidecar's."""
    target = ("--socket", folder.socket, *OF, "--agent", "a-1")
    status, said, _ = await scopegate("add", *target, "--for", "60", "--reason", "leaked")
    assert (status, said) == (0, f"denied: agent a-1 of acme at {ISSUER}, 60 s\n")
    _, listed, _ = await scopegate("list", "--socket", folder.socket)
    assert json.loads(listed)["reason"] == "leaked"
    assert await read_all(folder, server) == {"a-1"}

    status, said, _ = await scopegate("remove", *target)
    assert (status, said) == (0, f"lifted: agent a-1 of acme at {ISSUER}\n")
    status, _, error = await scopegate("remove", *target)
    assert (status, "no such entry" in error) == (1, True)
    assert await read_all(folder, server) == set()
    assert await relay.end() == 0


async def test_command_says_when_a_revocation_is_kept_and_not_published(
    folder: RelayFolder, relay: Relay, server: RedisServer
) -> None:
    """Whoever revokes in an emergency must not believe that it holds already."""
    server.kill()
    target = ("--socket", folder.socket, *OF, "--agent", "a-1")
    added = await scopegate("add", *target)
    lifted = await scopegate("remove", *target)

    assert added[0] == lifted[0] == 0
    assert added[1].startswith("kept, will be denied as soon as the relay reaches Redis: agent a-1")
    assert lifted[1].startswith("kept, will be lifted as soon as")
    assert relay.running()


async def test_relay_loses_nothing_when_killed_between_disk_and_redis(
    folder: RelayFolder, relay: Relay, server: RedisServer
) -> None:
    """Kept is kept: the next start publishes what the last one could not."""
    await folder.deny("a")
    await server.ask("SAVE")
    server.kill()
    assert not await folder.deny("b")
    relay.kill()
    await server.start()
    assert await read_all(folder, server) == {"a"}

    await relay.start()
    assert await read_all(folder, server) == {"a", "b"}
    assert await folder.deny("c")
    assert await read_all(folder, server) == {"a", "b", "c"}


async def test_relay_keeps_all_that_it_answered_when_killed_in_a_burst(
    folder: RelayFolder, relay: Relay, server: RedisServer
) -> None:
    """SIGKILL in the middle: every answer before it was true."""
    answered: set[str] = set()

    async def burst() -> None:
        for n in range(10_000):
            await folder.deny(f"a-{n}")
            answered.add(f"a-{n}")

    burst_of_adds = asyncio.create_task(burst())
    await eventually(lambda: len(answered) > 50, "the burst is under way")
    relay.kill()
    with pytest.raises((OSError, aiohttp.ClientError)):
        await burst_of_adds
    await relay.start()

    held = await read_all(folder, server)
    assert held is not None
    assert answered <= held
    assert len(held - answered) <= 1


async def test_relay_drains_when_told_to_end(
    folder: RelayFolder, relay: Relay, server: RedisServer
) -> None:
    """SIGTERM: who is being served gets an answer, and Redis gets what was kept."""
    wanted = [asyncio.create_task(folder.deny(f"a-{n}")) for n in range(20)]
    await asyncio.wait(wanted, return_when=asyncio.FIRST_COMPLETED)
    ended = await relay.end()
    served = {
        f"a-{n}"
        for n, one in enumerate(await asyncio.gather(*wanted, return_exceptions=True))
        if isinstance(one, bool)
    }

    assert ended == 0
    assert served
    held = await read_all(folder, server)
    assert held is not None
    assert served <= held
    assert '"stopped"' in relay.output


async def test_second_relay_does_not_start(folder: RelayFolder, relay: Relay) -> None:
    """Neither on the same journal, nor on the same socket."""
    status, _, error = await scopegate("relay", "--config", folder.config)
    assert (status, "is in use: another relay is running" in error) == (2, True)
    folder.write(journal=str(folder.folder / "other.db"), feed="other")
    status, _, error = await scopegate("relay", "--config", folder.config, "--init")
    assert (status, "another process does" in error) == (1, True)
    assert relay.running()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "needs --init"),
        (("--new-feed",), "needs --init"),
        (("--init", "--new-feed"), "give --init for a first start"),
    ],
)
async def test_relay_begins_a_feed_only_when_told_to(
    folder: RelayFolder, options: tuple[str, ...], says: str
) -> None:
    """A missing volume ends in words, and makes no file."""
    status, _, error = await scopegate("relay", "--config", folder.config, *options)

    assert (status, says in error) == (2, True)
    assert not folder.journal.exists()


async def test_relay_does_not_begin_twice(folder: RelayFolder, relay: Relay) -> None:
    """--init left in a unit file does not forget who is revoked."""
    await folder.deny("a")
    await relay.end()
    status, _, error = await scopegate("relay", "--config", folder.config, "--init")
    assert (status, "is there already" in error) == (2, True)
    await relay.start()
    assert await folder.listed() == {"a"}


async def test_relay_says_what_is_wrong_with_its_settings(folder: RelayFolder) -> None:
    """File, line, field; no traceback, and no word of a key."""
    (folder.folder / "key.pem").chmod(0o644)
    folder.write(jurnal="x")
    unknown = await scopegate("relay", "--config", folder.config, "--init")
    del folder.settings["jurnal"]
    folder.write()
    readable = await scopegate("relay", "--config", folder.config, "--init")

    assert unknown[0] == readable[0] == 2
    assert f"{folder.config}:" in unknown[2]
    assert "jurnal: is not known; did you mean 'journal'?" in unknown[2]
    assert "key: others than its owner may use it: chmod 600" in readable[2]
    assert "PRIVATE" not in unknown[2] + readable[2]


async def test_keygen_makes_what_a_relay_needs(folder: RelayFolder) -> None:
    """It says what each file is for, prints no key, and overwrites none."""
    out, public = folder.folder / "new.pem", folder.folder / "keys.json"
    status, said, _ = await scopegate("keygen", "--out", out, "--public", public)
    secret = out.read_text().splitlines()[1]
    assert (status, len(folder.keys)) == (0, 2)
    assert f"{out}: private" in said
    assert f"{public}: public" in said
    assert secret not in said

    status, _, error = await scopegate("keygen", "--out", out, "--public", public)
    assert (status, "File exists" in error) == (1, True)
    assert out.read_text().splitlines()[1] == secret


async def test_file_of_20000_revocations_is_published_at_once(
    folder: RelayFolder,
    relay: Relay,
    server: RedisServer,
    record_property: Callable[[str, object], None],
) -> None:
    """A script revokes a whole fleet; every one is on the disk and in Redis at the end."""
    values = {f"a-{n}" for n in range(20_000)}
    source = folder.folder / "many.jsonl"
    write_lines(source, [{"kind": "agent", "value": value} for value in sorted(values)])
    began = time.monotonic()
    status, said, error = await scopegate(
        "add", "--socket", folder.socket, *OF, "--for", "600", "--from", source
    )
    record_property("seconds", time.monotonic() - began)

    assert (status, said, error) == (0, "denied: 20000 entries\n", "")
    assert await read_all(folder, server) == values
    assert relay.running()


def write_lines(path: Path, entries: list[dict[str, object]]) -> None:
    path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))


@pytest.mark.usefixtures("relay")
async def test_file_names_its_line_at_fault(folder: RelayFolder) -> None:
    """What came before in whole chunks holds, and the message says so."""
    good = json.dumps(agent("a"))
    many = "\n".join(json.dumps(agent(f"m-{n}")) for n in range(1000))
    place, none = "standard input:", "; no entry is denied"
    for text, says, so_far in [
        (f"\n{good}\nno json\n", f"{place}3: must be a JSON object", none),
        ("[1]", f"{place}1: must be a JSON object", none),
        (f'{good}\n\n{{"kind": "agent"}}', f"{place}3: Object missing required field", none),
        (
            f'{many}\n{{"kind": "moon", "value": "x"}}',
            f"{place}1001: Invalid enum value",
            "; the first 1000 entries are denied",
        ),
    ]:
        add = ("add", "--socket", folder.socket, *OF, "--from", "-")
        status, said, error = await scopegate(*add, send=text)
        assert (status, said) == (1, "")
        assert says in error
        assert error.endswith(f"{so_far}\n")

    assert await folder.listed() == {f"m-{n}" for n in range(1000)}


@pytest.mark.usefixtures("relay")
async def test_file_may_leave_out_what_the_options_say(folder: RelayFolder) -> None:
    """A line's own word goes before an option; a key has no tenant."""
    lines = '{"kind":"agent","value":"a","tenant":"globex"}\n{"kind":"kid","value":"k"}\n'
    options = ("--socket", folder.socket, *OF, "--reason", "leak")
    status, _, error = await scopegate("add", *options, "--from", "-", send=lines)
    _, answer = await folder.ask("GET")

    assert (status, error) == (0, "")
    assert {(e["key"]["value"], e["key"]["tenant"], e["reason"]) for e in answer["entries"]} == {
        ("a", "globex", "leak"),
        ("k", "", "leak"),
    }


async def test_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """So is one beside an option that says something else, and a socket that nobody serves."""
    add = ("add", "--socket", tmp_path / "none", *OF, "--from")
    (tmp_path / "latin").write_bytes(b"\xff\n")
    assert await scopegate(*add, tmp_path / "gone") == (
        1,
        "",
        f"scopegate deny: {tmp_path}/gone cannot be read: FileNotFoundError\n",
    )
    assert "latin cannot be read" in (await scopegate(*add, tmp_path / "latin"))[2]
    status, _, error = await scopegate(*add, "-", "--agent", "a")
    assert (status, "each line names its kind" in error) == (2, True)
    status, _, error = await scopegate(*add, "-", send='{"kind":"agent","value":"a"}')
    assert (status, "no sidecar or relay answers" in error) == (3, True)


def in_python(code: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_relay_names_the_extra_that_it_needs() -> None:
    """A bare installation has no client of Redis."""
    status, said = in_python(
        "import sys; sys.modules['redis'] = None\n"
        "sys.argv = ['scopegate', 'deny', 'relay', '--config', 'x']\n"
        "from sidecar.cli import main; main()"
    )

    assert (status, "pip install 'scopegate[redis]'" in said) == (2, True)


@pytest.mark.parametrize("command", ["", "keygen", "relay", "add"])
def test_help_is_instant(command: str) -> None:
    """Nothing is imported that only running needs."""
    status, said = in_python(
        f"import sys; sys.argv = ['scopegate', 'deny', *{command.split()}, '--help']\n"
        "from sidecar.cli import app\n"
        "app(standalone_mode=False)\n"
        "print({'aiohttp', 'redis', 'cryptography', 'structlog', 'sqlite3'} & set(sys.modules))"
    )

    assert (status, said.strip().splitlines()[-1]) == (0, "set()")
