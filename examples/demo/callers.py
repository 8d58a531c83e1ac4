"""Rows about whose a token is: bound, delegated, within a session, beside another credential."""

from __future__ import annotations

from typing import Final

from examples.demo.client import Answer, call, tool_call
from examples.demo.processes import Stage
from examples.demo.rows import Group, Scenario, Seen
from examples.demo.scenarios import CUSTOMER, READS, TRANSFERS, WRITES, ask, holding

THUMBPRINT: Final = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
"""Of a key that nobody here has (RFC 7638, section 3.1)."""


def _cookie_seen(answer: Answer) -> str:
    return "with the cookie" if "cookie" in answer.headers else "without the cookie"


async def ridden_session(stage: Stage) -> Seen:
    """Two agents name one MCP session, one after the other."""
    owner, rider = [await _in_session(stage, agent) for agent in ("agent-7", "agent-8")]
    got = rider.word if owner.word == "200" else f"its own agent: {owner.word}"
    return Seen(got, rider.milliseconds)


async def _in_session(stage: Stage, agent: str) -> Answer:
    token = stage.issuer.mint(TRANSFERS, sub=agent, agent_id=agent)
    body = tool_call("transfer", to="bob", amount=1)
    headers = (("Mcp-Session-Id", "session-1"),)
    return await call(stage.http, "POST", "/mcp", token, headers=headers, body=body)


CALLERS: Final = Group(
    "whose token it is",
    (
        Scenario(
            "write, bound token without its key",
            "401 dpop_refused",
            ask("PUT", CUSTOMER, holding(WRITES, cnf={"jkt": THUMBPRINT})),
        ),
        Scenario(
            "write in a user's name (act)",
            "200",
            ask("PUT", CUSTOMER, holding(WRITES, sub="user-3", act={"sub": "agent-7"})),
        ),
        Scenario("another agent in one's MCP session", "403 session_refused", ridden_session),
        Scenario(
            "read with a cookie as well",
            "200 without the cookie",
            ask("GET", CUSTOMER, holding(READS), headers=(("Cookie", "sid=1"),), then=_cookie_seen),
        ),
        Scenario(
            "read with an API key in the query",
            "400 credential_refused",
            ask("GET", f"{CUSTOMER}?api_key=k-1", holding(READS)),
        ),
    ),
)
