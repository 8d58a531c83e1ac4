"""What a policy may say means the same to OPA and to the embedded engine; both are asked."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.adapters.opa_policy import OpaAddress, OpaPolicy, ProbeTimes
from sidecar.adapters.rego_builtins import ALLOWED
from sidecar.adapters.regorus_policy import EmbeddedPolicy, PolicyLoadError
from sidecar.clock import SystemClock
from sidecar.core.model import Access, Action, Call, Question, Refused, Ruling, ToolCall
from sidecar.core.question import question_of
from sidecar.core.reasons import Reason
from tests.opa_server import OpaServer
from tests.policies.engines import NOTHING, by_opa, by_regorus
from tests.real_parts import ROOT, opa_binary
from tests.values import NOW, make_agent, make_call

ENTRYPOINT = "data.scopegate.ruling"
LIBRARY = ROOT / "policies"
RULES = sorted(path.stem for path in (LIBRARY / "rules").glob("*.rego") if "_test" not in path.stem)
CLOCK = SystemClock()

TEXTS = ["", "abc", "aXbXc", "héΣß", "ΑΣ", "İI", "a b\u00a0", "\u3000x\u2028", "\U0001f389", "A/B"]
NUMBERS = [0, 1, -5, 1.5, -0.5, 2**53 + 1, 2**63, 1e300]
OTHERS = [
    None,
    True,
    False,
    [],
    [1, 2, 1],
    ["a", "b"],
    [None, 1, "a", [1]],
    {},
    {"a": 1, "b": {"c": 2}},
]
VALUES = [*TEXTS, *NUMBERS, *OTHERS]
QUESTION = json.dumps({"v": VALUES})

UNARY = [
    "array.reverse", "count", "is_array", "is_boolean", "is_null", "is_number", "is_object",
    "is_set", "is_string", "max", "min", "object.keys", "object.union_n", "sort",
    "strings.reverse", "time.clock", "time.date", "time.weekday", "trim_space", "type_name",
]  # fmt: skip

# {} stands for a value of every type.
CALLS = [
    "array.concat({}, [1])", "array.slice({}, 0, 2)", "array.slice([1, 2, 3], {}, 2)",
    'concat("-", {})', 'contains({}, "b")', 'contains("abc", {})', 'endswith({}, "c")',
    'endswith("abc", {})', "intersection({{{{1, 2}}, {{2}}}})", 'object.filter({}, ["a"])',
    'object.get({}, "a", 0)', 'object.get({{"a": 1}}, {}, 0)', 'object.get({}, ["b", "c"], 0)',
    'object.remove({}, ["a"])', 'object.union({}, {{"b": {{"d": 1}}}})',
    'regex.match("^[a-z]+$", {})', 'regex.match("b|X", {})', 'regex.match("^.$", {})',
    "regex.match(`^a\\.b$`, {})", "regex.match(`^[^/]{{1,3}}$`, {})",
    'regex.match("(a|b)*c", {})', 'replace({}, "X", "--")', 'split({}, "X")', 'split({}, "")',
    'startswith({}, "a")', 'startswith("abc", {})', 'strings.any_prefix_match({}, ["a", "x"])',
    'strings.any_prefix_match("abc", {})', 'strings.any_suffix_match({}, ["c"])',
    "substring({}, 1, 2)", "substring({}, 1, -1)", "substring({}, 9, 1)", "substring({}, -1, 1)",
    'trim({}, "a ")', 'trim_left({}, "a")', 'trim_prefix({}, "a")', 'trim_right({}, "c")',
    'trim_suffix({}, "c")', "union({{{{1}}, {{{}}}}})",
]  # fmt: skip

EXPRESSIONS = [
    "max([])", "min([1, null])", "max([1, 1.5, true])", 'sort({"b", "a", 1, null})',
    'time.clock([1700000000000000000, "Europe/Berlin"])',
    'time.weekday([1700000000000000000, "America/New_York"])',
    'time.date([3900000000000000000, "Asia/Tokyo"])',
    "time.weekday(1700000000 * 1000000000)", "time.clock(-1)",
    'regex.match("a$", "a\\n")', 'regex.match("a.c", "a\\nc")', 'regex.match("", "a")',
    'regex.match("x*?y", "xxy")', "regex.match(`^[a\\-z]$`, `-`)", "regex.match(`[{]`, `{`)",
    # operators
    "1 + 2 * 3 - 4", "8 / 2 / 2", "7 % 3 * 2", "1 - 2 - 3", "2 * (3 + 4)", "1 / 3", "7 / 2",
    "-7 % 3", "{1, 2} - {1} | {3}", "{1, 2} & {2, 3} | {4}", "{1} | {2} & {2}",
    "[1 | 1 + 1 == 2]", "[1 | 1 in [1]]", '[1 | "a" in {"k": "a"}]', '[1 | "k", "a" in {"k": "a"}]',
    "1 == 1.0", "0.5 + 0.25", "2 > 1", "0 - 5 < 3",
    # what is undefined
    "[1 | input.absent]", "[1 | not input.absent]", "[1 | x := input.absent]",
    "[1 | x := input.absent; x != 1]", "[x | x := input.v[0].a]", "[1 | input.absent == 1]",
    "[1 | input.absent != 1]", "[1 | not input.v[18]]", "[1 | input.v[18]]",
    "[1 | not input.v[20]]",
    "[1 | every x in input.absent { x == 1 }]", "[1 | every x in [] { x == 1 }]",
    "[1 | some x in input.absent]", '{"a": input.absent}', "[input.absent]",
    "set() == {x | x := input.absent}", "count({x | x := input.absent})",
    "[1 | x := input.v[21]; not x[0]]",
    "[1 | is_null(input.absent)]", 'object.get(input, "absent", input.v[1])',
    # orders that policies rely on
    '[k | some k, _ in {"b": 1, "a": 1, "é": 1, "Z": 1, "aa": 1}]',
    '[x | some x in {{"b": 1, "a": 2}, {"a": 1, "z": 3}, {"a": 1}, {"a": 1, "b": 0}}]',
    '[x | some x in {["query", "x"], ["header", "y"], ["query"]}]',
]  # fmt: skip


def cases() -> Iterator[tuple[str, str]]:
    """Builtin, or ``""``, and expression."""
    for name in UNARY:
        for position in range(len(VALUES)):
            yield name, f"{name}(input.v[{position}])"
    for call in CALLS:
        for position in range(len(VALUES)):
            yield call.partition("(")[0], call.format(f"input.v[{position}]")
    for expression in EXPRESSIONS:
        yield expression.partition("(")[0], expression
    for left in range(len(VALUES)):
        for right in range(len(VALUES)):
            yield "", f"input.v[{left}] < input.v[{right}]"
            yield "", f"input.v[{left}] == input.v[{right}]"


# Characters beyond the first 65,536: nobody has to count those to decide.
UNLIKE = {"count(input.v[8])"}


def test_engines_agree_on_everything_that_policies_may_say(tmp_path: Path) -> None:
    """Every allowed builtin, over values of every type, and the operators, twice."""
    expressions = [expression for _, expression in cases() if expression not in UNLIKE]
    opa = by_opa(expressions, QUESTION, tmp_path)
    unlike = {
        expression: (theirs, ours)
        for expression, theirs in zip(expressions, opa, strict=True)
        if not same(theirs, ours := by_regorus(expression, QUESTION))
    }

    assert unlike == {}


def same(one: Any, other: Any) -> bool:
    """Equal, types included: ``true`` is not ``1``; ``1`` is ``1.0`` in JSON."""
    return one == other and json.dumps(one).count("true") == json.dumps(other).count("true")


def test_every_allowed_builtin_is_compared() -> None:
    """Nothing gets onto the list unasked."""
    assert {name for name, _ in cases()} >= ALLOWED


DIVERGENCES: Final = [
    ('glob.match("read:data:*", [":"], "read:data:x:y")', False, True),
    (r"regex.match(`\d`, `٣`)", False, True),
    ('regex.match("[a-z&&b]", "&")', True, False),
    ('sprintf("%s", [1])', "%!s(int64=1)", "1"),
    ('lower("ΑΣ")', "\u03b1\u03c3", "\u03b1\u03c2"),
    ('upper("ß")', "ß", "SS"),
    ("ceil(-0.5)", 1, 0),
    ("sum([0.1, 0.2])", 0.3, 0.30000000000000004),
    ("0.1 + 0.2 == 0.3", True, False),
    ('strings.count("aaa", "aa")', 1, 2),
    ('indexof("abc", "")', NOTHING, 0),
    ('object.subset(input.v[0], {"a": 1})', NOTHING, False),
    ("format_int(input.v[14], 10)", "0", "-0"),
    ('json.marshal("<")', '"\\u003c"', '"<"'),
    ('net.cidr_contains("10.0.0.0/8", "::ffff:10.0.0.1")', True, False),
    ('replace("é", "", "-")', "-\ufffd-\ufffd-", "-é-"),
    ("count(input.v[8])", 1, 2),
    ('[1 | not startswith(input.absent, "a")]', [], [1]),
    ("[1 | not input.absent in [1]]", [], [1]),
]
"""Expression, what OPA makes of it, and what the embedded engine makes of it."""

STILL_LOADED: Final = {"0.1 + 0.2 == 0.3", "count(input.v[8])"}
"""Where docs/policy.md tells authors that the engines still differ."""


@pytest.mark.parametrize(("expression", "theirs", "ours"), DIVERGENCES)
def test_engines_differ_where_the_lint_forbids_it(
    expression: str, theirs: Any, ours: Any, tmp_path: Path
) -> None:
    """Why these are not allowed; if one of them agrees one day, the list may grow."""
    assert by_opa([expression], QUESTION, tmp_path) == [theirs]
    assert by_regorus(expression, QUESTION) == ours


@pytest.mark.parametrize(
    "expression", [case[0] for case in DIVERGENCES if case[0] not in STILL_LOADED]
)
def test_lint_refuses_to_load_what_the_engines_differ_on(expression: str, tmp_path: Path) -> None:
    """No such policy gets as far as a ruling."""
    text = f'package scopegate\n\ndefault ruling := {{"action": "deny"}}\n\nx := {expression}\n'
    (tmp_path / "policy.rego").write_text(text)
    with pytest.raises(PolicyLoadError) as refusal:
        EmbeddedPolicy.load([tmp_path], ENTRYPOINT)

    assert {fault.line for fault in refusal.value.faults} == {5}


@pytest.mark.parametrize(
    "expression",
    [
        '[1 | not startswith(input.v[11], "a")]',
        "[1 | some x in input.v[11]] == []",
        "[1 | input.v[11] / 0 == 1] == []",
        "[1 | input.v[18] + 1 == 1] == []",
    ],
)
def test_value_of_the_wrong_type_is_an_error_here_and_undefined_there(
    expression: str, tmp_path: Path
) -> None:
    """The known difference that the lint lets pass: the embedded engine refuses the call."""
    assert by_opa([expression], QUESTION, tmp_path) in ([[1]], [True])
    assert by_regorus(expression, QUESTION) == NOTHING


# --- rulings, through the two ports ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Both:
    """The same policies in both engines; ``runner`` holds the one event loop of the OPA port."""

    embedded: EmbeddedPolicy
    opa: OpaPolicy
    runner: asyncio.Runner

    def rule_on(self, question: Question) -> tuple[Ruling | Reason, Ruling | Reason]:
        """What each makes of it; of a refusal the reason, because details name other places."""
        return self.runner.run(self._rule_on(question))

    async def _rule_on(self, question: Question) -> tuple[Ruling | Reason, Ruling | Reason]:
        deadline = CLOCK.monotonic() + 60
        theirs = await self.opa.rule_on(question, deadline=deadline)
        ours = await self.embedded.rule_on(question, deadline=deadline)
        return _plain(theirs), _plain(ours)


def _plain(ruling: Ruling | Refused) -> Ruling | Reason:
    return ruling.reason if isinstance(ruling, Refused) else ruling


@pytest.fixture(scope="module", params=["library", *RULES])
def both(request: pytest.FixtureRequest) -> Iterator[Both]:
    """The whole library, and each of its rules beside no other but what allows."""
    folder = Path(tempfile.mkdtemp(prefix="opa"))
    policies = shutil.copytree(LIBRARY, folder / "policies")
    for name in RULES:
        if request.param not in {"library", name} and name != "baseline":
            (policies / f"rules/{name}.rego").unlink()
    data = {"limits": {"transfer": {"default": 1000, "tenants": {"acme": 5.5, "odd": "5"}}}}
    (policies / "data.json").write_text(json.dumps(data))
    server = OpaServer(opa_binary(), policies, "token", folder / "s")
    with asyncio.Runner() as runner:
        opa = OpaPolicy(
            address=OpaAddress(server.socket),
            entrypoint=ENTRYPOINT,
            token="token",
            clock=CLOCK,
            concurrency=1,
            times=ProbeTimes(idle_s=3600),  # between two examples nobody runs the loop
        )
        try:
            runner.run(server.start())
            runner.run(opa.start())
            yield Both(EmbeddedPolicy.load([policies], ENTRYPOINT), opa, runner)
        finally:
            runner.run(opa.close())
            server.kill()
            shutil.rmtree(folder)


WORDS = st.sampled_from(
    ["", "a", "email", "é", "\u212a", "\U0001f389", "a b", "=", "\x00", "[redacted]"]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -0.0, 5, 5.5, 5.51, 1000, 1000.01, -1, 2**53 - 1, 2**53, 2**63, 1e300])
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
VALUE = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.fixed_dictionaries({}, optional={"amount": VALUE, "to": VALUE, "email": VALUE})
TOOLS = st.none() | st.builds(
    ToolCall,
    st.sampled_from(["tools/call", "tools/list", "tools/Call", ""]),
    st.sampled_from(["transfer", "Transfer", "transfer ", "", "\u0442ransfer"]),
    ARGUMENTS,
    st.just(1),
)
PAIRS = st.lists(st.tuples(st.sampled_from(["email", "Email", "q", "é"]), WORDS), max_size=3)
MEMBERS = ("agent", "request", "tool", "route", "source", "policy", "now", "version")


@st.composite
def calls(draw: st.DrawFn) -> Call:
    query = "&".join(f"{name}={value}" for name, value in draw(PAIRS))
    return make_call(
        raw_query=query,
        headers=dict.fromkeys(draw(st.sets(st.sampled_from(["x-email", "x-a"]))), b"x"),
        access=draw(st.sampled_from(list(Access))),
        tool=draw(TOOLS),
        server=draw(WORDS),
    )


@st.composite
def questions(draw: st.DrawFn) -> Question:
    """What the sidecar asks, and what it would never ask: with members missing or replaced."""
    agent = make_agent(tenant=draw(st.sampled_from(["acme", "odd", "other", ""])))
    question = question_of(draw(calls()), agent, now=NOW, revision="r")
    broken = draw(st.dictionaries(st.sampled_from(MEMBERS), VALUE, max_size=2))
    if not broken or not question.document:
        return question
    document = json.loads(question.document)
    for member, value in broken.items():
        document.pop(member)
        if value is not None:
            document[member] = value
    return Question(json.dumps(document).encode())


@given(question=questions())
@settings(max_examples=250, deadline=None)
def test_rulings_are_equal_through_both_ports(both: Both, question: Question) -> None:
    """A thousand questions: the whole ruling, or the same refusal."""
    theirs, ours = both.rule_on(question)

    assert theirs == ours


@pytest.mark.parametrize("both", ["library"], indirect=True)
def test_equal_rulings_are_of_every_kind(both: Both) -> None:
    """The comparison is about something: both allow, deny, sanitize and ask for approval."""
    amounts = [
        make_call(tool=ToolCall("tools/call", "transfer", {"amount": amount}, 1))
        for amount in (5, 6, "5")
    ]
    asked = [*amounts, make_call(), make_call(raw_query="email=a@b.example")]
    seen = [both.rule_on(question_of(c, make_agent(), now=NOW, revision="r")) for c in asked]

    assert [theirs for theirs, _ in seen] == [ours for _, ours in seen]
    assert {ruling.action for ruling, _ in seen if isinstance(ruling, Ruling)} == set(Action)
