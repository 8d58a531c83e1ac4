"""Whose token it is and what its claims are worth: the table of bad tokens, by number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.model import Agent, Refused, Scope, SignedClaims
from sidecar.core.profile import ClaimNames
from sidecar.core.reasons import Reason
from sidecar.core.verify import admit
from tests.tokens import (
    ABSENT,
    ALGORITHMS,
    AUDIENCE,
    ISSUER,
    LIFETIME,
    NOW,
    TENANT,
    agent_of,
    judge,
    make_claims,
    make_profile,
    make_token,
    reason_of,
    signer,
)
from tests.values import make_call


def test_admit_makes_agent_when_every_check_passes() -> None:
    """Everything that the agent is was said by the token."""
    assert judge(make_token()) == Agent(
        issuer=ISSUER,
        tenant=TENANT,
        subject="spiffe://acme.test/agent/a1",
        agent="agent-1",
        task="task-1",
        session="session-1",
        scopes=(Scope("read", "orders", "*"), Scope("write", "orders", "o-1")),
        jti="jti-1",
        kid="eddsa-1",
        issued_at=NOW,
        expires_at=NOW + LIFETIME,
        usable_until=NOW + LIFETIME,
        single_use=False,
        actor="spiffe://acme.test/agent/a1",
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_admit_makes_agent_when_algorithm_is_on_the_list(algorithm: str) -> None:
    """Each of the four algorithms leads to an agent."""
    by = signer(algorithm)

    assert agent_of(make_token(by=by), key=by.key()).kid == by.kid


def test_admit_takes_subject_for_agent_when_issuer_sets_none() -> None:
    """Optional claims may be absent; the subject then stands for the agent."""
    agent = agent_of(make_token(agent_id=ABSENT, task_id=ABSENT, sid=ABSENT, nbf=ABSENT))

    assert (agent.agent, agent.task, agent.session) == (agent.subject, "", "")


def test_admit_reads_other_names_when_profile_says_so() -> None:
    """Which claim carries what is the profile's business."""
    names = ClaimNames("azp", "Org", "perms", "job", "run", "once")
    token = make_token(
        azp="a", Org=TENANT, perms=["read:files:public"], job="t", run="s", once=True
    )
    agent = agent_of(token, profile=make_profile(claims=names))

    assert (agent.agent, agent.tenant, agent.task, agent.session) == ("a", TENANT, "t", "s")
    assert (agent.scopes, agent.single_use) == ((Scope("read", "files", "public"),), True)


# --- profile_of --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer", ["https://other.test", ISSUER + "/", ISSUER.upper(), ISSUER + "\0", " " + ISSUER]
)
def test_profile_of_refuses_when_issuer_is_not_exactly_a_trusted_one(issuer: str) -> None:
    """73-74: issuers are compared as strings, with no normalisation."""
    assert reason_of(judge(make_token(iss=issuer))) is Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize("alg", ["none", "nOnE", "HS256", "eddsa", "ES512", "Ed25519"])
def test_profile_of_refuses_when_alg_is_not_on_the_list(alg: str) -> None:
    """1, 2, 4, 6: algorithms are an allow-list of exact names, by issuer."""
    assert reason_of(judge(make_token(header={"alg": alg}))) is Reason.ALGORITHM_REFUSED


def test_profile_of_refuses_when_alg_is_on_another_issuers_list_only() -> None:
    """What one issuer may use, another may not."""
    by = signer("RS256")
    answer = judge(
        make_token(by=by), key=by.key(), profile=make_profile(algorithms=frozenset({"EdDSA"}))
    )

    assert reason_of(answer) is Reason.ALGORITHM_REFUSED


@pytest.mark.parametrize(
    "typ",
    [
        pytest.param("dpop+jwt", id="32"),
        pytest.param("secevent+jwt", id="33"),
        pytest.param("logout+jwt", id="34"),
        pytest.param("oauth-id-jag+jwt", id="35"),
        pytest.param("approval+jwt", id="approval"),
        pytest.param("revocation+jwt", id="revocation"),
        pytest.param("application/dpop+jwt", id="with application"),
        pytest.param(ABSENT, id="36 absent"),
    ],
)
def test_profile_of_refuses_when_typ_is_not_on_the_list(typ: object) -> None:
    """32-36: a token of another kind is no access token, whoever signed it."""
    assert reason_of(judge(make_token(header={"typ": typ}))) is Reason.TYPE_REFUSED


def test_profile_of_takes_absent_typ_when_profile_lists_it() -> None:
    """``""`` stands for "none given", as service account tokens of Kubernetes have it."""
    profile = make_profile(types=frozenset({""}))

    assert isinstance(judge(make_token(header={"typ": ABSENT}), profile=profile), Agent)
    assert reason_of(judge(make_token(), profile=profile)) is Reason.TYPE_REFUSED


def test_profile_of_shows_little_when_issuer_is_long_and_odd() -> None:
    """What strangers send goes to the record short and escaped."""
    refused = judge(make_token(iss="\n" + "x" * 5000))

    assert isinstance(refused, Refused)
    assert len(refused.detail) < 300
    assert refused.detail.isprintable()


# --- admit: 4.1 to 4.4 -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claimed", "keys_issuer"),
    [("https://other.test", ISSUER), (ISSUER, "https://other.test"), (ABSENT, ISSUER)],
)
def test_admit_refuses_when_claims_key_and_profile_disagree(
    claimed: object, keys_issuer: str
) -> None:
    """76: whatever came before, claims of one issuer never pass under another's profile."""
    signed = SignedClaims(make_claims(iss=claimed), "jwt", signer().key(keys_issuer))
    answer = admit(signed, make_profile(), make_call(audience=AUDIENCE), now=NOW)

    assert reason_of(answer) is Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"typ": "ID"}, id="105 Keycloak ID"),
        pytest.param({"typ": "id"}, id="ID in lower case"),
        pytest.param({"typ": "Refresh"}, id="Keycloak refresh"),
        pytest.param({"typ": "Offline"}, id="Keycloak offline"),
        pytest.param({"typ": "Logout"}, id="Keycloak logout"),
        pytest.param({"typ": ["ID"]}, id="kind in an array"),
        pytest.param({"events": {"https://schemas.test/revoked": {}}}, id="103 security event"),
    ],
)
def test_admit_refuses_when_payload_says_it_is_no_access_token(claims: dict[str, Any]) -> None:
    """102-105: the kind may stand in the payload, too."""
    assert reason_of(judge(make_token(**claims))) is Reason.TYPE_REFUSED


@pytest.mark.parametrize("typ", ["Bearer", "JWT"])
def test_admit_makes_agent_when_payload_says_it_is_an_access_token(typ: str) -> None:
    """Keycloak's access tokens say ``Bearer``."""
    assert isinstance(judge(make_token(typ=typ)), Agent)


@pytest.mark.parametrize("value", [None, {}, {"jkt": "x"}, [{"agent": "a"}]])
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cnf", Reason.BINDING_REFUSED),
        ("act", Reason.DELEGATION_REFUSED),
        ("may_act", Reason.DELEGATION_REFUSED),
        ("delegation_chain", Reason.DELEGATION_REFUSED),
        ("status", Reason.CLAIM_INVALID),
    ],
)
def test_admit_refuses_when_a_restriction_is_malformed(
    name: str, reason: Reason, value: Any
) -> None:
    """A restriction that is not understood is not ignored."""
    assert reason_of(judge(make_token(**{name: value}))) is reason


@pytest.mark.parametrize("name", ["Single_Use", "AGENT_ID", "Tenant", "SCOPE", "Sid", "task_Id"])
def test_admit_refuses_when_claim_is_spelt_in_another_case(name: str) -> None:
    """42: what Go would read as the claim, and we would not, is not ignored."""
    token = make_token(**{name.lower(): ABSENT, name: True})

    assert judge(token) == Refused(Reason.CLAIM_INVALID, f"another case {name!r}")


# --- whatever the claims -----------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(deadline=None)
@given(name=st.sampled_from([*make_claims(), "single_use", "typ", "x"]), value=json_values)
def test_admit_never_raises_when_one_claim_is_odd(name: str, value: Any) -> None:
    """An issuer may sign anything; the answer is a value, and an agent's texts fit a header."""
    signed = SignedClaims(make_claims(**{name: value}), "jwt", signer().key())
    answer = admit(signed, make_profile(leeway=5.0), make_call(audience=AUDIENCE), now=NOW)

    if isinstance(answer, Agent):
        for text in (answer.tenant, answer.subject, answer.agent, answer.task, answer.jti):
            assert text.isascii()
            assert text.isprintable()
            assert " " not in text
        assert type(answer.single_use) is bool
