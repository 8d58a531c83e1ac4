"""What is kept of a check: an allow-list of fields, and never a token."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.core import record as records
from sidecar.core.model import (
    Action,
    Allowed,
    Dependency,
    Protocol,
    Refused,
    Ruling,
    ToolCall,
    Verdict,
)
from sidecar.core.reasons import Reason
from sidecar.core.record import record_of
from tests.tokens import make_token, sign_compact
from tests.values import AGENT, CALL, REQUEST, make_call

TOKEN = make_token().decode()
FULL = Verdict(Allowed((), ()), request=REQUEST, call=CALL, agent=AGENT)


def test_record_says_what_was_decided_for_whom() -> None:
    """An allowed call's record can be traced to agent, task, route and scope."""
    record = record_of(FULL)

    assert record == {
        "decision": "allow",
        "request_id": "req-1",
        "method": "GET",
        "host": "tools.example",
        "path": "/customers/7",
        "lane": "open",
        "source": "192.0.2.7",
        "route": "customers",
        "access": "read",
        "scope": "read:customers:7",
        "issuer": "https://issuer.example",
        "tenant": "acme",
        "subject": "agent-1",
        "agent": "agent-1",
        "task": "task-1",
        "jti": "jti-1",
        "kid": "key-1",
    }


def test_record_says_why_a_call_was_refused() -> None:
    """Reason and detail are kept, also when nothing else is known."""
    verdict = Verdict(Refused(Reason.TOKEN_EXPIRED, "10 s ago"))

    assert record_of(verdict) == {
        "decision": "deny",
        "reason": "token_expired",
        "detail": "10 s ago",
    }


def test_record_names_the_approval_and_policys_words() -> None:
    """A held call's record carries the id that its caller was given."""
    refused = Refused(Reason.APPROVAL_NEEDED, "over 1000", "amount", "apr-1")
    ruling = Ruling(Action.APPROVAL_NEEDED, reason="amount", detail="over 1000")
    record = record_of(replace(FULL, decision=refused, ruling=ruling))

    assert record["decision"] == "approval_needed"
    assert record["approval_id"] == "apr-1"
    assert (record["policy_reason"], record["policy_detail"]) == ("amount", "over 1000")


def test_record_lists_what_was_skipped() -> None:
    """A pass in spite of an outage can be counted."""
    verdict = replace(FULL, skipped=(Dependency.POLICY, Dependency.DENY_LIST))

    assert record_of(verdict)["skipped"] == ["policy", "deny_list"]


def test_record_names_the_tool_and_not_its_arguments() -> None:
    """Arguments may hold anything."""
    tool = ToolCall("tools/call", "transfer", {"iban": "DE02"}, 1)
    call = make_call(protocol=Protocol.MCP, tool=tool, server="payments")
    record = record_of(replace(FULL, call=call))

    assert (record["server"], record["tool"]) == ("payments", "transfer")
    assert "DE02" not in str(record)


def test_record_masks_a_token_wherever_it_turns_up() -> None:
    """A token in a path, a task or a detail does not reach the log."""
    verdict = Verdict(
        Refused(Reason.CLAIM_INVALID, f"saw {TOKEN}"),
        request=replace(REQUEST, path=f"/customers/{TOKEN}", id=TOKEN, host=f"{TOKEN}.example"),
        agent=replace(AGENT, task=TOKEN, session=f"x{TOKEN}"),
    )
    text = str(record_of(verdict))

    assert TOKEN not in text
    assert TOKEN.rsplit(".", 1)[1] not in text
    assert text.count("[token]") >= 5


@pytest.mark.parametrize("opening", ['{"', '{ "', '{\n "', '{\n\t"', '{\r\n"', '{\t"'])
def test_record_masks_every_spelling_of_a_header(opening: str) -> None:
    """White space in its JSON does not hide a token, nor does a missing signature."""
    header = opening.encode() + b'alg":"EdDSA"}'
    token = sign_compact(header, b'{"iss":"https://issuer.test"}').decode()
    for text in (token, token.rpartition(".")[0]):
        record = record_of(Verdict(Refused(Reason.CLAIM_INVALID, text)))
        assert record["detail"] == "[token]"


def test_record_keeps_an_ordinary_host_name() -> None:
    """Three labels are no token."""
    host = "eyes-everywhere-internal.namespace-one.cluster-local"
    verdict = replace(FULL, request=replace(REQUEST, host=host))

    assert record_of(verdict)["host"] == host


def test_record_masks_only_what_it_may_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mask is not what takes the time: a long text is cut before it is searched."""
    searched: list[int] = []

    class Spy:
        def sub(self, _: str, text: str) -> str:
            searched.append(len(text))
            return text

    monkeypatch.setattr(records, "_JWT", Spy())
    record_of(replace(FULL, request=replace(REQUEST, path="/" + "eyJ" * 10_000)))

    assert max(searched) <= 1024


def test_record_cuts_what_a_caller_makes_long() -> None:
    """A path of 60 kB does not fill the log."""
    verdict = replace(FULL, request=replace(REQUEST, path="/" + "a" * 60_000))

    assert len(str(record_of(verdict)["path"])) <= 257
