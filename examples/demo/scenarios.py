"""The rows of the demo: what an agent tries, what has to happen, and how to find out.

They run in order, each against the whole line of Envoy, sidecar and tool. ``got`` is put together
from the answer and from what the tool itself saw; a row passes when it is equal to ``expected``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from examples.demo.client import Answer, call, tool_call
from examples.demo.issuer import Issuer
from examples.demo.processes import Stage
from examples.demo.rows import Act, Group, Scenario, Seen

Mint: TypeAlias = Callable[[Issuer], str | None]

CUSTOMER: Final = "/customers/7"
READS: Final = "read:customers:7"
WRITES: Final = "write:customers:7"
EXPORTS: Final = "write:exports:*"
TRANSFERS: Final = "write:payments:transfer"

SPOOFED: Final = (
    ("X-Agent-Id", "the-boss"),
    ("X-Agent-Tenant", "globex"),
    ("X-Agent-Scopes", "write:customers:*"),
)
"""What a client says of itself; the tool must never hear it."""


def holding(*scopes: str, **claims: Any) -> Mint:
    """Mint a token with these scopes and claims when its row is run."""
    return lambda issuer: issuer.mint(*scopes, **claims)


def ask(
    method: str,
    target: str,
    mint: Mint,
    *,
    headers: tuple[tuple[str, str], ...] = (),
    body: dict[str, Any] | None = None,
    then: Callable[[Answer], str] = lambda _: "",
    notes: Callable[[Answer], tuple[str, ...]] = lambda _: (),
) -> Act:
    """One request. ``then`` adds to what was got; ``notes`` go under the row."""

    async def act(stage: Stage) -> Seen:
        before = stage.tool.calls
        answer = await call(
            stage.http, method, target, mint(stage.issuer), headers=headers, body=body
        )
        got = f"{answer.word} {then(answer)}".strip()
        if not answer.echo and stage.tool.calls != before:
            got += ", yet the tool was called"
        return Seen(got, answer.milliseconds, notes(answer))

    return act


def mcp(mint: Mint, **arguments: object) -> Act:
    """Call the tool ``transfer`` as an MCP client does."""
    return ask("POST", "/mcp", mint, body=tool_call("transfer", **arguments))


def tool_saw(*prefixes: str) -> Callable[[Answer], tuple[str, ...]]:
    """Headers as the tool's echo has them."""
    return lambda answer: tuple(
        f"tool saw {name}: {', '.join(values)}"
        for name, values in answer.headers.items()
        if name.startswith(prefixes)
    )


def query_seen(answer: Answer) -> tuple[str, ...]:
    """The query as the tool's echo has it."""
    return (f"tool saw ?{answer.echo.get('query')}",)


async def single_use_twice(stage: Stage) -> Seen:
    """One single-use token, two calls."""
    token = stage.issuer.mint(EXPORTS, single_use=True)
    first = await call(stage.http, "POST", "/exports/q3", token)
    again = await call(stage.http, "POST", "/exports/q3", token)
    return Seen(f"{first.word}, then {again.word}", first.milliseconds)


async def hundred_reads(stage: Stage) -> Seen:
    """One ordinary token, a hundred calls, one after the other."""
    token = stage.issuer.mint(READS)
    answers = [await call(stage.http, "GET", CUSTOMER, token) for _ in range(100)]
    words = sorted({answer.word for answer in answers})
    times = sorted(answer.milliseconds for answer in answers)
    slowest = f"median {times[50]:.1f} ms, 99th {times[98]:.1f} ms"
    return Seen(f"100 x {', '.join(words)}", times[50], (slowest,))


CALLS: Final = Group(
    "an agent calls",
    (
        Scenario("read", "200", ask("GET", CUSTOMER, holding(READS))),
        Scenario("write, scope held", "200", ask("PUT", CUSTOMER, holding(WRITES))),
        Scenario(
            "write, scope missing", "403 insufficient_scope", ask("PUT", CUSTOMER, holding(READS))
        ),
        Scenario(
            "write to another customer",
            "403 insufficient_scope",
            ask("PUT", "/customers/8", holding(WRITES)),
        ),
        Scenario("write, no token", "401 token_missing", ask("PUT", CUSTOMER, lambda _: None)),
        Scenario(
            "write, expired token",
            "401 token_expired",
            ask("PUT", CUSTOMER, holding(WRITES, lifetime=-60)),
        ),
        Scenario(
            "write, forged token",
            "401 signature_invalid",
            ask("PUT", CUSTOMER, holding(WRITES, forged=True)),
        ),
        Scenario(
            "write, token for another audience",
            "401 audience_refused",
            ask("PUT", CUSTOMER, holding(WRITES, aud="billing")),
        ),
        Scenario(
            "read, forged token (Envoy's guard)",
            "401 Jwt verification fails",
            ask("GET", CUSTOMER, holding(READS, forged=True)),
        ),
        Scenario(
            "read of acme's items by globex",
            "403 tenant_mismatch",
            ask("GET", "/acme/1", holding("read:items:1", tenant="globex")),
        ),
        Scenario(
            "read, claiming to be the-boss",
            "200 as agent-7 of acme",
            ask(
                "GET",
                CUSTOMER,
                holding(READS),
                headers=SPOOFED,
                then=lambda answer: (
                    f"as {', '.join(answer.headers.get('x-agent-id', ['nobody']))}"
                    f" of {', '.join(answer.headers.get('x-agent-tenant', ['nobody']))}"
                ),
                notes=tool_saw("x-agent-", "x-authz-", "authorization"),
            ),
        ),
        Scenario(
            "query with an e-mail, sanitised",
            "200 email=redacted&q=shoes",
            ask(
                "GET",
                "/search?q=shoes&email=ann@example.com",
                holding("read:customers:search"),
                then=lambda answer: str(answer.echo.get("query")),
                notes=query_seen,
            ),
        ),
    ),
)

PAYMENTS: Final = Group(
    "an agent pays, over MCP",
    (
        Scenario("MCP transfer of 900", "200", mcp(holding(TRANSFERS), to="bob", amount=900)),
        Scenario(
            "MCP transfer of 5000",
            "403 approval_needed",
            mcp(holding(TRANSFERS), to="bob", amount=5000),
        ),
        Scenario(
            "MCP transfer of 'plenty'",
            "403 policy_denied",
            mcp(holding(TRANSFERS), to="bob", amount="plenty"),
        ),
    ),
)

TOKENS: Final = Group(
    "a token comes again",
    (
        Scenario("single-use token, used twice", "200, then 401 replayed", single_use_twice),
        Scenario("ordinary token, used 100 times", "100 x 200", hundred_reads),
    ),
)
