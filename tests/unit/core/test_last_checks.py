"""Facts that only these tests show: without one of them a check could go, and nothing else fail."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core import jws as compact
from sidecar.core import signature, xfcc
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind, keys_of
from sidecar.core.model import Action, Allowed, Binding, Effects, Jws, Proof, Ruling, SignedClaims
from sidecar.core.pins import proof_claim
from sidecar.core.reasons import Reason
from sidecar.core.single_use import effects_of
from sidecar.core.spiffe import trust_domain_of
from sidecar.core.verify import admit
from tests.tokens import (
    AUDIENCE,
    NOW,
    judge,
    make_profile,
    make_token,
    reason_of,
    signer,
)
from tests.values import make_agent, make_call


def test_admit_refuses_when_key_and_claim_are_of_another_issuer_than_the_profile() -> None:
    """4.1: a profile judges its own issuer's tokens, whoever's key it is handed."""
    jws = compact.parse(make_token(iss="https://other.test"))
    assert isinstance(jws, Jws)
    signed = signature.prove(jws, signer().key("https://other.test"))
    assert isinstance(signed, SignedClaims)
    answer = admit(signed, make_profile(), make_call(audience=AUDIENCE), now=NOW)

    assert reason_of(answer) is Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize(
    "name",
    ["events", "toe", "at_hash", "c_hash", "s_hash", "htm", "htu", "wth", "status_list"],
)
def test_admit_refuses_when_claim_is_of_another_kind_of_token(name: str) -> None:
    """4.2: each by itself, whatever its value."""
    claims: dict[str, Any] = {name: ""}

    assert reason_of(judge(make_token(**claims))) is Reason.TYPE_REFUSED


@pytest.mark.parametrize("name", ["policy_version", "capability_hash"])
@pytest.mark.parametrize("value", [7, "", "two words", "x" * 257])
def test_admit_refuses_when_what_it_was_minted_for_is_no_text(name: str, value: Any) -> None:
    """4.8: both are compared, logged and told."""
    assert reason_of(judge(make_token(**{name: value}))) is Reason.CLAIM_INVALID


@pytest.mark.parametrize("subject", [None, 7, True, ["spiffe://acme.test"], {}])
def test_trust_domain_is_none_when_subject_is_no_text(subject: object) -> None:
    """It is asked of claims that nobody has looked at."""
    assert trust_domain_of(subject) == ""


def test_trust_domain_is_none_when_id_is_too_long() -> None:
    """SPIFFE-ID, section 2.3: at most 2048 bytes."""
    longest = "spiffe://acme.test/".ljust(2048, "a")

    assert trust_domain_of(longest) == "spiffe://acme.test"
    assert trust_domain_of(longest + "a") == ""


@pytest.mark.parametrize("domain", ["Acme.test", "acme_test%41", "a" * 256, ""])
def test_trust_domain_is_none_when_its_form_is_not_allowed(domain: str) -> None:
    """SPIFFE-ID, sections 2.1 and 2.3: lower case, 1 to 255 bytes."""
    assert trust_domain_of(f"spiffe://{domain}/agent") == ""


# --- what a call uses up ------------------------------------------------------------------------

PASSES = Allowed((), ())
ALLOW = Ruling(Action.ALLOW)


def test_effects_claim_the_proof_when_the_agent_has_one() -> None:
    """RFC 9449, section 11.1: also of a token that serves many calls."""
    agent = make_agent(proof=Proof("thumb", "proof-1", NOW - 1, NOW + 30))
    effects = effects_of(PASSES, ALLOW, make_call(), agent, now=NOW)

    assert effects == Effects(claims=(proof_claim(agent),), pins=())  # type: ignore[arg-type]


def test_effects_are_refused_when_a_pin_is() -> None:
    """A first peer that nobody names."""
    agent = make_agent(bindings=frozenset({Binding.FIRST_PEER}), peer="")
    answer = effects_of(PASSES, ALLOW, make_call(), agent, now=NOW)

    assert reason_of(answer) is Reason.BINDING_REFUSED


@pytest.mark.parametrize("changed", [{"issuer": "https://other.test"}, {"jti": "another"}])
def test_claim_is_another_when_its_token_is(changed: dict[str, str]) -> None:
    """Two issuers may give the same name to two tokens."""
    call = make_call(single_use=True)
    found = [
        effects_of(PASSES, ALLOW, call, agent, now=NOW)
        for agent in (make_agent(), make_agent(**changed))
    ]

    assert len({one.claims[0].key for one in found if isinstance(one, Effects)}) == 2


# --- the deny list ------------------------------------------------------------------------------


def test_keys_of_name_the_session_and_the_task_when_the_token_does() -> None:
    """Each can be revoked by itself."""
    keys = keys_of(make_agent(task="t", session="s"))

    assert {(key.kind, key.value) for key in keys} >= {
        (DenyKind.TASK, "t"),
        (DenyKind.SESSION, "s"),
    }


def test_entry_holds_for_nobody_when_it_has_ended() -> None:
    """At its end, not only after it."""
    entry = DenyEntry(DenyKey(DenyKind.JTI, "i", "t", "j"), until=NOW)

    assert entry.holds_for(make_agent(), NOW - 1)
    assert not entry.holds_for(make_agent(), NOW)


def test_entry_holds_for_a_token_without_date_when_newer_ones_pass() -> None:
    """It counts as older."""
    entry = DenyEntry(DenyKey(DenyKind.JTI, "i", "t", "j"), NOW + 60, not_before=NOW - 60)

    assert entry.holds_for(make_agent(issued_at=None), NOW)
    assert not entry.holds_for(make_agent(issued_at=NOW - 60), NOW)


# --- who calls ----------------------------------------------------------------------------------


@pytest.mark.parametrize("digits", [0, 2, 62, 66, 128])
def test_header_says_nothing_when_a_hash_has_another_length(digits: int) -> None:
    """Half a hash is nobody's certificate."""
    good, odd = (b"Hash=" + b"a" * length + b";URI=spiffe://a.test/b" for length in (64, digits))

    assert len(xfcc.parse([good])) == 1
    assert xfcc.parse([odd]) == ()
