"""What policy answers: understood completely, or refused."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from sidecar.core.model import Action, Redaction, Refused, Ruling
from sidecar.core.reasons import Reason
from sidecar.core.ruling import parse_ruling
from tests.real_parts import ROOT

RULING_SCHEMA = jsonschema.Draft7Validator(
    json.loads((ROOT / "policies/schema/ruling.json").read_text())
)

QUERY = {"in": "query", "name": "email"}

UNDERSTOOD: list[tuple[dict[str, Any], Ruling]] = [
    ({"action": "allow"}, Ruling(Action.ALLOW)),
    ({"action": "deny"}, Ruling(Action.DENY)),
    ({"action": "approval_needed"}, Ruling(Action.APPROVAL_NEEDED)),
    (
        {"action": "deny", "reason": "too_much.v-2", "detail": "über 5"},
        Ruling(Action.DENY, "too_much.v-2", "über 5"),
    ),
    (
        {"action": "allow", "headers": {"X-Plan": "gold plan", "x-none": ""}, "single_use": True},
        Ruling(Action.ALLOW, headers=(("x-plan", "gold plan"), ("x-none", "")), single_use=True),
    ),
    ({"action": "allow", "redact": [], "headers": {}, "detail": ""}, Ruling(Action.ALLOW)),
    (
        {"action": "sanitize", "redact": [QUERY, {**QUERY, "name": "q", "with": "ü&="}]},
        Ruling(
            Action.SANITIZE,
            redact=(Redaction("query", "email"), Redaction("query", "q", "ü&=")),
        ),
    ),
    (
        {"action": "sanitize", "redact": [{"in": "header", "name": "X-User", "with": "-"}]},
        Ruling(Action.SANITIZE, redact=(Redaction("header", "x-user", "-"),)),
    ),
    (
        {"action": "sanitize", "redact": [{"in": "body", "name": "/a~1b/0/~0", "with": "-"}]},
        Ruling(Action.SANITIZE, redact=(Redaction("body", "/a~1b/0/~0", "-"),)),
    ),
]

# What the schema refuses as well.
NOT_UNDERSTOOD: list[Any] = [
    "<undefined>",
    None,
    True,
    5,
    [],
    [{"action": "allow"}],
    {},
    {"action": None},
    {"action": "alow"},
    {"action": "ALLOW"},
    {"action": "allow "},
    {"action": ["allow"]},
    {"action": True},
    {"reason": "x"},
    {"action": "allow", "because": "x"},
    {"action": "allow", "Action": "deny"},
    {"action": "deny", "reason": ""},
    {"action": "deny", "reason": "A"},
    {"action": "deny", "reason": "a b"},
    {"action": "deny", "reason": "a" * 65},
    {"action": "deny", "reason": None},
    {"action": "deny", "reason": 5},
    {"action": "deny", "detail": None},
    {"action": "deny", "detail": {}},
    {"action": "allow", "single_use": "true"},
    {"action": "allow", "single_use": 1},
    {"action": "allow", "single_use": None},
    {"action": "allow", "headers": []},
    {"action": "allow", "headers": {"x-a": 5}},
    {"action": "allow", "headers": {"x-a": ["b"]}},
    {"action": "allow", "headers": {"x-a": None}},
    {"action": "allow", "headers": {"": "v"}},
    {"action": "allow", "headers": {":path": "/"}},
    {"action": "allow", "headers": {"x a": "v"}},
    {"action": "allow", "headers": {"x-é": "v"}},
    {"action": "allow", "headers": {"x-a": "a\r\nx-b: c"}},
    {"action": "allow", "headers": {"x-a": "a\x00"}},
    {"action": "allow", "headers": {"x-a": "a\tb"}},
    {"action": "allow", "headers": {"x-a": "é"}},
    {"action": "allow", "headers": {"x-a": " a"}},
    {"action": "allow", "headers": {"x-a": "a "}},
    {"action": "allow", "headers": {"x-a": "\x7f"}},
    {"action": "allow", "headers": {"x-a": "a" * 4097}},
    {"action": "allow", "headers": {f"x-{number}": "v" for number in range(33)}},
    {"action": "allow", "redact": [QUERY]},
    {"action": "deny", "redact": [QUERY]},
    {"action": "approval_needed", "redact": [QUERY]},
    {"action": "sanitize"},
    {"action": "sanitize", "redact": []},
    {"action": "sanitize", "redact": QUERY},
    {"action": "sanitize", "redact": ["email"]},
    {"action": "sanitize", "redact": [{"name": "email"}]},
    {"action": "sanitize", "redact": [{"in": "query"}]},
    {"action": "sanitize", "redact": [{"in": "url", "name": "email"}]},
    {"action": "sanitize", "redact": [{**QUERY, "name": ""}]},
    {"action": "sanitize", "redact": [{**QUERY, "wiht": "x"}]},
    {"action": "sanitize", "redact": [{**QUERY, "with": None}]},
    {"action": "sanitize", "redact": [{**QUERY, "with": 5}]},
    {"action": "sanitize", "redact": [{"in": "header", "name": "x a"}]},
    {"action": "sanitize", "redact": [{"in": "header", "name": "x-a", "with": "a\r\nb"}]},
    {"action": "sanitize", "redact": [{"in": "body", "name": "email"}]},
    {"action": "sanitize", "redact": [{"in": "body", "name": ""}]},
    {"action": "sanitize", "redact": [{"in": "body", "name": "/a~2"}]},
    {"action": "sanitize", "redact": [{**QUERY, "name": str(number)} for number in range(65)]},
]

# What only the parser refuses: a schema cannot say it.
CONTRADICTORY: list[Any] = [
    {"action": "deny", "reason": "a\n"},
    {"action": "allow", "headers": {"x-a\n": "v"}},
    {"action": "allow", "headers": {"x-a": "v\n"}},
    {"action": "sanitize", "redact": [{"in": "body", "name": "/a\n~"}]},
    {"action": "allow", "headers": {"X-Plan": "gold", "x-plan": "free"}},
    {"action": "sanitize", "redact": [QUERY, {**QUERY, "with": "x"}]},
    {
        "action": "sanitize",
        "redact": [{"in": "header", "name": "X-A"}, {"in": "header", "name": "x-a", "with": "b"}],
    },
]


@pytest.mark.parametrize(("answer", "ruling"), UNDERSTOOD)
def test_ruling_is_understood(answer: dict[str, Any], ruling: Ruling) -> None:
    """As text and as bytes; and the schema that authors see takes it too."""
    assert parse_ruling(json.dumps(answer)) == ruling
    assert parse_ruling(json.dumps(answer).encode()) == ruling
    RULING_SCHEMA.validate(answer)


@pytest.mark.parametrize("answer", NOT_UNDERSTOOD, ids=lambda answer: json.dumps(answer)[:60])
def test_ruling_is_refused_when_it_is_not_exactly_one(answer: Any) -> None:
    """Unknown, missing, of the wrong type or in the wrong company: an error of policy."""
    refused(json.dumps(answer))
    assert not RULING_SCHEMA.is_valid(answer)


@pytest.mark.parametrize("answer", CONTRADICTORY, ids=json.dumps)
def test_ruling_is_refused_when_it_contradicts_itself(answer: Any) -> None:
    """One header or one place twice; a line break at the end of what a pattern matched."""
    refused(json.dumps(answer))


@pytest.mark.parametrize(
    "answer",
    [
        "",
        " ",
        "nul",
        '{"action": "allow"',
        '{"action": "allow"} {}',
        b'{"action": "allow", "detail": "\xff"}',
        "\ud800",
        '{"action": "allow", "detail": "\\ud800"}',
        '{"action": "allow", "single_use": 1e999}',
        "[" * 100_000,
        '{"action": "allow", "headers": ' + '{"a": ' * 100_000,
    ],
)
def test_ruling_is_refused_when_it_is_no_json(answer: str | bytes) -> None:
    """Never raises, whatever an engine sends."""
    refused(answer)


def test_detail_is_cut_when_it_is_long() -> None:
    """500 characters are kept, whole ones."""
    ruling = parse_ruling(json.dumps({"action": "deny", "detail": "é" * 501}))

    assert ruling == Ruling(Action.DENY, detail="é" * 500)


def test_equal_redactions_count_once() -> None:
    """Two rules may ask for the same."""
    ruling = parse_ruling(json.dumps({"action": "sanitize", "redact": [QUERY, QUERY]}))

    assert ruling == Ruling(Action.SANITIZE, redact=(Redaction("query", "email"),))


def test_refusal_names_the_member_when_it_is_faulty() -> None:
    """An author finds the fault; the text is bounded, whatever the ruling holds."""
    answer = json.dumps({"action": "allow", "headers": {"x-a": 5}})

    assert "$.headers" in refused(answer).detail
    assert len(refused(json.dumps({"action": "x" * 9999})).detail) < 300


def refused(answer: str | bytes) -> Refused:
    parsed = parse_ruling(answer)
    assert isinstance(parsed, Refused)
    assert parsed.reason is Reason.POLICY_ERROR
    return parsed
