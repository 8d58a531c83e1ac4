"""Whether a token belongs to whoever presents it: certificates, SPIFFE ids, proofs, first peers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.binding import Caller, Callers, bind, caller_of, confirmation_of
from sidecar.core.model import (
    Agent,
    Binding,
    Confirmation,
    Credential,
    Peer,
    Proof,
    Refused,
    Scheme,
)
from sidecar.core.reasons import Reason
from tests.proofs import make_proof
from tests.requests import make_request
from tests.tokens import NOW, base64url, reason_of, signer
from tests.values import make_agent, make_call

TOKEN = b"header.payload.signature"
AGENT = "spiffe://acme.test/agent/a1"
EDGE = "spiffe://acme.test/edge"
INNER = "spiffe://acme.test/inner"
HOPS = frozenset({EDGE, INNER})

# A client certificate as Envoy 1.40 encodes it, and its Hash as Envoy writes it into
# x-forwarded-client-cert.
FROM_ENVOY = (
    b"-----BEGIN%20CERTIFICATE-----%0AMIIBUjCB%2BaADAgECAhQTppVqreoPeB4FVJoIdgYQZkKjMjAKBggqhkjO"
    b"PQQDAjAN%0AMQswCQYDVQQDDAJjYTAeFw0yNjExMjMwNzE4NDZaFw0zNjExMjAwNzE4NDZaMAwx%0ACjAIBgNVBAMM"
    b"AXgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQZdXkZjftFgiiS%0AqaIF%2BbV53aRRG3KG2DRSCQwb%2FaS1zJB"
    b"pq8QRJOtqfz5XLRyb7x9WG%2BtKhmveNiJQ%0An9e%2F79N8ozgwNjAMBgNVHRMBAf8EAjAAMCYGA1UdEQQfMB2GG3"
    b"NwaWZmZTovL2Fj%0AbWUudGVzdC9hZ2VudC9hMTAKBggqhkjOPQQDAgNIADBFAiAAxjLdSa1AysDY4f7d%0AxWwBq3"
    b"8fOh%2BSHSqU%2F%2FJw6P%2F0bgIhAKJebh2MbQRoSsEnHGWcYmfI1IYECVgemydj%0A8Ehf7IYR%0A-----END%2"
    b"0CERTIFICATE-----%0A"
)
HASH = "c4fad1a931a225bd44962808185293c83a52279beac665310e8f2a3fda5ca7c4"
THUMBPRINT = base64url(bytes.fromhex(HASH)).decode()
OTHER_HASH = sha256(b"another").hexdigest()
OTHER = base64url(bytes.fromhex(OTHER_HASH)).decode()

DIRECT = Peer("192.0.2.7", AGENT, FROM_ENVOY)
BEHIND_EDGE = Peer("192.0.2.8", EDGE, b"")
UNKNOWN = Peer("192.0.2.7")


def try_bind(
    agent: Agent | None = None,
    peer: Peer = UNKNOWN,
    *forwarded: str,
    scheme: Scheme = Scheme.BEARER,
    proof: bytes | None = None,
    issuer: frozenset[Binding] = frozenset(),
    route: frozenset[Binding] = frozenset(),
    tenants: Mapping[str, frozenset[Binding]] = MappingProxyType({}),
) -> Agent | Refused:
    """Bind an agent (``AGENT`` holds the token) to the caller of a request from ``peer``."""
    headers = {"x-forwarded-client-cert": tuple(value.encode() for value in forwarded)}
    if proof is not None:
        headers["dpop"] = (proof,)
    call = replace(make_call(bind=route), request=make_request(peer=peer, headers=headers))
    credential = Credential(scheme, TOKEN)
    agent = agent or make_agent(actor=AGENT)
    return bind(agent, issuer, call, credential, Callers(HOPS, tenants=tenants), now=NOW)


def bound(certificate: str = "", jkt: str = "") -> Agent:
    """An agent whose token is bound to these, and held by ``AGENT``."""
    return make_agent(actor=AGENT, confirmation=Confirmation(certificate, jkt))


def shown_by(answer: Agent | Refused) -> set[Binding]:
    assert isinstance(answer, Agent), answer
    return set(answer.bindings)


def caller(peer: Peer, *forwarded: str) -> Caller:
    values = tuple(value.encode() for value in forwarded)
    headers = {"x-forwarded-client-cert": values} if forwarded else {}
    return caller_of(make_request(peer=peer, headers=headers), HOPS)


# --- what a token is bound to ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "confirmation"),
    [
        ({}, None),
        ({"cnf": {"x5t#S256": THUMBPRINT}}, Confirmation(certificate=THUMBPRINT)),
        ({"cnf": {"jkt": OTHER}}, Confirmation(jwk_thumbprint=OTHER)),
        ({"cnf": {"jkt": OTHER, "x5t#S256": THUMBPRINT}}, Confirmation(THUMBPRINT, OTHER)),
    ],
)
def test_confirmation_of_reads_thumbprints_when_they_are_well_formed(
    claims: dict[str, Any], confirmation: Confirmation | None
) -> None:
    """RFC 8705, section 3.1, and RFC 9449, section 6.1; a token may have neither."""
    assert confirmation_of(claims) == confirmation


@pytest.mark.parametrize("name", ["jwk", "jwe", "kid", "jku", "x5t", "JKT", "X5T#s256", "", "jkt "])
@pytest.mark.parametrize("beside", [{}, {"jkt": OTHER}])
def test_confirmation_of_refuses_when_a_member_is_not_supported(
    name: str, beside: dict[str, str]
) -> None:
    """What is not understood is not a binding that somebody checked."""
    refused = confirmation_of({"cnf": {**beside, name: OTHER}})

    assert refused == Refused(Reason.BINDING_REFUSED, f"cnf: {name!r} is not supported")


@pytest.mark.parametrize("cnf", [None, {}, [], "jkt", 1, True, [{"jkt": OTHER}]])
def test_confirmation_of_refuses_when_cnf_is_no_object_or_empty(cnf: object) -> None:
    """A token that says it is bound, and not to what, is not free."""
    assert confirmation_of({"cnf": cnf}) == Refused(
        Reason.BINDING_REFUSED, "cnf is no object, or empty"
    )


@pytest.mark.parametrize("name", ["jkt", "x5t#S256"])
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        1,
        [OTHER],
        OTHER[:-1],
        OTHER + "=",
        OTHER + "A",
        OTHER + "\n",
        OTHER[:-1] + "B",  # a spare bit of the last character
        OTHER_HASH,
        "+" + OTHER[1:],
        "\u00e9" + OTHER[1:],
    ],
)
def test_confirmation_of_refuses_when_thumbprint_has_another_spelling(
    name: str, value: object
) -> None:
    """43 characters of base64url, and no bit that means nothing."""
    assert confirmation_of({"cnf": {name: value}}) == Refused(
        Reason.BINDING_REFUSED, f"cnf: {name} is no SHA-256 in base64url"
    )


@settings(deadline=None)
@given(
    cnf=st.recursive(st.none() | st.text() | st.integers(), st.lists)
    | st.dictionaries(
        st.sampled_from(["jkt", "x5t#S256", "jwk"]) | st.text(),
        st.text() | st.just(OTHER) | st.none(),
    )
)
def test_confirmation_of_never_raises_when_cnf_is_odd(cnf: object) -> None:
    """A refusal that can be written down, or thumbprints."""
    answer = confirmation_of({"cnf": cnf})

    if isinstance(answer, Confirmation):
        assert {answer.certificate, answer.jwk_thumbprint} <= {OTHER, ""}
    else:
        assert reason_of(answer) is Reason.BINDING_REFUSED


# --- who calls ---------------------------------------------------------------------------------


def test_caller_of_is_envoys_peer_when_nothing_stands_between() -> None:
    """The thumbprint is the hash that Envoy itself writes elsewhere for this certificate."""
    assert caller(DIRECT) == Caller(AGENT, THUMBPRINT, DIRECT.address)
    assert caller(UNKNOWN) == Caller(address=UNKNOWN.address)


@pytest.mark.parametrize(
    "certificate",
    [
        b"",
        b"not PEM",
        b"-----BEGIN%20CERTIFICATE-----%0A-----END%20CERTIFICATE-----%0A",
        b"-----BEGIN%20CERTIFICATE-----%0A%0A-----END%20CERTIFICATE-----%0A",
        FROM_ENVOY + FROM_ENVOY,
        b"x" + FROM_ENVOY,
        FROM_ENVOY + b"x",
        FROM_ENVOY.replace(b"MIIB", b"MIIB="),
        FROM_ENVOY.replace(b"MIIB", b"MII"),
        FROM_ENVOY.replace(b"MIIB", b"%FF"),
        FROM_ENVOY.replace(b"CERTIFICATE", b"PRIVATE KEY"),
        FROM_ENVOY[:-40],
        b"%",
    ],
)
def test_caller_of_has_no_certificate_when_it_is_malformed(certificate: bytes) -> None:
    """One PEM block, or nothing that a token could be bound to."""
    assert caller(Peer("192.0.2.7", AGENT, certificate)) == Caller(AGENT, "", "192.0.2.7")


@pytest.mark.parametrize("peer", [UNKNOWN, DIRECT, Peer("192.0.2.7", EDGE + "/x", b"")])
def test_caller_of_ignores_forwarded_certificate_when_peer_is_no_trusted_hop(peer: Peer) -> None:
    """98: anybody can send the header."""
    assert caller(peer, f"Hash={OTHER_HASH};URI=spiffe://acme.test/victim") == caller(peer)


@pytest.mark.parametrize(
    "forwarded",
    [
        [f"By={EDGE};Hash={HASH};URI={AGENT}"],
        [f"Hash={HASH};URI={AGENT},Hash={OTHER_HASH};URI={INNER}"],
        [f"Hash={HASH};URI={AGENT}", f"Hash={OTHER_HASH};URI={INNER}", f"URI={EDGE}"],
        [f"Hash={OTHER_HASH};URI=spiffe://acme.test/victim,Hash={HASH};URI={AGENT},URI={EDGE}"],
        [f"Hash={OTHER_HASH};URI=spiffe://acme.test/victim", f"Hash={HASH};URI={AGENT}"],
        [f"URI={EDGE},Hash={HASH};URI={AGENT}"],
    ],
)
def test_caller_of_is_the_nearest_that_is_no_hop_when_a_hop_vouches(forwarded: list[str]) -> None:
    """98: what stands further left was there before the hop wrote: anybody may have sent it."""
    assert caller(BEHIND_EDGE, *forwarded) == Caller(AGENT, THUMBPRINT)


@pytest.mark.parametrize(
    "forwarded",
    [
        [],
        [""],
        [f"URI={INNER}"],
        [f"URI={INNER},URI={EDGE}"],
        [f"Hash={HASH};URI={AGENT};URI=spiffe://acme.test/agent/a2"],
        [f"Hash={HASH};URI={AGENT};URI={EDGE}"],
        [f"Hash={HASH};URI={AGENT};URI={AGENT}"],
        [f'Hash={HASH};Subject="CN=x"'],
        [f"URI={AGENT},Hash={HASH}"],
        [f"URI={AGENT},Hash={HASH};URI={INNER};URI={EDGE}"],
        [f"URI={AGENT};Name=x"],
        [f"Name=x,URI={AGENT}"],
        [f"URI={AGENT},"],
    ],
)
def test_caller_of_is_nobody_when_a_hop_vouches_for_nobody_clearly(forwarded: list[str]) -> None:
    """The hop is not its client, and two names are none."""
    assert caller(BEHIND_EDGE, *forwarded) == Caller()
    assert caller(replace(BEHIND_EDGE, certificate=FROM_ENVOY), *forwarded) == Caller()


def test_caller_of_has_a_certificate_and_no_name_when_its_uri_is_empty() -> None:
    """Envoy writes an empty URI for a certificate that has none."""
    assert caller(BEHIND_EDGE, f"Hash={HASH};URI=") == Caller("", THUMBPRINT)


# --- certificates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "forwarded"),
    [(DIRECT, []), (BEHIND_EDGE, [f"Hash={HASH};URI={AGENT}"])],
)
def test_bind_shows_certificate_when_it_is_the_tokens(peer: Peer, forwarded: list[str]) -> None:
    """RFC 8705, section 3: at Envoy itself, or as a trusted hop saw it."""
    answer = try_bind(bound(certificate=THUMBPRINT), peer, *forwarded)

    assert shown_by(answer) == {Binding.CERTIFICATE, Binding.SPIFFE}


@pytest.mark.parametrize(
    ("peer", "forwarded"),
    [
        (DIRECT, []),
        (BEHIND_EDGE, [f"Hash={HASH};URI={AGENT}"]),
        (replace(BEHIND_EDGE, certificate=FROM_ENVOY), [f"Hash={HASH};URI={AGENT}"]),
    ],
)
def test_bind_refuses_when_certificate_is_another(peer: Peer, forwarded: list[str]) -> None:
    """97: the token was stolen, or the certificate renewed."""
    answer = try_bind(bound(certificate=OTHER), peer, *forwarded)

    assert answer == Refused(Reason.BINDING_REFUSED, "the caller has another certificate")


@pytest.mark.parametrize(
    ("peer", "forwarded"),
    [
        (UNKNOWN, []),
        (Peer("192.0.2.7", AGENT, b""), []),
        (UNKNOWN, [f"Hash={HASH};URI={AGENT}"]),
        (BEHIND_EDGE, []),
        (BEHIND_EDGE, [f"URI={AGENT}"]),
        (replace(BEHIND_EDGE, certificate=FROM_ENVOY), []),
        (replace(BEHIND_EDGE, certificate=FROM_ENVOY), [f"URI={INNER}"]),
    ],
)
def test_bind_refuses_when_there_is_no_certificate(peer: Peer, forwarded: list[str]) -> None:
    """98: nobody trusted says whose connection it is; the hop's own certificate is not it."""
    answer = try_bind(bound(certificate=THUMBPRINT), peer, *forwarded)

    assert answer == Refused(Reason.BINDING_REFUSED, "the caller has no certificate")


def test_bind_shows_no_certificate_when_the_token_is_bound_to_none() -> None:
    """A certificate alone says nothing about a token."""
    assert shown_by(try_bind(peer=DIRECT)) == {Binding.SPIFFE}
    assert reason_of(try_bind(peer=DIRECT, route=frozenset({Binding.CERTIFICATE}))) is (
        Reason.BINDING_REFUSED
    )


# --- SPIFFE ids --------------------------------------------------------------------------------


def test_bind_shows_spiffe_when_peer_is_who_holds_the_token() -> None:
    """The actor, not the subject that it acts for."""
    acting = make_agent(subject="spiffe://acme.test/user", actor=AGENT)

    assert shown_by(try_bind(acting, DIRECT)) == {Binding.SPIFFE}
    assert shown_by(try_bind(acting, BEHIND_EDGE, f"URI={AGENT}")) == {Binding.SPIFFE}


@pytest.mark.parametrize(
    ("actor", "peer", "forwarded"),
    [
        (AGENT, Peer("192.0.2.7", AGENT + "/x"), []),
        (AGENT, Peer("192.0.2.7", AGENT.upper()), []),
        (AGENT, UNKNOWN, []),
        (AGENT, UNKNOWN, [f"URI={AGENT}"]),
        (AGENT, BEHIND_EDGE, []),
        (AGENT, BEHIND_EDGE, [f"URI={AGENT},URI=spiffe://acme.test/thief"]),
        (EDGE, BEHIND_EDGE, []),
        ("", UNKNOWN, []),
        ("CN=a1", Peer("192.0.2.7", "CN=a1"), []),
        ("a1.acme.test", Peer("192.0.2.7", "a1.acme.test"), []),
        ("https://a1", Peer("192.0.2.7", "https://a1"), []),
    ],
)
def test_bind_shows_no_spiffe_when_peer_is_another(
    actor: str, peer: Peer, forwarded: list[str]
) -> None:
    """Exact, and SPIFFE ids only: a subject or a DNS name is somebody's choice of a text."""
    agent = make_agent(subject=AGENT, agent=AGENT, actor=actor)
    wanted = frozenset({Binding.SPIFFE})

    assert shown_by(try_bind(agent, peer, *forwarded)) == set()
    assert try_bind(agent, peer, *forwarded, route=wanted) == Refused(
        Reason.BINDING_REFUSED, "the route wants spiffe"
    )


# --- proofs ------------------------------------------------------------------------------------

JKT = signer().thumbprint
PROOF = make_proof(TOKEN)


def test_bind_shows_dpop_when_the_proof_is_good() -> None:
    """The proof is kept: it may serve this one request only."""
    answer = try_bind(bound(jkt=JKT), scheme=Scheme.DPOP, proof=PROOF)

    assert shown_by(answer) == {Binding.DPOP}
    assert isinstance(answer, Agent)
    assert answer.proof == Proof(JKT, "proof-1", NOW, NOW + 65)


def test_bind_refuses_when_a_bound_token_is_sent_as_bearer() -> None:
    """96: with or without a proof (RFC 9449, section 7.1)."""
    refused = Refused(Reason.DPOP_REFUSED, "sent as Bearer")

    assert try_bind(bound(jkt=JKT)) == refused
    assert try_bind(bound(jkt=JKT), proof=PROOF) == refused


def test_bind_refuses_when_a_bound_token_comes_without_a_good_proof() -> None:
    """90: none, or one by another key."""
    by_another = make_proof(TOKEN, by=signer(name="2"))

    for proof in (None, by_another, b""):
        answer = try_bind(bound(jkt=JKT), scheme=Scheme.DPOP, proof=proof)
        assert reason_of(answer) is Reason.DPOP_REFUSED


@pytest.mark.parametrize("agent", [make_agent(actor=AGENT), bound(certificate=THUMBPRINT)])
def test_bind_refuses_when_a_token_without_a_key_is_sent_as_dpop(agent: Agent) -> None:
    """A proof by any key at all would look like a binding."""
    answer = try_bind(agent, DIRECT, scheme=Scheme.DPOP, proof=PROOF)

    assert answer == Refused(Reason.BINDING_REFUSED, "sent as DPoP, but bound to no key")


def test_bind_has_no_proof_when_the_token_asks_for_none() -> None:
    """RFC 9449, section 7.1: the header means nothing to a token that is bound to no key."""
    answer = try_bind(proof=PROOF)

    assert isinstance(answer, Agent)
    assert (answer.proof, answer.bindings) == (None, frozenset())


def test_bind_checks_both_when_the_token_is_bound_to_both() -> None:
    """All of what is there, always."""
    both = bound(certificate=THUMBPRINT, jkt=JKT)

    good = try_bind(both, DIRECT, scheme=Scheme.DPOP, proof=PROOF)
    no_certificate = try_bind(both, scheme=Scheme.DPOP, proof=PROOF)
    no_proof = try_bind(both, DIRECT, scheme=Scheme.DPOP)

    assert shown_by(good) == {Binding.CERTIFICATE, Binding.SPIFFE, Binding.DPOP}
    assert reason_of(no_certificate) is Reason.BINDING_REFUSED
    assert reason_of(no_proof) is Reason.DPOP_REFUSED


# --- what others ask for -----------------------------------------------------------------------

MTLS = frozenset({Binding.CERTIFICATE, Binding.SPIFFE})
FIRST = frozenset({Binding.FIRST_PEER})
DPOP = frozenset({Binding.DPOP})


def test_bind_lets_pass_when_nobody_asks_for_anything() -> None:
    """A bearer token stays one, and the agent is otherwise what it was."""
    agent = make_agent(actor=AGENT)

    assert try_bind(agent) == replace(agent, peer=Caller(address=UNKNOWN.address).name)


@pytest.mark.parametrize("who", ["issuer", "route", "tenant"])
@pytest.mark.parametrize(("wanted", "names"), [(MTLS, "certificate or spiffe"), (DPOP, "dpop")])
def test_bind_refuses_when_nothing_of_what_one_asks_for_is_shown(
    who: str, wanted: frozenset[Binding], names: str
) -> None:
    """Each asks for itself; a bearer token shows nothing."""
    asked: dict[str, Any] = {"tenants": {"acme": wanted}} if who == "tenant" else {who: wanted}

    assert try_bind(**asked) == Refused(Reason.BINDING_REFUSED, f"the {who} wants {names}")


@pytest.mark.parametrize("who", ["issuer", "route", "tenant"])
def test_bind_lets_pass_when_one_of_what_each_asks_for_is_shown(who: str) -> None:
    """At least one of a set; but what another one asks for does not help."""
    asked: dict[str, Any] = {"tenants": {"acme": DPOP}} if who == "tenant" else {who: DPOP}
    others: dict[str, Any] = {"issuer": MTLS, "route": MTLS, "tenants": {"acme": MTLS}}

    assert shown_by(try_bind(peer=DIRECT, **others)) == {Binding.SPIFFE}
    assert try_bind(peer=DIRECT, **{**others, **asked}) == Refused(
        Reason.BINDING_REFUSED, f"the {who} wants dpop"
    )


def test_bind_asks_one_tenant_for_what_another_does_not() -> None:
    """Only the agent's own tenant counts."""
    assert shown_by(try_bind(tenants={"globex": DPOP})) == set()


@pytest.mark.parametrize("who", ["issuer", "route", "tenant"])
def test_bind_counts_first_peer_as_shown_when_it_is_asked_for(who: str) -> None:
    """A pin enforces it later; whoever asks for something else still gets that."""
    asked: dict[str, Any] = {"tenants": {"acme": FIRST}} if who == "tenant" else {who: FIRST}
    others = {"issuer": MTLS, "route": MTLS, "tenants": {"acme": MTLS}}

    assert shown_by(try_bind(**asked)) == {Binding.FIRST_PEER}
    assert reason_of(try_bind(**{**others, **asked})) is Reason.BINDING_REFUSED


def test_bind_keeps_first_peer_when_another_binding_is_shown_too() -> None:
    """Else whoever came without a certificate would be the first, after one who came with it."""
    answer = try_bind(peer=DIRECT, route=MTLS | FIRST)

    assert shown_by(answer) == {Binding.SPIFFE, Binding.FIRST_PEER}


def test_bind_shows_no_token_and_no_proof_when_it_refuses() -> None:
    """A detail is recorded."""
    for scheme in Scheme:
        answer = try_bind(bound(jkt=OTHER), DIRECT, scheme=scheme, proof=PROOF)
        assert PROOF.decode()[-40:] not in repr(answer)
        assert TOKEN.decode() not in repr(answer)


@settings(deadline=None)
@given(
    principal=st.sampled_from([EDGE, AGENT, ""]) | st.text(max_size=20),
    certificate=st.binary(max_size=80) | st.just(FROM_ENVOY),
    forwarded=st.lists(st.text(max_size=40), max_size=3),
)
def test_bind_never_raises_when_peer_is_odd(
    principal: str, certificate: bytes, forwarded: list[str]
) -> None:
    """Whatever Envoy says of its peer, a bound token passes with its own certificate only."""
    answer = try_bind(bound(certificate=THUMBPRINT), Peer("", principal, certificate), *forwarded)

    if isinstance(answer, Agent):
        assert certificate == FROM_ENVOY
        assert principal not in HOPS


# --- the name of a peer -------------------------------------------------------------------------


def test_peer_is_the_best_that_is_known_of_the_caller() -> None:
    """A principal, else a certificate, else an address; none is taken for another kind."""
    assert Caller("spiffe://a/b", THUMBPRINT, "192.0.2.7").name == "principal:spiffe://a/b"
    assert Caller("", THUMBPRINT, "192.0.2.7").name == f"certificate:{THUMBPRINT}"
    assert Caller("", "", "192.0.2.7").name == "address:192.0.2.7"
    assert Caller().name == ""
    assert Caller("192.0.2.7").name != Caller(address="192.0.2.7").name


def test_peer_is_nobody_when_a_trusted_hop_names_none() -> None:
    """The hop's own address is not its client's: all behind it would share one."""
    agent = try_bind(peer=BEHIND_EDGE)

    assert isinstance(agent, Agent)
    assert agent.peer == ""
