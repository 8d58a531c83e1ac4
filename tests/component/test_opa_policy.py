"""``OpaPolicy`` over a real OPA, and over one that misbehaves: what is an outage, what is not."""

from __future__ import annotations

import asyncio
import errno
import json
import re
import shutil
import socket as sockets
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import structlog
from aiohttp import web

from examples.demo.program import until
from sidecar.adapters.opa_client import MAX_ANSWER, OpaClient
from sidecar.adapters.opa_policy import MAX_DOCUMENT, OpaAddress, OpaPolicy, ProbeTimes
from sidecar.adapters.regorus_policy import MAX_DOCUMENT as MAX_DOCUMENT_EMBEDDED
from sidecar.clock import SystemClock
from sidecar.core.model import (
    Access,
    Action,
    Call,
    Dependency,
    Question,
    Refused,
    Ruling,
    ToolCall,
    Unavailable,
)
from sidecar.core.question import question_of
from sidecar.core.reasons import Reason
from tests.fake_opa import Answer, FakeOpa, hang_up, pouring, saying, silence
from tests.opa_server import REVISION, RULING, OpaServer
from tests.real_parts import opa_binary
from tests.values import AGENT, NOW, make_call

ENTRYPOINT = "data.scopegate.ruling"
TOKEN = "the-token-of-the-secret"
SECRET = "s3cr3t-of-the-caller"
CLOCK = SystemClock()
RARELY = ProbeTimes(idle_s=3600.0)
"""Nothing but a doubt makes it probe."""

# Rules on what the caller's argument "do" says.
FAULTY = """package scopegate

do := input.tool.arguments.do

default ruling := {"action": "deny", "reason": "fine"}

ruling := {"action": "allow"} if do == "allow"

ruling := conflict if do == "conflict"

ruling := {"action": "allow"} if {
	do == "conflict inside"
	not conflict
}

ruling := {"action": "allow"} if {
	do == "type"
	not startswith(input.tool.arguments.list, "a")
}

ruling := {"action": "allow"} if {
	do == "loop"
	count([1 | some x in list; some y in list; x == y]) > 0
}

ruling := {"action": "allow", "detail": concat(list[0], ["", "", "", "", "", ""])} if do == "large"

list := input.tool.arguments.list

conflict := 1 if do

conflict := 2 if do
"""
SLOW = list(range(4000))


def question(do: str, **arguments: Any) -> Question:
    tool = ToolCall("tools/call", "t", {"do": do, "secret": SECRET, **arguments}, 1)
    call: Call = make_call(access=Access.WRITE, tool=tool)
    return question_of(call, AGENT, now=NOW, revision="r")


async def ask(
    policy: OpaPolicy, asked: Question | str = "allow", *, seconds: float = 5.0
) -> Ruling | Refused:
    """Ask with that much time; it holds for every question of these tests that it is kept to."""
    asked = question(asked) if isinstance(asked, str) else asked
    deadline = CLOCK.monotonic() + seconds
    try:
        return await policy.rule_on(asked, deadline=deadline)
    finally:
        # Half a second for a busy machine; who waits for OPA instead, waits for hours.
        assert CLOCK.monotonic() < deadline + 0.5


async def refused(
    policy: OpaPolicy,
    asked: Question | str = "allow",
    *,
    seconds: float = 5.0,
    reason: Reason = Reason.POLICY_ERROR,
) -> str:
    """Ask, and the detail of the refusal."""
    ruling = await ask(policy, asked, seconds=seconds)
    assert isinstance(ruling, Refused), ruling
    assert ruling.reason is reason
    assert SECRET not in ruling.detail
    assert "\n" not in ruling.detail
    return ruling.detail


async def unavailable(policy: OpaPolicy, *, seconds: float = 5.0) -> None:
    with pytest.raises(Unavailable) as outage:
        raise AssertionError(await ask(policy, seconds=seconds))
    assert outage.value.dependency is Dependency.POLICY


class Opened:
    """Opens policies, and closes them when the test is over."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self.stack = stack

    async def at(
        self,
        address: OpaAddress | Path,
        *,
        token: str = TOKEN,
        concurrency: int = 64,
        times: ProbeTimes | None = None,
    ) -> OpaPolicy:
        policy = OpaPolicy(
            address=OpaAddress(address) if isinstance(address, Path) else address,
            entrypoint=ENTRYPOINT,
            token=token,
            clock=CLOCK,
            concurrency=concurrency,
            times=times,
        )
        self.stack.push_async_callback(policy.close)
        await policy.start()
        return policy


@pytest_asyncio.fixture
async def opened() -> AsyncIterator[Opened]:
    async with AsyncExitStack() as stack:
        yield Opened(stack)


@pytest.fixture
def folder() -> Any:
    """A path short enough for a socket."""
    path = Path(tempfile.mkdtemp(prefix="opa"))
    yield path
    shutil.rmtree(path)


@pytest_asyncio.fixture
async def opa(folder: Path) -> AsyncIterator[OpaServer]:
    """One of its own for each test that hurts it."""
    async with OpaServer(opa_binary(), faulty(folder), TOKEN, folder / "s") as server:
        yield server


@pytest_asyncio.fixture
async def fake(folder: Path) -> AsyncIterator[FakeOpa]:
    async with FakeOpa(folder / "s") as server:
        yield server


def faulty(folder: Path) -> Path:
    (policies := folder / "policies").mkdir()
    (policies / "policy.rego").write_text(FAULTY)
    return policies


# --- what OPA says ------------------------------------------------------------------------------


async def test_policy_rules_over_loopback_too(folder: Path, opened: Opened) -> None:
    """A Unix socket is not the only way."""
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    policies = faulty(folder)
    async with OpaServer(opa_binary(), policies, TOKEN, folder / "s", port=port):
        policy = await opened.at(OpaAddress(host="127.0.0.1", port=port))

        assert await ask(policy) == Ruling(Action.ALLOW)


async def test_revision_is_what_opa_has_loaded(opa: OpaServer, opened: Opened) -> None:
    """Known before the first caller asks; unknown before OPA was there."""
    policy = await opened.at(opa.socket)

    assert policy.revision == REVISION
    assert OpaPolicy(
        address=OpaAddress(opa.socket), entrypoint=ENTRYPOINT, token="", clock=CLOCK, concurrency=1
    ).revision == ("unknown")


@pytest.mark.parametrize(
    ("bundles", "revision"),
    [
        ({}, "unknown"),
        ({"a": {}}, "unknown"),
        ({"a": {"revision": ""}, "b": {"revision": "v1.2"}}, "v1.2"),
        ({"a": {"revision": "x\ny"}}, None),
        ({"a": {"revision": "1"}, "b": {"revision": "2"}}, None),
    ],
)
async def test_revision_follows_every_answer(
    fake: FakeOpa, opened: Opened, bundles: dict[str, Any], revision: str | None
) -> None:
    """One plain word as it is; otherwise a digest, that changes with what is loaded."""
    policy = await opened.at(fake.socket)
    answer = {"result": {"action": "allow"}, "provenance": {"bundles": bundles}}
    fake.question = saying(json.dumps(answer).encode())
    await ask(policy)

    if revision is None:
        assert re.fullmatch(r"[0-9a-f]{16}", policy.revision)
    else:
        assert policy.revision == revision


async def test_question_is_sent_as_it_is(fake: FakeOpa, opened: Opened) -> None:
    """Byte for byte, below one member."""
    policy = await opened.at(fake.socket)
    asked = Question(b'{"a": 1.0,\n"b":"\\u00e9"}')
    await ask(policy, asked)

    assert fake.questions[-1] == b'{"input":%b}' % asked.document


# --- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("do", "word"),
    [
        ("conflict", "eval_conflict_error"),
        ("conflict inside", "eval_conflict_error"),
        ("type", "eval_type_error"),
    ],
)
async def test_error_of_evaluation_is_refused_with_its_place(
    opa: OpaServer, opened: Opened, do: str, word: str
) -> None:
    """Errors of builtins too; OPA's text, which quotes the caller, is left out."""
    detail = await refused(await opened.at(opa.socket), question(do, list=[SECRET]))

    assert "policy.rego:" in detail
    assert detail.endswith(f": {word}")


async def test_answer_is_refused_when_it_is_too_large(opa: OpaServer, opened: Opened) -> None:
    """A real ruling that a caller's list made larger than 256 KiB; the next one is answered."""
    policy = await opened.at(opa.socket)
    assert isinstance(await ask(policy, question("large", list=["x" * 40_000])), Ruling)
    detail = await refused(policy, question("large", list=["x" * 60_000]))
    assert "too large" in detail
    assert await ask(policy) == Ruling(Action.ALLOW)


@pytest.mark.parametrize(
    "answer",
    [
        pouring(10),
        saying(b'{"result":{"action":"allow","detail":"' + b"x" * MAX_ANSWER + b'"}}'),
        saying(b"{}"),
        saying(b'{"result":null}'),
        saying(b'{"result":{"action":"allow"}'),
        saying(b""),
        saying(b"\xff"),
        saying(b"[" * 100_000),
        saying(b'{"result":{"action":"allow"}}', 500),
        saying(b'{"result":{"action":"allow"}}', 404),
        saying(b'{"result":{"action":"allow"}}', 302, Location="/health"),
        saying(b'{"result":{"action":"allow"}}', Content_Encoding="deflate"),
        saying(b'{"code":"' + SECRET.encode() + b'\\n","message":"m"}', 400),
        saying(b'{"code":"a","errors":[{"code":"e","location":{"file":"a\\nb","row":1}}]}', 500),
    ],
    ids=range(14),
)
async def test_answer_is_refused_when_it_is_no_ruling(
    fake: FakeOpa, opened: Opened, answer: Answer
) -> None:
    """Undefined, malformed, oversized, compressed, moved, or with another status: all refused."""
    policy = await opened.at(fake.socket)
    fake.question = answer
    await refused(policy)

    assert policy.reachable


async def test_redirect_is_not_followed(fake: FakeOpa, opened: Opened) -> None:
    """Whoever answers does not choose who is asked."""
    policy = await opened.at(fake.socket)
    fake.health = saying(b'{"result":{"action":"allow"}}')
    fake.question = saying(b"", 302, Location="/health")

    assert await refused(policy) == "OPA answered with status 302"


@pytest.mark.parametrize("document", [b"", b" ", b"{", b"\xff", b"nul", b'{},"input":{}', b"{}}"])
async def test_question_is_refused_unasked_when_it_is_no_json(
    fake: FakeOpa, opened: Opened, document: bytes
) -> None:
    """What could end the member that it stands in never leaves this process."""
    policy = await opened.at(fake.socket)
    before = len(fake.questions)
    await refused(policy, Question(document))

    assert len(fake.questions) == before


async def test_question_is_refused_unasked_when_it_is_too_large(
    fake: FakeOpa, opened: Opened
) -> None:
    """The same limit as the embedded engine's."""
    policy = await opened.at(fake.socket)
    padded = b'"%b"' % (b"x" * (MAX_DOCUMENT - 2))

    assert MAX_DOCUMENT == MAX_DOCUMENT_EMBEDDED
    assert await ask(policy, Question(padded)) == Ruling(Action.ALLOW)
    assert "larger than" in await refused(policy, Question(padded + b" "))


async def test_more_questions_than_allowed_are_refused(fake: FakeOpa, opened: Opened) -> None:
    """An explicit refusal, not an outage; and when others have their answers, it may ask."""
    policy = await opened.at(fake.socket, concurrency=2)
    release, answer = asyncio.Event(), fake.question
    before = len(fake.questions)

    async def held(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return await answer(request)

    fake.question = held
    asking = [asyncio.create_task(ask(policy, seconds=60)) for _ in range(2)]
    await fake.asked(before + 2)
    await refused(policy, reason=Reason.OVERLOADED)
    release.set()

    assert await asyncio.gather(*asking) == [Ruling(Action.ALLOW)] * 2
    assert await ask(policy) == Ruling(Action.ALLOW)


async def test_own_trouble_is_a_refusal(
    fake: FakeOpa, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No free file descriptor: callers can bring that about, so it says nothing of OPA."""
    policy = await opened.at(fake.socket, times=RARELY)

    async def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_unix_connection", full)
    await refused(policy, reason=Reason.OVERLOADED)
    policy._health.doubt()
    await policy._health.verdict()

    assert policy.reachable


# --- the token ----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "another"])
async def test_opa_refuses_who_has_not_the_token(
    opa: OpaServer, opened: Opened, token: str
) -> None:
    """A mistake of the operator's: refusals, an error in the log, and OPA counts as there."""
    with structlog.testing.capture_logs() as logs:
        policy = await opened.at(opa.socket, token=token)

    assert await refused(policy) == "unauthorized"
    assert policy.reachable
    assert "opa_does_not_let_us_ask" in {line["event"] for line in logs}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/policies/mine"),
        ("PUT", RULING),
        ("GET", RULING),
        ("PUT", "/v1/data/limits"),
        ("GET", "/v1/data"),
        ("POST", "/v1/data/scopegate"),
        ("POST", "/v1/query"),
        ("GET", "/v1/config"),
    ],
)
async def test_opa_lets_the_token_ask_the_one_question_only(
    opa: OpaServer, method: str, path: str
) -> None:
    """Nobody puts a policy, not even who may ask."""
    assert (await opa.ask(method, path, token=TOKEN, body={}))[0] == 401
    assert (await opa.ask("POST", RULING, token=TOKEN, body={}))[0] == 200


async def test_nothing_prints_the_token_or_the_question(opa: OpaServer, opened: Opened) -> None:
    """Neither OPA's output nor what we log, raise or show; errors of evaluation included."""
    with structlog.testing.capture_logs() as logs:
        policy = await opened.at(opa.socket)
        for do in ("allow", "conflict", "type"):
            await ask(policy, question(do, list=[SECRET]))
        opa.kill()
        with pytest.raises(Unavailable) as outage:
            await ask(policy)

    printed = opa.log.read_text()
    assert "Decision Log" in printed
    for text in (printed, repr(logs), repr(policy), repr(vars(policy)), repr(outage.value)):
        assert TOKEN not in text
        assert SECRET not in text


# --- outages, and what is none ------------------------------------------------------------------


async def test_dead_opa_is_unavailable_until_it_is_back(opa: OpaServer, opened: Opened) -> None:
    """``kill -9``: the kernel refuses; after the restart, nothing else is needed."""
    policy = await opened.at(opa.socket)
    opa.kill()
    await unavailable(policy)
    await until(lambda: _is(not policy.reachable), "the probes to notice")
    await opa.start()
    await until(lambda: _is(policy.reachable), "the probes to notice again")

    assert await ask(policy) == Ruling(Action.ALLOW)


async def test_absent_opa_is_not_probed_more_often_by_those_who_ask(
    folder: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pace of the probes is its own."""
    policy = await opened.at(folder / "s", times=ProbeTimes(absent_s=3600))
    probes = 0

    async def count() -> None:
        nonlocal probes
        probes += 1

    monkeypatch.setattr(policy._health, "_probe", count)
    for _ in range(20):
        policy._health.doubt()
        await unavailable(policy)
        await asyncio.sleep(0)

    assert probes == 0


async def test_policy_starts_when_opa_is_not_there_yet(folder: Path, opened: Opened) -> None:
    """No socket at all; then one."""
    policy = await opened.at(folder / "s")
    await unavailable(policy)

    async with OpaServer(opa_binary(), faulty(folder), TOKEN, folder / "s"):
        await until(lambda: _is(policy.reachable), "the probes to notice")

        assert await ask(policy) == Ruling(Action.ALLOW)
        assert policy.revision == REVISION


async def test_hung_opa_is_unavailable_until_it_goes_on(opa: OpaServer, opened: Opened) -> None:
    """``SIGSTOP``: the first call knows by its deadline, and later ones do not wait."""
    policy = await opened.at(opa.socket, times=RARELY)
    await ask(policy)
    opa.stop()
    try:
        await unavailable(policy, seconds=1.0)
        await until(lambda: _is(not policy.reachable), "the probes to notice")
        async with asyncio.timeout(30):
            await unavailable(policy, seconds=3600)
    finally:
        opa.cont()
    await until(lambda: _is(policy.reachable), "the probes to notice again")

    assert await ask(policy) == Ruling(Action.ALLOW)


async def test_hung_opa_is_noticed_without_a_call(opa: OpaServer, opened: Opened) -> None:
    """The idle probe finds it."""
    policy = await opened.at(opa.socket)
    opa.stop()
    try:
        await until(lambda: _is(not policy.reachable), "the probes to notice")
    finally:
        opa.cont()


async def test_kept_connection_to_an_opa_that_went_is_asked_again(
    opa: OpaServer, opened: Opened
) -> None:
    """OPA was started again between two calls: nobody notices."""
    policy = await opened.at(opa.socket, times=RARELY)
    await ask(policy)
    opa.kill()
    await opa.start()

    assert await ask(policy) == Ruling(Action.ALLOW)


async def test_slow_evaluation_is_no_outage(opa: OpaServer, opened: Opened) -> None:
    """What a caller sent takes too long: a refusal, and the next call is answered."""
    policy = await opened.at(opa.socket)
    slow = question("loop", list=SLOW)

    assert await refused(policy, slow, seconds=0.5) == "evaluation took too long"
    assert policy.reachable
    assert await ask(policy) == Ruling(Action.ALLOW)


async def test_slow_question_is_hung_up_on_when_health_answers(
    fake: FakeOpa, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at its deadline, which is days away: OPA learns that nobody waits, and stops."""
    monkeypatch.setattr("sidecar.adapters.opa_policy._LONGEST_S", 1e6)
    monkeypatch.setattr("sidecar.adapters.opa_policy._UNDOUBTED", 1e-7)
    policy = await opened.at(fake.socket, times=RARELY)
    fake.question = silence
    async with asyncio.timeout(30):
        assert await refused(policy, seconds=1e6) == "evaluation took too long"
        await fake.left.wait()


async def test_no_flood_of_slow_questions_brings_an_outage_about(
    opa: OpaServer, opened: Opened
) -> None:
    """Many at once keep even ``/health`` waiting: refusals, all of them, and OPA stays there."""
    policy = await opened.at(opa.socket, concurrency=64)
    slow = question("loop", list=SLOW)

    async def flood() -> None:
        for _ in range(4):
            ruling = await ask(policy, slow, seconds=0.3)
            assert isinstance(ruling, Refused)
            assert ruling.reason in {Reason.POLICY_ERROR, Reason.OVERLOADED}
            assert policy.reachable

    await asyncio.gather(*(flood() for _ in range(32)))


@pytest.mark.parametrize("health", [silence, hang_up])
async def test_silent_health_is_no_outage_while_questions_are_under_way(
    fake: FakeOpa, opened: Opened, health: Answer
) -> None:
    """They may be why it is silent: a doubt, explicit refusals, and the verdict after them."""
    policy = await opened.at(fake.socket, times=RARELY)
    healthy = fake.health
    fake.question, fake.health = silence, health
    asking = [asyncio.create_task(ask(policy, seconds=1.0)) for _ in range(8)]
    rulings = await asyncio.gather(*asking)

    assert policy.reachable
    assert {ruling.reason for ruling in rulings if isinstance(ruling, Refused)} == {
        Reason.POLICY_ERROR
    }
    # Nothing more goes out while OPA is doubted.
    sent = len(fake.questions)
    await refused(policy, seconds=0.1, reason=Reason.OVERLOADED)
    assert len(fake.questions) == sent
    # They have ended, and it is silent still.
    await until(lambda: _is(not policy.reachable), "the probes to decide")
    await unavailable(policy)
    fake.health = healthy
    await until(lambda: _is(policy.reachable), "the probes to notice")


async def test_doubt_ends_when_health_answers(fake: FakeOpa, opened: Opened) -> None:
    """Who waited through it is asked."""
    policy = await opened.at(fake.socket, times=RARELY)
    healthy, answer = fake.health, fake.question
    fake.question = fake.health = silence
    await asyncio.gather(*(ask(policy, seconds=0.5) for _ in range(8)))
    asking = asyncio.create_task(ask(policy, seconds=30))
    fake.health, fake.question = healthy, answer

    assert await asking == Ruling(Action.ALLOW)


async def test_answer_counts_while_the_probe_is_out(fake: FakeOpa, opened: Opened) -> None:
    """Slow, but in time: nothing is refused because health was asked meanwhile."""
    policy = await opened.at(fake.socket, times=RARELY)
    probed, answer = asyncio.Event(), fake.question

    async def late(request: web.Request) -> web.StreamResponse:
        await probed.wait()
        return await answer(request)

    async def silent(request: web.Request) -> web.StreamResponse:
        probed.set()
        return await silence(request)

    fake.question, fake.health = late, silent

    assert await ask(policy, seconds=1.0) == Ruling(Action.ALLOW)


async def test_hanging_up_on_a_question_is_no_outage(fake: FakeOpa, opened: Opened) -> None:
    """A caller may have found what crashes a handler: asked twice, refused, and OPA is there."""
    policy = await opened.at(fake.socket, times=RARELY)
    before = len(fake.questions)
    fake.question = hang_up

    assert await refused(policy) == "OPA hung up"
    assert len(fake.questions) == before + 2
    assert policy.reachable


@pytest.mark.parametrize("health", [saying(b"{}", 500), saying(b"{}", 401), saying(b"")])
async def test_opa_is_there_when_health_says_anything(
    fake: FakeOpa, opened: Opened, health: Answer
) -> None:
    """A sick one, or one that is set up wrongly, answers questions itself: with refusals."""
    fake.health = health

    assert (await opened.at(fake.socket)).reachable


async def test_closed_connections_on_probes_are_silence(fake: FakeOpa, opened: Opened) -> None:
    """An OPA that accepts and hangs up on everything is absent, after the same patience."""
    policy = await opened.at(fake.socket, times=RARELY)
    fake.question = fake.health = hang_up
    await until(lambda: _out(policy), "the outage")


async def test_probes_go_on_when_one_fails_unexpectedly(
    fake: FakeOpa, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in a probe is logged by its type, and does not end the probes."""
    policy = await opened.at(fake.socket, times=ProbeTimes(idle_s=0.05))
    seen = asyncio.Event()

    async def broken() -> None:
        seen.set()
        raise RuntimeError(SECRET)

    with structlog.testing.capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(policy._health, "_probe", broken)
        await seen.wait()
        await until(lambda: _is(bool(logs)), "the log")
    async with asyncio.timeout(30):
        await policy._health.verdict()

    assert policy.reachable
    assert {line["error"] for line in logs if line["event"] == "opa_probe_failed"} == {
        "RuntimeError"
    }
    assert SECRET not in repr(logs)


# --- what is built ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "opa.example", "localhost", ""])
def test_address_is_refused_when_it_is_not_loopback(host: str) -> None:
    """The token and every question would travel in clear text."""
    with pytest.raises(ValueError, match=r"loopback|IPv4"):
        OpaAddress(host=host)


def test_address_is_written_as_operators_write_it() -> None:
    """With brackets where a URL needs them."""
    assert str(OpaAddress(Path("/run/opa.sock"))) == "unix:/run/opa.sock"
    assert str(OpaAddress(host="::1", port=1)) == "http://[::1]:1"


@pytest.mark.parametrize("entrypoint", ["", "data", "scopegate.ruling", "data.a/b", "data.a?b=c"])
def test_entrypoint_is_refused_when_it_is_no_rule(entrypoint: str) -> None:
    """It becomes part of a URL."""
    with pytest.raises(ValueError, match="entry point"):
        OpaPolicy(address=OpaAddress(), entrypoint=entrypoint, token="", clock=CLOCK, concurrency=1)


def test_client_asks_once(folder: Path) -> None:
    """The library's three attempts at an HTTP 500, 0.9 s together, are off."""
    assert OpaClient(OpaAddress(folder / "s"), token="", keep=True).retries == 0


async def _is(fact: bool) -> bool:  # noqa: FBT001 - a condition for `until`
    return fact


async def _out(policy: OpaPolicy) -> bool:
    try:
        await ask(policy, seconds=1.0)
    except Unavailable:
        return True
    return False
