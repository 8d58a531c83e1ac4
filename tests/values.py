"""Values for tests: complete, plain, and changed by keyword."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sidecar.core.model import (
    Access,
    Action,
    Agent,
    Allowed,
    Ancestor,
    Binding,
    Call,
    Dependency,
    Marker,
    Peer,
    Protocol,
    Refused,
    Request,
    Rewrite,
    Ruling,
    Scope,
    ToolCall,
    Verdict,
)
from sidecar.core.reasons import Reason

ISSUER = "https://issuer.example"
NOW = 1_800_000_000.0

REQUEST = Request(
    id="req-1",
    method="GET",
    scheme="https",
    host="tools.example",
    path="/customers/7",
    segments=("customers", "7"),
    raw_query="",
    query=(),
    headers={"authorization": (b"Bearer a.b.c",)},
    body=b"",
    marker=Marker("customers", "open", "none", "0" * 16),
    peer=Peer("192.0.2.7"),
)

CALL = Call(
    request=REQUEST,
    route="customers",
    protocol=Protocol.HTTP,
    access=Access.READ,
    audience="tools",
    tenant=None,
    scope=Scope("read", "customers", "7"),
    single_use=False,
    forward_token=False,
    rewrite=Rewrite.NONE,
    params={"customer": "7"},
    tool=None,
    server="",
)

AGENT = Agent(
    issuer=ISSUER,
    tenant="acme",
    subject="agent-1",
    agent="agent-1",
    task="task-1",
    session="",
    scopes=(Scope("read", "customers", "*"),),
    jti="jti-1",
    kid="key-1",
    issued_at=NOW - 10,
    expires_at=NOW + 290,
    usable_until=NOW + 295,
    single_use=False,
    actor="agent-1",
)


def make_call(
    *, raw_query: str = "", headers: dict[str, bytes] | None = None, **changes: Any
) -> Call:
    """A call of ``CALL``'s kind; ``raw_query`` and ``headers`` change its request."""
    request = CALL.request
    if raw_query:
        split = [pair.partition("=") for pair in raw_query.split("&")]
        pairs = tuple((name, value) for name, _, value in split)
        request = replace(request, raw_query=raw_query, query=pairs)
    if headers:
        extra = {name: (value,) for name, value in headers.items()}
        request = replace(request, headers={**request.headers, **extra})
    return replace(CALL, request=request, **changes)


def make_agent(**changes: Any) -> Agent:
    """An agent of ``AGENT``'s kind; its subject holds the token unless told otherwise."""
    return replace(AGENT, **{"actor": changes.get("subject", AGENT.subject), **changes})


class StillClock:
    """Stands at ``NOW``; a monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.wall = NOW
        self.ticks = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.ticks


def full_verdict() -> tuple[Verdict, Verdict]:
    """A pass and a refusal with everything in them that a verdict can hold."""
    tool = ToolCall("tools/call", "transfer", {}, 1)
    # A sensitive read passes without policy by an exception of its route only.
    call = make_call(access=Access.SENSITIVE, protocol=Protocol.MCP, tool=tool, server="payments")
    known = Verdict(
        Allowed((), ()),
        skipped=(Dependency.POLICY,),
        request=REQUEST,
        call=call,
        agent=make_agent(
            session="s-1",
            actor="actor-1",
            ancestors=(Ancestor("root-1"),),
            bindings=frozenset({Binding.CERTIFICATE}),
            marks=("stale_policy",),
        ),
        ruling=Ruling(Action.ALLOW, reason="r", detail="d"),
    )
    refused = Refused(Reason.APPROVAL_NEEDED, "detail", "public", "apr-1")
    return known, replace(known, decision=refused)
