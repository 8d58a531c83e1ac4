"""No caller brings about an outage of the ledger: what is full refuses, through the whole gate."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.core.delegation import Delegation
from sidecar.core.model import Binding, Conflict, Effects, Proof
from sidecar.core.pins import PROOFS_PER_AGENT, proof_claim
from tests.gate import CATALOGUE, ORDERS, TICKETS, Gate, check, full_ledger
from tests.values import NOW, make_agent

CARTS = replace(ORDERS, session_header="x-cart")
OTHER = replace(CARTS, name="other", path=("other", "{order}"), audience="https://other.test")
PINNED = replace(CATALOGUE, routes={**CATALOGUE.routes, CARTS.name: CARTS, OTHER.name: OTHER})
ONCE = check("GET", "/tickets", route=TICKETS, scope=["read:orders:*"])


def agent(name: str) -> dict[str, Any]:
    return {"sub": f"spiffe://acme.test/agent/{name}", "agent_id": name, "jti": name}


def cart(value: str, name: str, method: str = "GET") -> bytes:
    """A call in a session of the tool."""
    return check(method, route=CARTS, headers={"x-cart": value.encode()}, **agent(name))


async def said(gate: Gate, raw: bytes) -> str:
    """``ok``, the reason of a refusal, or what was skipped."""
    answer = await gate.answer(raw)
    if answer.status.code:
        word: str = json.loads(answer.denied_response.body)["reason"]
        return word
    return ",".join(one.value for one in gate.seen[-1].verdict.skipped) or "ok"


async def test_one_agents_flood_of_sessions_is_its_own_refusal() -> None:
    """A thousand, and no more; everybody else goes on, and so do its own sessions."""
    gate = Gate(catalogue=PINNED, ledger=MemoryLedger(capacity=100, per_owner=10))
    answers = [await said(gate, cart(f"s{n}", "flooder")) for n in range(1003)]

    assert answers == ["ok"] * 1000 + ["quota_exceeded"] * 3
    assert await said(gate, cart("s0", "flooder")) == "ok"
    assert await said(gate, cart("mine", "victim")) == "ok"
    assert await said(gate, cart("mine", "flooder")) == "session_refused"


async def test_read_in_a_session_is_refused_when_pins_have_no_room() -> None:
    """It does not pass unpinned, and whose a session is stays known."""
    gate = Gate(catalogue=PINNED, ledger=MemoryLedger(capacity=100, per_owner=10, pins_capacity=1))
    assert await said(gate, cart("held", "victim")) == "ok"

    assert await said(gate, cart("new", "victim")) == "overloaded"
    assert await said(gate, cart("new", "victim", "PUT")) == "overloaded"
    assert await said(gate, cart("held", "thief")) == "session_refused"
    assert await said(gate, cart("held", "victim")) == "ok"


@pytest.mark.parametrize(
    ("raw", "profile"),
    [
        (ONCE, {}),
        (check(single_use=True), {}),
        (check(), {"bind": frozenset({Binding.FIRST_PEER})}),
    ],
    ids=["route", "token", "first-peer"],
)
async def test_read_is_refused_when_the_ledger_is_full(raw: bytes, profile: dict[str, Any]) -> None:
    """Whoever asked for it to be remembered: a full ledger opens nothing."""
    gate = Gate(ledger=full_ledger(), profile=profile)

    assert await said(gate, raw) == "overloaded"
    assert gate.seen[-1].verdict.skipped == ()


async def test_proofs_take_no_room_of_single_use_tokens() -> None:
    """As many proofs as there is room for; a token is still used once, and then known."""
    ledger = MemoryLedger(capacity=PROOFS_PER_AGENT // 10, per_owner=10)
    said_of_proofs: list[Conflict | None] = []
    for n in range(PROOFS_PER_AGENT // 10 + 1):
        proof = Proof("J" * 43, f"p-{n}", NOW, NOW + 65)
        claim = proof_claim(make_agent(tenant="evil", agent="evil", proof=proof))
        assert claim is not None
        said_of_proofs.append(await ledger.commit(Effects((claim,)), now=NOW, deadline=0))
    assert said_of_proofs[-2:] == [None, Conflict.OVERLOADED]
    gate = Gate(ledger=ledger)

    assert [await said(gate, ONCE) for _ in range(3)] == ["ok", "replayed", "replayed"]


async def test_session_is_anothers_on_a_second_route_to_the_same_server() -> None:
    """Each route asks for its own audience; the session is the server's."""
    gate = Gate(catalogue=PINNED)
    assert await said(gate, cart("s", "victim")) == "ok"
    ride: dict[str, Any] = {"route": OTHER, "headers": {"x-cart": b"s"}, "aud": OTHER.audience}

    assert await said(gate, check(path="/other/o-1", **ride, **agent("thief"))) == "session_refused"
    assert await said(gate, check(path="/other/o-1", **ride, **agent("victim"))) == "ok"


async def test_session_is_another_actors_own() -> None:
    """Two who act for one agent do not share its session."""
    gate = Gate(catalogue=PINNED, profile={"delegation": frozenset({Delegation.ACT})})
    route: dict[str, Any] = {"route": CARTS, "headers": {"x-cart": b"s"}}
    by = {who: check(**route, **agent("a"), act={"sub": who}) for who in ("one", "two")}

    answers = [await said(gate, by[who]) for who in ("one", "two", "one")]
    assert answers == ["ok", "session_refused", "ok"]


async def test_full_ledger_refuses_fifty_at_once() -> None:
    """One answer for all: no race opens it."""
    gate = Gate(ledger=full_ledger())

    assert set(await asyncio.gather(*(said(gate, ONCE) for _ in range(50)))) == {"overloaded"}
