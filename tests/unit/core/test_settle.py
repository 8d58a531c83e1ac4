"""(9) What a ruling does to the request that reaches the tool."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.model import Action, Allowed, Redaction, Refused, Rewrite, Ruling
from sidecar.core.reasons import Reason
from sidecar.core.settle import Outgoing, settle
from tests.values import make_agent, make_call

OUTGOING = Outgoing(policy_headers=frozenset({"x-team"}))


def settled(
    ruling: Ruling, *, agent: dict[str, Any] | None = None, **call: Any
) -> Allowed | Refused:
    return settle(ruling, make_call(**call), make_agent(**agent or {}), OUTGOING, "d-1")


def allowed(ruling: Ruling, **changes: Any) -> Allowed:
    decision = settled(ruling, **changes)
    assert isinstance(decision, Allowed)
    return decision


def sanitize(*redactions: Redaction) -> Ruling:
    return Ruling(Action.SANITIZE, redact=redactions)


def test_settle_sets_every_identity_header_from_the_agent() -> None:
    """The tool learns who calls from us alone."""
    decision = allowed(Ruling(Action.ALLOW))

    assert dict(decision.set_headers) == {
        "x-agent-id": "agent-1",
        "x-agent-tenant": "acme",
        "x-agent-scopes": "read:customers:*",
        "x-agent-task": "task-1",
        "x-authz-decision-id": "d-1",
    }


def test_settle_removes_an_identity_header_for_which_the_token_says_nothing() -> None:
    """A client's own x-agent-task does not pass for a token without a task."""
    decision = allowed(Ruling(Action.ALLOW), agent={"task": ""})

    assert "x-agent-task" in decision.remove_headers
    assert "x-agent-task" not in dict(decision.set_headers)


@pytest.mark.parametrize("forward", [True, False])
def test_settle_removes_the_token_unless_the_route_forwards_it(forward: bool) -> None:  # noqa: FBT001
    """The bearer token stays at the gate."""
    decision = allowed(Ruling(Action.ALLOW), forward_token=forward)

    assert ("authorization" not in decision.remove_headers) is forward


def test_settle_removes_a_clients_copy_of_a_policy_header() -> None:
    """What a ruling may set, a client may not."""
    assert "x-team" in allowed(Ruling(Action.ALLOW)).remove_headers


def test_settle_never_sets_and_removes_one_name() -> None:
    """Envoy removes after it sets: a name in both lists would be absent."""
    ruling = Ruling(
        Action.SANITIZE, headers=(("x-team", "a"),), redact=(Redaction("header", "x-b"),)
    )
    decision = allowed(ruling, headers={"x-b": b"1"})

    assert not set(dict(decision.set_headers)) & set(decision.remove_headers)
    assert dict(decision.set_headers)["x-team"] == "a"


@pytest.mark.parametrize(
    "name", ["x-agent-id", "x-agent-tenant", "host", ":path", "authorization", "x-other"]
)
def test_settle_refuses_a_ruling_that_sets_a_foreign_header(name: str) -> None:
    """A policy cannot reroute a request or say who calls."""
    decision = settled(Ruling(Action.ALLOW, headers=((name, "v"),)))

    assert isinstance(decision, Refused)
    assert decision.reason is Reason.POLICY_ERROR


def test_settle_says_who_calls_even_where_policy_may_set_that_header() -> None:
    """Configuration refuses such a setting; if it came through, the token's word would stand."""
    outgoing = Outgoing(policy_headers=frozenset({"x-agent-id"}))
    ruling = Ruling(Action.ALLOW, headers=(("x-agent-id", "the-boss"),))
    decision = settle(ruling, make_call(), make_agent(), outgoing, "d-1")

    assert isinstance(decision, Allowed)
    assert dict(decision.set_headers)["x-agent-id"] == "agent-1"


def test_settle_lets_a_ruling_keep_cookies_from_the_tool() -> None:
    """Taking a credential away is what redaction is for; setting one is not."""
    decision = allowed(sanitize(Redaction("header", "cookie")), headers={"cookie": b"a=b"})
    replaced = settled(sanitize(Redaction("header", "cookie", "c=d")), headers={"cookie": b"a=b"})

    assert "cookie" in decision.remove_headers
    assert isinstance(replaced, Refused)


@pytest.mark.parametrize(
    "name",
    [
        *("x-agent-id", "host", ":path", "content-length", "authorization"),
        *("x-http-method-override", "content-encoding", "x-forwarded-for", "x-envoy-retry-on"),
    ],
)
def test_settle_refuses_a_ruling_that_redacts_a_foreign_header(name: str) -> None:
    """Redaction is no way round that either."""
    decision = settled(sanitize(Redaction("header", name, "v")))

    assert isinstance(decision, Refused)
    assert decision.reason is Reason.POLICY_ERROR


@pytest.mark.parametrize(
    ("ruling", "reason"),
    [
        (Ruling(Action.DENY, reason="r", detail="d"), Reason.POLICY_DENIED),
        (Ruling(Action.APPROVAL_NEEDED, reason="r", detail="d"), Reason.APPROVAL_NEEDED),
    ],
)
def test_settle_refuses_when_policy_does_not_allow(ruling: Ruling, reason: Reason) -> None:
    """The policy's public word travels, its detail is for the record."""
    decision = settled(ruling)

    assert isinstance(decision, Refused)
    assert (decision.reason, decision.public, decision.detail) == (reason, "r", "d")


def test_settle_names_the_approval_that_a_call_waits_for() -> None:
    """Every held call has an id of its own."""
    decision = settled(Ruling(Action.APPROVAL_NEEDED))

    assert isinstance(decision, Refused)
    assert decision.approval_id == "apr-d-1"


def test_settle_redacts_headers_by_replacing_or_removing_them() -> None:
    """With a replacement the tool sees that, without one it sees nothing."""
    ruling = sanitize(Redaction("header", "x-ssn", "***"), Redaction("header", "x-mail"))
    decision = allowed(ruling, headers={"x-ssn": b"1", "x-mail": b"2"})

    assert dict(decision.set_headers)["x-ssn"] == "***"
    assert "x-mail" in decision.remove_headers
    assert decision.sanitized


def test_settle_does_not_invent_a_header_that_was_not_sent() -> None:
    """A replacement is for what is there."""
    decision = allowed(sanitize(Redaction("header", "x-ssn", "***")))

    assert "x-ssn" not in dict(decision.set_headers)


def test_settle_redacts_query_parameters() -> None:
    """Only those that are there, by the names that Envoy looks for."""
    ruling = sanitize(
        Redaction("query", "mail", "x"), Redaction("query", "ssn"), Redaction("query", "no")
    )
    decision = allowed(ruling, raw_query="mail=a&ssn=b&q=c")

    assert decision.set_query == (("mail", "x"),)
    assert decision.remove_query == ("ssn",)


@pytest.mark.parametrize(
    "query", ["%6dail=a", "a=1;mail=b", "m%61il=a&mail=b", "ma+il=1", "ma~il=1"]
)
def test_settle_refuses_to_redact_a_query_that_is_spelled_differently(query: str) -> None:
    """Envoy would not find the name that the tool decodes."""
    decision = settled(sanitize(Redaction("query", "mail", "x")), raw_query=query)

    assert isinstance(decision, Refused)
    assert decision.reason is Reason.SANITIZE_IMPOSSIBLE


@pytest.mark.parametrize("replacement", ["a b", "j@x", "a%20b", "~", "é", "a&b=c", "x\r\n"])
def test_settle_refuses_a_replacement_that_envoy_would_not_write(replacement: str) -> None:
    """Envoy would answer 500 to a call that the record shows as allowed."""
    decision = settled(sanitize(Redaction("query", "mail", replacement)), raw_query="mail=a")

    assert isinstance(decision, Refused)
    assert decision.reason is Reason.SANITIZE_IMPOSSIBLE


@pytest.mark.parametrize("rewrite", list(Rewrite))
def test_settle_refuses_to_redact_a_body_that_nothing_rewrites(rewrite: Rewrite) -> None:
    """The original must not pass for the sanitised one."""
    decision = settled(sanitize(Redaction("body", "/a", "x")), rewrite=rewrite)

    assert isinstance(decision, Refused)
    assert decision.reason is Reason.SANITIZE_IMPOSSIBLE
