"""(8) What belongs to whoever used it first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.digest import hash_tag
from sidecar.core.model import (
    Binding,
    Call,
    Claim,
    Conflict,
    Dependency,
    Effects,
    Pin,
    Proof,
    Refused,
)
from sidecar.core.pins import PROOFS_PER_AGENT, SESSION_S, pins_of, proof_claim, strictest
from sidecar.core.reasons import Reason
from tests.values import ISSUER, NOW, make_agent, make_call

HEADER = "mcp-session-id"
STRICT = Dependency.REPLAY_OF_SINGLE_USE_TOKEN


def session_call(*values: bytes, header: str = HEADER, **changes: Any) -> Call:
    """A call of a route whose sessions are named by ``HEADER``."""
    call = make_call(session_header=HEADER, **changes)
    return replace(call, request=replace(call.request, headers={header: values} if values else {}))


def session_pin(call: Call, **agent: Any) -> Pin:
    found = pins_of(call, make_agent(**agent), now=NOW)
    assert not isinstance(found, Refused)
    (pin,) = found
    return pin


def peer_pin(peer: str, **agent: Any) -> Pin:
    return session_pin(make_call(), bindings=frozenset({Binding.FIRST_PEER}), peer=peer, **agent)


def refused(call: Call, **agent: Any) -> Reason | None:
    found = pins_of(call, make_agent(**agent), now=NOW)
    return found.reason if isinstance(found, Refused) else None


# --- sessions -----------------------------------------------------------------------------------


def test_pins_are_none_when_nothing_is_asked_for() -> None:
    """A route without sessions pins none, whatever header comes; nor does a call without one."""
    assert pins_of(make_call(headers={HEADER: b"s"}), make_agent(), now=NOW) == ()
    assert pins_of(session_call(), make_agent(), now=NOW) == ()


def test_session_is_pinned_for_a_day_after_its_use() -> None:
    """By a row that may be open: the session is no credential."""
    pin = session_pin(session_call(b"s-1"))

    assert (pin.until, pin.dependency) == (NOW + SESSION_S, Dependency.REPLAY)
    assert pin.conflict is Conflict.SESSION_OF_ANOTHER
    assert pin.key.startswith("{")
    assert pin.key.endswith("}:session")
    assert "s-1" not in pin.key + pin.holder


@pytest.mark.parametrize(
    "other",
    [
        session_call(b"s-2"),
        session_call(b"S-1"),
        replace(session_call(b"s-1", header="x-session"), session_header="x-session"),
    ],
    ids=["value", "case", "header"],
)
def test_session_is_another_when_its_header_or_value_is(other: Call) -> None:
    """What a tool would tell apart."""
    assert session_pin(other).key != session_pin(session_call(b"s-1")).key


@pytest.mark.parametrize(
    "other",
    [
        session_call(b"s-1", audience="other-tool"),
        session_call(b"s-1", route="other", server="other"),
        replace(session_call(b"s-1", header="mcp_session-id"), session_header="mcp_session-id"),
    ],
    ids=["audience", "route", "spelling"],
)
def test_session_is_the_same_on_every_route(other: Call) -> None:
    """One server may be behind several: by another one nobody rides a session."""
    assert session_pin(other).key == session_pin(session_call(b"s-1")).key


def test_session_key_is_the_same_for_every_agent() -> None:
    """Or else nobody would ever meet."""
    other = session_pin(session_call(b"s"), subject="x", tenant="y", issuer="z", agent="w")

    assert other.key == session_pin(session_call(b"s")).key


@pytest.mark.parametrize("field", ["issuer", "tenant", "subject", "agent", "actor", "actor_issuer"])
def test_session_holder_is_another_when_the_agent_is(field: str) -> None:
    """Issuer, tenant, subject, agent and who acts for it: each alone makes somebody else."""
    ours = session_pin(session_call(b"s"), actor="somebody")
    other = session_pin(session_call(b"s"), **{"actor": "somebody", field: "other"})

    assert other.holder != ours.holder


def test_session_holder_is_the_same_when_the_token_is_new() -> None:
    """A session outlives its agent's tokens."""
    new = session_pin(session_call(b"s"), jti="new", issued_at=NOW, task="t2", session="x")

    assert new.holder == session_pin(session_call(b"s")).holder


@pytest.mark.parametrize("value", [b"s", b"!", b"~", b"a" * 256, b"eyJ.x-y_z=", b"a:b;c/d"])
def test_session_passes_when_it_is_visible_ascii(value: bytes) -> None:
    """MCP 2025-11-25: 0x21 to 0x7E; a comma excepted."""
    assert refused(session_call(value)) is None


@pytest.mark.parametrize(
    "values",
    [
        (b"",),
        (b"a" * 257,),
        (b"a b",),
        (b" a",),
        (b"a\t",),
        (b"a\n",),
        (b"a\x7f",),
        (b"\xc3\xa9",),
        (b"a", b"b"),
        (b"a", b"a"),
        (b"a,b",),
    ],
    ids=repr,
)
def test_session_is_refused_when_it_is_not_one(values: tuple[bytes, ...]) -> None:
    """Two values, or two in one, are read differently by whoever takes the other."""
    assert refused(session_call(*values)) is Reason.SESSION_REFUSED


@pytest.mark.parametrize("name", ["mcp_session_id", "mcp-session_id"])
@pytest.mark.parametrize("beside", [{}, {HEADER: (b"mine",)}])
def test_session_is_refused_when_a_tool_may_read_another_header_as_it(
    name: str, beside: dict[str, tuple[bytes, ...]]
) -> None:
    """CGI and WSGI make no difference between "_" and "-"."""
    call = session_call()
    call = replace(call, request=replace(call.request, headers={**beside, name: (b"theirs",)}))

    assert refused(call) is Reason.SESSION_REFUSED


def test_session_is_refused_without_its_value() -> None:
    """A record names the header, not what stood there."""
    found = pins_of(session_call(b"s3cr3t", b"s3cr3t"), make_agent(), now=NOW)

    assert isinstance(found, Refused)
    assert found.detail == f"no single session in {HEADER}"


# --- the first peer -----------------------------------------------------------------------------


HERE, THERE = "address:192.0.2.7", "principal:spiffe://a/b"


def test_first_peer_is_pinned_as_long_as_the_token_is_usable() -> None:
    """By a row that is never open: it stands in for a binding."""
    pin = peer_pin(HERE)

    assert (pin.until, pin.dependency) == (make_agent().usable_until, STRICT)
    assert pin.conflict is Conflict.ANOTHER_PEER
    assert pin.key.startswith("{")
    assert pin.key.endswith("}:first-peer")


def test_first_peer_is_no_pin_when_it_is_not_asked_for() -> None:
    """A token with a binding of its own needs none."""
    agent = make_agent(bindings=frozenset({Binding.CERTIFICATE}), peer=HERE)

    assert pins_of(make_call(), agent, now=NOW) == ()


@pytest.mark.parametrize("changes", [{"issuer": "other"}, {"tenant": "other"}, {"jti": "other"}])
def test_first_peer_is_of_one_token(changes: dict[str, str]) -> None:
    """Issuer, tenant and jti name it."""
    assert peer_pin(HERE, **changes).key != peer_pin(HERE).key


def test_first_peer_key_is_the_same_for_every_peer() -> None:
    """Or else nobody would ever meet; the holders differ."""
    assert peer_pin(HERE).key == peer_pin(THERE).key
    assert peer_pin(HERE).holder != peer_pin(THERE).holder


def test_first_peer_is_refused_when_nobody_names_one() -> None:
    """Nobody is no holder: all who are not named would share the token."""
    bindings = frozenset({Binding.FIRST_PEER})

    assert refused(make_call(), bindings=bindings, peer="") is Reason.BINDING_REFUSED


def test_first_peer_stands_before_the_session() -> None:
    """Who may not use the token takes no session with it."""
    agent = make_agent(bindings=frozenset({Binding.FIRST_PEER}), peer=HERE)
    found = pins_of(session_call(b"s"), agent, now=NOW)

    assert not isinstance(found, Refused)
    assert [pin.conflict for pin in found] == [Conflict.ANOTHER_PEER, Conflict.SESSION_OF_ANOTHER]
    assert len({pin.key.split("}")[0] for pin in found}) == 2


# --- whom pins count for ------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["issuer", "tenant", "agent"])
def test_pins_count_for_their_own_agent(field: str) -> None:
    """One agent's flood is nobody else's, whatever it pins."""
    ours, other = session_pin(session_call(b"s")), {field: "other"}

    assert session_pin(session_call(b"s"), **other).owner != ours.owner
    assert peer_pin(HERE, **other).owner != ours.owner


@pytest.mark.parametrize("field", ["subject", "actor", "actor_issuer", "jti", "task", "session"])
def test_pins_count_for_one_agent_however_it_comes(field: str) -> None:
    """Nobody gets a second quota by a new token, or by acting for somebody else."""
    ours, other = session_pin(session_call(b"s")), {field: "other"}

    assert session_pin(session_call(b"t"), **other).owner == ours.owner
    assert peer_pin(THERE, **other).owner == ours.owner


# --- proofs -------------------------------------------------------------------------------------

PROOF = Proof("thumb", "proof-1", NOW - 1, NOW + 30)


def proof(changes: dict[str, Any] | None = None, **agent: Any) -> Claim:
    claim = proof_claim(make_agent(proof=replace(PROOF, **(changes or {})), **agent))
    assert claim is not None
    return claim


def test_proof_is_no_claim_when_there_is_none() -> None:
    """Most tokens need none."""
    assert proof_claim(make_agent()) is None


def test_proof_is_claimed_until_no_such_proof_is_taken() -> None:
    """RFC 9449, section 11.1; a silent ledger refuses, and proofs have a quota of their own."""
    claim, tag = proof(), hash_tag(ISSUER, "acme")

    assert claim.key.startswith(f"{tag}:dpop:")
    assert claim.owner.startswith(f"{tag}:dpop-agent:")
    assert (claim.issued_at, claim.until) == (NOW - 1, NOW + 30)
    assert (claim.dependency, claim.quota) == (STRICT, PROOFS_PER_AGENT)


@pytest.mark.parametrize("changes", [{"jwk_thumbprint": "other"}, {"jti": "other"}])
def test_proof_is_another_when_key_or_jti_is(changes: dict[str, str]) -> None:
    """Two keys may choose one jti."""
    assert proof(changes).key != proof().key


def test_proof_is_the_same_when_the_token_is_new() -> None:
    """It may not serve a second request, with whatever token."""
    assert proof(jti="new", agent="x").key == proof().key


@pytest.mark.parametrize("field", ["issuer", "tenant", "agent"])
def test_proof_counts_for_its_own_agent(field: str) -> None:
    """One agent's flood is nobody else's."""
    assert proof(None, **{field: "other"}).owner != proof().owner


# --- silence ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "pins", "row"),
    [
        ((Dependency.REPLAY,), (), Dependency.REPLAY),
        ((), (Dependency.REPLAY,), Dependency.REPLAY),
        ((Dependency.REPLAY, STRICT), (), STRICT),
        ((STRICT, Dependency.REPLAY), (), STRICT),
        ((STRICT,), (Dependency.REPLAY,), STRICT),
        ((Dependency.REPLAY,), (Dependency.REPLAY, STRICT), STRICT),
    ],
)
def test_strictest_is_the_row_that_is_never_open(
    claims: tuple[Dependency, ...], pins: tuple[Dependency, ...], row: Dependency
) -> None:
    """What may be silent for one effect may not be for all of them."""
    effects = Effects(
        tuple(Claim("k", "o", NOW, one) for one in claims),
        tuple(Pin("k", "h", "o", NOW, one, Conflict.ANOTHER_PEER) for one in pins),
    )

    assert strictest(effects) is row
