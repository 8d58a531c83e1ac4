"""Smuggling: requests that mean one thing to one part of the line and another to the next."""

from __future__ import annotations

import json

import pytest

from examples.demo.client import tool_call
from examples.demo.processes import Stage
from tests.e2e.conftest import Ask

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "name",
    [
        "X-Agent-Id", "X-Agent-Whatever", "X-Authz-Decision-Id", "X-Authz-Skipped",
        "X-Envoy-Auth-Failure-Mode-Allowed", "X-Envoy-Auth-Partial-Body", "X-Envoy-Retry-On",
        "X-HTTP-Method-Override", "X-Method-Override", "X-Forwarded-For", "Forwarded",
        "Proxy-Authorization",
    ],
)  # fmt: skip
async def test_header_does_not_reach_the_tool_when_a_client_sends_it(
    stage: Stage, ask: Ask, name: str
) -> None:
    """Whatever the header is for, the client's copy of it is gone; there is no second copy."""
    token = stage.issuer.mint("read:customers:7")
    answer = await ask("GET", "/customers/7", token, headers=[(name, "forged")])

    assert answer.status == 200
    values = answer.headers.get(name.lower(), [])
    assert len(values) <= 1
    assert not any("forged" in value for value in values)


@pytest.mark.parametrize("name", ["x_agent_id", "X_Agent_Id", "x_envoy_auth_failure_mode_allowed"])
async def test_request_is_refused_when_a_header_name_holds_an_underscore(
    stage: Stage, ask: Ask, name: str
) -> None:
    """It would be ``X-Agent-Id`` to a tool that maps names to variables."""
    token = stage.issuer.mint("read:customers:7")
    answer = await ask("GET", "/customers/7", token, headers=[(name, "forged")])

    assert answer.status == 400


async def test_hop_by_hop_trick_fails_when_it_names_identity_headers(
    stage: Stage, ask: Ask
) -> None:
    """``Connection: x-agent-id`` takes nothing away that scopegate sets later."""
    token = stage.issuer.mint("read:customers:7")
    answer = await ask("GET", "/customers/7", token, headers=[("Connection", "x-agent-id")])

    assert answer.headers["x-agent-id"] == ["agent-7"]


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("/customers/%2e%2e/admin", "404"),
        ("/customers/7/../../admin", "404"),
        ("//admin", "404"),
        ("/customers/7/secrets", "404"),
        ("/customers/7%2f..%2fadmin", "400"),
        ("/customers/7%5c..%5cadmin", "400"),
        ("/customers/7%00", "400"),
        ("/customers/7;x=1", "400 path_malformed"),
        ("/customers/*", "400 path_malformed"),
    ],
)
async def test_path_trick_fails_when_it_leaves_its_route(
    stage: Stage, ask: Ask, target: str, word: str
) -> None:
    """Envoy refuses a path that could mean two things, scopegate one that holds no identifier."""
    before = stage.tool.calls
    answer = await ask("GET", target, stage.issuer.mint("read:customers:*"))

    assert (answer.word, stage.tool.calls) == (word, before)


async def test_path_reaches_the_tool_as_it_was_judged(stage: Stage, ask: Ask) -> None:
    """Dots and slashes are resolved before anybody looks: the scope is for what the tool gets."""
    token = stage.issuer.mint("read:customers:8")
    answer = await ask("GET", "//customers/7/../8", token)

    assert (answer.status, answer.echo["path"]) == (200, "/customers/8")


async def test_duplicate_parameters_become_one_when_a_query_is_sanitised(
    stage: Stage, ask: Ask
) -> None:
    """No second copy of the address gets through."""
    token = stage.issuer.mint("read:customers:search")
    answer = await ask("GET", "/search?email=a@x.example&q=1&email=b@x.example", token)

    assert (answer.status, answer.echo["query"]) == (200, "email=redacted&q=1")


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("%65mail=a@x.example", "403 sanitize_impossible"),
        ("email=a&%65mail=b", "403 sanitize_impossible"),
        ("email=a;email=b", "400 query_malformed"),
    ],
)
async def test_query_is_refused_when_it_cannot_be_sanitised_with_certainty(
    stage: Stage, ask: Ask, query: str, word: str
) -> None:
    """Envoy replaces names as they are spelt, a tool decodes them: such a query does not pass."""
    before = stage.tool.calls
    answer = await ask("GET", f"/search?{query}", stage.issuer.mint("read:customers:search"))

    assert (answer.word, stage.tool.calls) == (word, before)


async def test_upgrade_is_refused(stage: Stage, ask: Ask) -> None:
    """One check cannot answer for a WebSocket's frames."""
    token = stage.issuer.mint("read:customers:7")
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    answer = await ask("GET", "/customers/7", token, headers=upgrade)

    assert answer.status == 403


async def test_request_is_refused_when_it_has_two_tokens(stage: Stage, ask: Ask) -> None:
    """Neither guard nor sidecar picks one."""
    token = stage.issuer.mint("read:customers:7", "write:customers:7")
    second = [("Authorization", f"Bearer {token}")]
    read = await ask("GET", "/customers/7", token, headers=second)
    write = await ask("PUT", "/customers/7", token, headers=second)

    assert (read.status, write.word) == (401, "401 token_ambiguous")


@pytest.mark.parametrize("header", ["forged", "foo Bearer {token}", "Bearer {token} x"])
async def test_odd_authorization_is_refused_when_the_guard_is_generous(
    stage: Stage, ask: Ask, header: str
) -> None:
    """Envoy finds a token in the middle of a header; the sidecar wants it to be all of it."""
    token = stage.issuer.mint("read:customers:7")
    sent = [("Authorization", header.format(token=token))]
    answer = await ask("GET", "/customers/7", headers=sent)

    assert answer.status == 401


async def test_headers_are_refused_when_they_are_huge_or_many(stage: Stage, ask: Ask) -> None:
    """Before anybody has parsed them."""
    token = stage.issuer.mint("read:customers:7")
    huge = await ask("GET", "/customers/7", token, headers=[("X-Big", "x" * 40_000)])
    many = await ask("GET", "/customers/7", token, headers=[(f"X-{n}", "x") for n in range(80)])

    assert (huge.status, many.status) == (431, 431)


@pytest.mark.parametrize(("size", "status"), [(65_536, 200), (65_537, 413)])
async def test_body_is_judged_whole_or_refused(
    stage: Stage, ask: Ask, size: int, status: int
) -> None:
    """There is no such thing as the first part of a body."""
    token = stage.issuer.mint("write:customers:7")
    answer = await ask("PUT", "/customers/7", token, body=b"x" * size)

    assert answer.status == status


@pytest.mark.parametrize(
    "body",
    [
        b"[" + json.dumps(tool_call("transfer", amount=1)).encode() + b"]",
        b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}',
        b"not json",
    ],
    ids=["batch", "duplicate key", "not json"],
)
async def test_mcp_body_is_refused_when_it_could_mean_two_things(
    stage: Stage, ask: Ask, body: bytes
) -> None:
    """Batches, duplicate keys, no JSON: 400, and the tool hears nothing."""
    before = stage.tool.calls
    token = stage.issuer.mint("read:payments:balance", "write:payments:transfer")
    headers = [("Content-Type", "application/json")]
    answer = await ask("POST", "/mcp", token, headers=headers, body=body)

    assert (answer.word, stage.tool.calls) == ("400 body_malformed", before)


async def test_method_override_in_the_query_is_judged_as_a_write(stage: Stage, ask: Ask) -> None:
    """It takes the closed lane, where scopegate may let it pass; the open lane never sees it."""
    before = await stage.envoy_stat("http.tools.ext_authz.closed.ok")
    token = stage.issuer.mint("read:customers:7")
    answer = await ask("GET", "/customers/7?_method=DELETE", token)

    assert answer.status == 200
    assert await stage.envoy_stat("http.tools.ext_authz.closed.ok") == before + 1
