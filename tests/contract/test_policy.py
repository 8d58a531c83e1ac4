"""The contract of ``ports.Policy``, over every implementation, and what is the engine's own."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sidecar.adapters.opa_policy import OpaAddress, OpaPolicy
from sidecar.adapters.regorus_policy import MAX_DOCUMENT, EmbeddedPolicy, PolicyLoadError
from sidecar.clock import SystemClock
from sidecar.core.model import (
    Access,
    Action,
    Call,
    Question,
    Redaction,
    Refused,
    Ruling,
    ToolCall,
)
from sidecar.core.question import question_of
from sidecar.core.reasons import Reason
from sidecar.ports import Policy
from tests.fakes_policy import FakePolicy
from tests.opa_server import OpaServer
from tests.real_parts import ROOT, opa_binary
from tests.values import AGENT, NOW, make_call

ENTRYPOINT = "data.scopegate.ruling"
LIBRARY = ROOT / "policies"

# A policy that answers every call with ANSWER, but a call without an id (the trial at load) with
# a denial.
ANSWERING = """package scopegate

default ruling := {"action": "deny"}

ruling := ANSWER if input.request.id != ""
"""

Answering = Callable[[str], Awaitable[Policy]]


def question(call: Call | None = None) -> Question:
    return question_of(call or make_call(), AGENT, now=NOW, revision="r")


async def ask(policy: Policy, call: Call | None = None) -> Ruling | Refused:
    return await policy.rule_on(question(call), deadline=1e12)


def embedded(folder: Path, text: str, data: str | None = None) -> EmbeddedPolicy:
    folder.mkdir(exist_ok=True)
    (folder / "policy.rego").write_text(text)
    if data is not None:
        (folder / "data.json").write_text(data)
    return EmbeddedPolicy.load([folder], ENTRYPOINT)


async def opa(folder: Path, text: str, stack: AsyncExitStack) -> OpaPolicy:
    """A real OPA that has loaded ``text``, and the policy that asks it."""
    (policies := folder / "policies").mkdir()
    (policies / "policy.rego").write_text(text)
    socket = folder / "opa.sock"
    await stack.enter_async_context(OpaServer(opa_binary(), policies, "token", socket))
    policy = OpaPolicy(
        address=OpaAddress(socket),
        entrypoint=ENTRYPOINT,
        token="token",
        clock=SystemClock(),
        concurrency=100,
    )
    stack.push_async_callback(policy.close)
    await policy.start()
    return policy


@pytest_asyncio.fixture(params=["embedded", "fake", "opa"])
async def answering(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Answering]:
    """Load a policy that answers what it is given."""
    async with AsyncExitStack() as stack:

        async def load(answer: str) -> Policy:
            text = ANSWERING.replace("ANSWER", answer)
            match request.param:
                case "embedded":
                    return embedded(tmp_path, text)
                case "opa":
                    return await opa(tmp_path, text, stack)
                case _:
                    return FakePolicy(answer)

        yield load


@pytest.mark.parametrize(
    ("answer", "ruling"),
    [
        ('{"action": "allow"}', Ruling(Action.ALLOW)),
        (
            '{"action": "deny", "reason": "late", "detail": "5"}',
            Ruling(Action.DENY, "late", "5"),
        ),
        ('{"action": "approval_needed"}', Ruling(Action.APPROVAL_NEEDED)),
        (
            '{"action": "sanitize", "redact": [{"in": "query", "name": "q", "with": "-"}]}',
            Ruling(Action.SANITIZE, redact=(Redaction("query", "q", "-"),)),
        ),
        (
            '{"action": "allow", "headers": {"x-a": "b"}, "single_use": true}',
            Ruling(Action.ALLOW, headers=(("x-a", "b"),), single_use=True),
        ),
    ],
)
async def test_ruling_is_what_the_policy_says(
    answering: Answering, answer: str, ruling: Ruling
) -> None:
    """Every action, and what goes with it."""
    assert await ask(await answering(answer)) == ruling


@pytest.mark.parametrize(
    "answer",
    ['"allow"', "true", "null", "{}", '{"action": "alow"}', '{"action": "allow", "x": 1}',
     '{"action": "sanitize"}', '["allow"]', '{"action": "allow", "headers": {"x-a": "\\n"}}'],
)  # fmt: skip
async def test_ruling_is_refused_when_it_is_malformed(answering: Answering, answer: str) -> None:
    """Not exactly a ruling: POLICY_ERROR, and no exception."""
    await refused(await answering(answer))


async def test_question_is_refused_when_it_is_empty(answering: Answering) -> None:
    """A call that could not be written down is not ruled on."""
    policy = await answering('{"action": "allow"}')
    ruling = await policy.rule_on(Question(b""), deadline=1e12)

    assert isinstance(ruling, Refused)
    assert ruling.reason is Reason.POLICY_ERROR


async def test_answers_do_not_mix_when_many_ask_at_once(answering: Answering) -> None:
    """A hundred concurrent questions get a hundred answers."""
    policy = await answering('{"action": "allow"}')
    answers = await asyncio.gather(*(ask(policy) for _ in range(100)))

    assert answers == [Ruling(Action.ALLOW)] * 100


async def test_revision_is_a_word(answering: Answering) -> None:
    """It goes into headers, records and metrics."""
    assert len((await answering('{"action": "allow"}')).revision) == 16


# --- the embedded engine ------------------------------------------------------------------------

# Rules on what the caller's argument "do" says.
FAULTY = """package scopegate

do := input.tool.arguments.do

default ruling := {"action": "deny", "reason": "fine"}

ruling := {"action": "allow"} if do == "allow"

ruling := conflict if do == "conflict"

ruling := {"action": "allow", "reason": absent} if do == "undefined part"

ruling := {"action": "allow"} if {
	do == "assign"
	unused := input.tool.arguments.absent
}

ruling := {"action": "allow"} if {
	do == "conflict inside"
	not conflict
}

ruling := {"action": "allow"} if {
	do == "type"
	startswith(number, "a")
}

ruling := {"action": "allow"} if {
	do == "loop"
	count([1 | some x in list; some y in list; x == y]) > 0
}

number := 5 if do

list := input.tool.arguments.list

absent := input.tool.arguments.absent

conflict := 1 if do

conflict := 2 if do
"""


def doing(what: str, **arguments: Any) -> Call:
    tool = ToolCall("tools/call", "t", {"do": what, **arguments}, 1)
    return make_call(access=Access.WRITE, tool=tool)


@pytest.fixture
def faulty(tmp_path: Path) -> EmbeddedPolicy:
    return embedded(tmp_path, FAULTY)


@pytest.mark.parametrize("what", ["conflict", "conflict inside", "type"])
async def test_embedded_refuses_when_evaluation_fails(faulty: EmbeddedPolicy, what: str) -> None:
    """A conflict and a value of the wrong type are errors, wherever they happen."""
    refusal = await refused(faulty, doing(what))

    assert "policy.rego:" in refusal.detail
    assert "\n" not in refusal.detail


@pytest.mark.parametrize("what", ["undefined part", "assign", "other"])
async def test_embedded_rule_does_not_hold_when_a_part_is_undefined(
    faulty: EmbeddedPolicy, what: str
) -> None:
    """``x := input.absent`` ends the body, as in OPA; the virtual machine would go on."""
    assert await ask(faulty, doing(what)) == Ruling(Action.DENY, "fine")


async def test_embedded_stops_when_evaluation_takes_too_long(faulty: EmbeddedPolicy) -> None:
    """A loop over the caller's list of 1,000 squared is cut off before it begins."""
    refusal = await refused(faulty, doing("loop", list=list(range(1_000))))

    assert refusal.detail == "evaluation took too many instructions"


@pytest.mark.parametrize("what", ["conflict", "type", "loop"])
async def test_embedded_rules_as_before_when_the_last_evaluation_failed(
    faulty: EmbeddedPolicy, what: str
) -> None:
    """No ruling depends on an earlier question."""
    for _ in range(3):
        await refused(faulty, doing(what, list=list(range(1_000))))
        assert await ask(faulty, doing("allow")) == Ruling(Action.ALLOW)
        assert await ask(faulty, doing("other")) == Ruling(Action.DENY, "fine")


@pytest.mark.parametrize("what", ["conflict", "type", "loop"])
async def test_embedded_tells_nothing_of_the_input_when_it_fails(
    faulty: EmbeddedPolicy, what: str
) -> None:
    """Refusals are recorded; what the caller sent is not in them."""
    secrets = ["s3cr3t"] * 1000

    assert "s3cr3t" not in (await refused(faulty, doing(what, list=secrets))).detail


@pytest.mark.parametrize(
    "document",
    [b" ", b"{", b"\xff", b"nul", b'{"a": 1e999}', b"[" * 200 + b"]" * 200],
    ids=repr,
)
async def test_embedded_refuses_when_the_question_is_no_json(
    faulty: EmbeddedPolicy, document: bytes
) -> None:
    """A record that was tampered with, or one nested deeper than 128."""
    ruling = await faulty.rule_on(Question(document), deadline=1e12)

    assert isinstance(ruling, Refused)
    assert ruling.reason is Reason.POLICY_ERROR


async def test_embedded_refuses_when_the_question_is_too_large(faulty: EmbeddedPolicy) -> None:
    """Up to the limit it rules, beyond it not."""
    padding = MAX_DOCUMENT - len(question(doing("allow", pad="")).document)

    assert await ask(faulty, doing("allow", pad="a" * padding)) == Ruling(Action.ALLOW)
    refusal = await refused(faulty, doing("allow", pad="a" * (padding + 1)))
    assert "larger than" in refusal.detail


def test_embedded_rules_when_another_thread_asks(faulty: EmbeddedPolicy) -> None:
    """Every thread has an evaluator of its own; the engine would panic otherwise."""
    answers: list[Ruling | Refused] = []

    def run() -> None:
        answers.append(asyncio.run(ask(faulty, doing("allow"))))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [Ruling(Action.ALLOW)] * 3
    assert asyncio.run(ask(faulty, doing("allow"))) == Ruling(Action.ALLOW)


class PanicException(BaseException):
    """What a bug in the engine looks like."""


async def test_embedded_refuses_when_the_engine_panics(
    faulty: EmbeddedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in the engine refuses one call, and the next one meets a new engine."""

    def panic(_: str) -> str:
        raise PanicException("input: s3cr3t")

    await ask(faulty, doing("allow"))
    monkeypatch.setattr(faulty._of_thread.evaluator, "ask", panic, raising=False)

    assert (await refused(faulty, doing("allow"))).detail == "the engine failed"
    assert await ask(faulty, doing("allow")) == Ruling(Action.ALLOW)


async def test_embedded_lets_a_cancellation_pass(
    faulty: EmbeddedPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the engine's own panics are answered."""

    def interrupt(_: str) -> str:
        raise KeyboardInterrupt

    await ask(faulty, doing("allow"))
    monkeypatch.setattr(faulty._of_thread.evaluator, "ask", interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        await ask(faulty, doing("allow"))


# --- the library --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library() -> EmbeddedPolicy:
    return EmbeddedPolicy.load([LIBRARY], ENTRYPOINT)


def transfer(amount: Any) -> Call:
    tool = ToolCall("tools/call", "transfer", {"amount": amount}, 1)
    return make_call(access=Access.WRITE, tool=tool, server="payments")


async def test_library_allows_what_passed_the_scope_floor(library: EmbeddedPolicy) -> None:
    """A read without anything special."""
    assert await ask(library) == Ruling(Action.ALLOW, "scope_covers")


async def test_library_redacts_the_email_of_a_read(library: EmbeddedPolicy) -> None:
    """It never reaches the tool as it is."""
    ruling = await ask(library, make_call(raw_query="email=a@b.example&x=1"))

    assert isinstance(ruling, Ruling)
    assert ruling.action is Action.SANITIZE
    assert ruling.redact == (Redaction("query", "email", "redacted"),)


@pytest.mark.parametrize(
    ("amount", "action", "reason"),
    [
        (0, Action.ALLOW, None),
        (1000, Action.ALLOW, None),
        (1000.01, Action.APPROVAL_NEEDED, "amount_over_limit"),
        (2**53 - 1, Action.APPROVAL_NEEDED, "amount_over_limit"),
        *(
            (amount, Action.DENY, "amount_invalid")
            for amount in (None, True, False, "5", "", -5, -0.01, [5], [], {"a": 5}, {}, 2**53)
        ),
    ],
)
async def test_library_asks_for_approval_when_the_amount_is_over_the_limit(
    library: EmbeddedPolicy, amount: Any, action: Action, reason: str | None
) -> None:
    """Numbers up to the limit pass, above it a human decides, everything else is denied."""
    ruling = await ask(library, transfer(amount))

    assert isinstance(ruling, Ruling)
    assert ruling.action is action
    assert reason in {None, ruling.reason}


RULE = """package scopegate.rules.extra

contributions contains CONTRIBUTION if input.request.id != ""
"""


@pytest.mark.parametrize(
    "contribution",
    [
        '{"action": "allow", "reason": "x", "header": {"x-a": "b"}}',
        '{"action": "allow", "redact": [{"in": "query", "name": "q"}]}',
        '{"action": "sanitize"}',
        '{"action": "sanitize", "redact": []}',
        '{"action": "sanitize", "redact": [{"in": "query"}]}',
        '{"action": "sanitize", "redact": ["q"]}',
        '{"action": "deny", "reason": 5}',
    ],
)
async def test_library_refuses_when_a_rule_says_what_nobody_understands(
    tmp_path: Path, contribution: str
) -> None:
    """A typo in a team's rule is an error, not a rule that silently does nothing."""
    folder = shutil.copytree(LIBRARY, tmp_path / "policies")
    (folder / "rules/extra.rego").write_text(RULE.replace("CONTRIBUTION", contribution))

    await refused(EmbeddedPolicy.load([folder], ENTRYPOINT))


async def test_library_rules_alike_when_a_test_lies_beside_it(library: EmbeddedPolicy) -> None:
    """Tests are neither loaded nor part of the revision."""
    assert not [file for file, _ in library._modules if file.endswith("_test.rego")]


# --- loading ------------------------------------------------------------------------------------


def test_load_names_what_is_missing(tmp_path: Path) -> None:
    """A path that does not exist is named."""
    with pytest.raises(PolicyLoadError, match=r"nowhere: no such file or directory"):
        EmbeddedPolicy.load([tmp_path / "nowhere"], ENTRYPOINT)


def test_load_fails_when_the_entrypoint_does_not_exist(tmp_path: Path) -> None:
    """Nothing would ever rule."""
    with pytest.raises(PolicyLoadError, match=r"entry point data\.scopegate\.ruling is no rule"):
        embedded(tmp_path, "package other\n\nx := 1\n")


@pytest.mark.parametrize(
    "text",
    [
        'package scopegate\n\nruling := {"action": "allow"} if input.tool.name == "x"\n',
        'package scopegate\n\nruling := {"action": "alow"}\n',
        "package scopegate\n\nruling := count(5)\n",
    ],
    ids=["undefined", "malformed", "error"],
)
def test_load_fails_when_nothing_is_ruled_on_a_plain_call(tmp_path: Path, text: str) -> None:
    """A policy without a default, or that fails, shows it before the first request."""
    with pytest.raises(PolicyLoadError, match="fails on a call without anything"):
        embedded(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("data.json", b"{", r"data\.json: "),
        ("data.json", b"[1]", r"data\.json: not an object"),
        ("data.json", b'{"a": 1, "a": 2}', r"data\.json: a member stands twice"),
        ("data.yaml", b"a: 1\nb: [\n", r"data\.yaml:3: not YAML"),
        ("data.yaml", b"a: 2024-01-01\n", r"data\.yaml: "),
        ("data.yaml", b"- a\n", r"data\.yaml: not an object"),
        ("more.rego", b'package more\n\nx := "\xff"\n', r"more\.rego: "),
        ("more.rego", b"package more\n\nx if\n", r"more\.rego:"),
    ],
)
def test_load_names_the_file_when_it_cannot_be_read(
    tmp_path: Path, name: str, content: bytes, fault: str
) -> None:
    """File, and line where there is one."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PolicyLoadError, match=fault):
        embedded(tmp_path, ANSWERING.replace("ANSWER", "{}"))


async def test_data_stands_where_its_folder_says(tmp_path: Path) -> None:
    """OPA's layout: folders are names; JSON and YAML join; hidden folders are not read."""
    for folder, name, text in [
        (".", "data.json", '{"a": {"x": 1}}'),
        ("a/b", "data.json", '{"y": 2}'),
        ("a/c", "data.yaml", "z: 3\n"),
        ("a/c", "other.json", '{"z": 4}'),
        (".hidden", "data.json", "{"),
        ("a/.hidden", "policy.rego", "package"),
    ]:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_text(text)
    told = '{"action": "deny"} if data.a == {"x": 1, "b": {"y": 2}, "c": {"z": 3}}'
    policy = embedded(
        tmp_path,
        f'package scopegate\n\ndefault ruling := {{"action": "allow"}}\n\nruling := {told}\n',
    )

    assert await ask(policy) == Ruling(Action.DENY)


def test_load_fails_when_two_data_files_disagree(tmp_path: Path) -> None:
    """No value silently wins."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/data.json").write_text('{"x": 1}')
    with pytest.raises(PolicyLoadError, match="x has a value in another data file"):
        embedded(tmp_path, ANSWERING.replace("ANSWER", "{}"), '{"a": {"x": 1}}')


def test_revision_changes_when_a_policy_or_its_data_does(tmp_path: Path) -> None:
    """Equal files have equal revisions, wherever they lie; nothing else has."""
    text = ANSWERING.replace("ANSWER", '{"action": "allow"}')
    one = embedded(tmp_path / "one", text, '{"a": 1}').revision

    assert embedded(tmp_path / "same", text, '{"a": 1}').revision == one
    assert embedded(tmp_path / "text", text + "\n", '{"a": 1}').revision != one
    assert embedded(tmp_path / "data", text, '{"a": 2}').revision != one
    assert embedded(tmp_path / "less", text).revision != one


async def refused(policy: Policy, call: Call | None = None) -> Refused:
    ruling = await ask(policy, call)
    assert isinstance(ruling, Refused)
    assert ruling.reason is Reason.POLICY_ERROR
    return ruling
