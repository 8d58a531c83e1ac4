"""What a profile may say of its issuer's tokens: who, for whom, and how much of it."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from sidecar.core.delegation import Delegation
from sidecar.core.model import Agent, Scope
from sidecar.core.profile import ClaimNames, IssuerProfile
from sidecar.core.reasons import Reason
from sidecar.core.signature import prove
from sidecar.core.verify import admit, profile_of
from tests.tokens import (
    ABSENT,
    AUDIENCE,
    NOW,
    TENANT,
    agent_of,
    judge,
    make_profile,
    make_token,
    reason_of,
    signer,
)
from tests.unit.core.test_signature import parsed
from tests.values import make_call

DOMAIN = "spiffe://acme.test"
READ = Scope("read", "orders", "*")
POD = {"kubernetes.io": {"namespace": TENANT, "pod": {"name": "p", "uid": "u-1"}, "warnafter": NOW}}


def with_claims(**names: str) -> IssuerProfile:
    return make_profile(claims=ClaimNames(**names))


def judged_by(profile: IssuerProfile, token: bytes) -> Agent | Any:
    """``judge`` for a profile whose issuer is another string than the tests' own."""
    jws = parsed(token)
    issuer = profile_of(jws, {profile.issuer: profile})
    if not isinstance(issuer, IssuerProfile):
        return issuer
    signed = prove(jws, signer().key(issuer=profile.issuer))
    return admit(signed, issuer, make_call(audience=AUDIENCE), now=NOW)  # type: ignore[arg-type]


# --- who ----------------------------------------------------------------------------------------


def test_token_without_iss_is_its_trust_domains_when_the_issuer_is_one() -> None:
    """A JWT-SVID and an AgentWrit token may have no ``iss``: the subject's domain stands for it."""
    profile = make_profile(issuer=DOMAIN, issuer_optional=True)

    for iss in (ABSENT, ""):
        agent = judged_by(profile, make_token(iss=iss))
        assert isinstance(agent, Agent)
        assert agent.issuer == DOMAIN


@pytest.mark.parametrize(
    "subject",
    ["spiffe://other.test/a", "spiffe://acme.test.evil/a", "https://acme.test/a", "a", 1, ABSENT],
)
def test_token_without_iss_is_nobodys_when_its_subject_is_elsewhere(subject: object) -> None:
    """72: no other subject finds the issuer."""
    profile = make_profile(issuer=DOMAIN, issuer_optional=True)

    assert reason_of(judged_by(profile, make_token(iss=ABSENT, sub=subject))) is (
        Reason.ISSUER_UNKNOWN
    )


def test_token_without_iss_is_refused_when_the_profile_wants_one() -> None:
    """Even when its subject names a trusted issuer."""
    profile = make_profile(issuer=DOMAIN)

    assert reason_of(judged_by(profile, make_token(iss=ABSENT))) is Reason.ISSUER_UNKNOWN


@pytest.mark.parametrize(
    ("subject", "reason"),
    [
        ("spiffe://acme.test/agent/a1", None),
        ("spiffe://acme.test", None),
        ("spiffe://acme.test/", Reason.CLAIM_INVALID),
        ("spiffe://acme.test/../b", Reason.CLAIM_INVALID),
        ("spiffe://acme.test/a//b", Reason.CLAIM_INVALID),
        ("spiffe://acme.test:80/a", Reason.CLAIM_INVALID),
        ("spiffe://user@acme.test/a", Reason.CLAIM_INVALID),
        ("spiffe://ACME.test/a", Reason.CLAIM_INVALID),
        ("spiffe://acme.test/a?b", Reason.CLAIM_INVALID),
        ("SPIFFE://acme.test/a", Reason.CLAIM_INVALID),
        ("spiffe://other.test/a", Reason.CLAIM_INVALID),
        ("agent-1", Reason.CLAIM_INVALID),
    ],
)
def test_subject_is_refused_when_it_is_not_of_the_trust_domain(
    subject: str, reason: Reason | None
) -> None:
    """A subject must be one that its issuer may name (RFC 8725bis; SPIFFE-ID, section 2)."""
    profile = make_profile(trust_domain=DOMAIN)

    assert reason_of(judge(make_token(sub=subject), profile=profile)) is reason


def test_tenant_is_the_issuers_only_one_when_tokens_name_none() -> None:
    """A token cannot choose then, whatever it says."""
    profile = with_claims(tenant="")

    assert agent_of(make_token(tenant="globex"), profile=profile).tenant == TENANT
    several = make_profile(tenants=frozenset({TENANT, "globex"}), claims=ClaimNames(tenant=""))
    assert reason_of(judge(make_token(), profile=several)) is Reason.TENANT_NOT_OF_ISSUER


def test_claims_are_found_by_pointer_when_the_name_is_one() -> None:
    """Kubernetes keeps a pod's namespace and name inside a claim; RFC 6901 leads there."""
    profile = with_claims(tenant="/kubernetes.io/namespace", session="/kubernetes.io/pod/uid")
    claims: dict[str, Any] = {"tenant": ABSENT, **POD}
    agent = agent_of(make_token(**claims), profile=profile)

    assert (agent.tenant, agent.session) == (TENANT, "u-1")


@pytest.mark.parametrize("odd", [None, 1, [TENANT], {}, {"namespace": 1}, {"namespace": [TENANT]}])
def test_tenant_is_refused_when_its_pointer_leads_to_no_text(odd: object) -> None:
    """Neither a missing step nor another type is a tenant."""
    claims: dict[str, Any] = {"kubernetes.io": odd}
    token = make_token(tenant=TENANT, **claims)
    profile = with_claims(tenant="/kubernetes.io/namespace")

    assert reason_of(judge(token, profile=profile)) is Reason.TENANT_NOT_OF_ISSUER


def test_jti_is_what_was_signed_when_the_token_has_none() -> None:
    """A token without a name can still be claimed once, and be revoked."""
    profile = make_profile(required=frozenset())
    token = make_token(jti=ABSENT)
    agent = agent_of(token, profile=profile)

    assert agent.jti == f"sha256:{sha256(token.rpartition(b'.')[0]).hexdigest()}"
    assert reason_of(judge(make_token(jti=""), profile=profile)) is Reason.CLAIM_INVALID
    assert reason_of(judge(token)) is Reason.CLAIM_INVALID


@pytest.mark.parametrize("value", [ABSENT, 1, "", None, ["c"]])
def test_required_claim_is_refused_when_it_is_no_text(value: object) -> None:
    """RFC 9068, section 2.2: ``client_id`` is required."""
    profile = make_profile(required=frozenset({"jti", "client_id"}))

    assert reason_of(judge(make_token(client_id=value), profile=profile)) is Reason.CLAIM_INVALID
    assert isinstance(judge(make_token(client_id="c"), profile=profile), Agent)


def test_required_claim_is_refused_when_another_case_could_stand_for_it() -> None:
    """42: for any claim that the profile reads."""
    profile = make_profile(required=frozenset({"jti", "client_id"}))
    token = make_token(client_id="c", Client_ID="d")

    assert reason_of(judge(token, profile=profile)) is not None


# --- for whom -----------------------------------------------------------------------------------


def test_audience_may_be_missing_only_when_the_profile_says_so() -> None:
    """65-66: a missing one is one thing, a wrong one another."""
    profile = make_profile(audience_optional=True)

    assert isinstance(judge(make_token(aud=ABSENT), profile=profile), Agent)
    wrong: object
    for wrong in ("https://other.test", [], "", None):
        assert reason_of(judge(make_token(aud=wrong), profile=profile)) is Reason.AUDIENCE_REFUSED


def test_audience_is_refused_when_there_are_several_and_one_is_wanted() -> None:
    """71: each audience could use the token at the others."""
    several = make_token(aud=[AUDIENCE, "https://other.test"])

    assert isinstance(judge(several), Agent)
    assert reason_of(judge(several, profile=make_profile(single_audience=True))) is (
        Reason.AUDIENCE_REFUSED
    )
    assert isinstance(judge(make_token(aud=[AUDIENCE])), Agent)


def test_header_is_refused_when_it_holds_more_than_a_jwt_svid_may() -> None:
    """JWT-SVID, section 2: alg, kid and typ, and nothing else."""
    more = make_token(header={"x": 1})

    assert isinstance(judge(more), Agent)
    assert reason_of(judge(more, profile=make_profile(plain_header=True))) is Reason.TYPE_REFUSED
    assert isinstance(judge(make_token(), profile=make_profile(plain_header=True)), Agent)


# --- how much -----------------------------------------------------------------------------------


def test_scopes_are_what_the_operator_translates_when_the_issuer_has_its_own_words() -> None:
    """A word that is not translated grants nothing, though it be one of ours."""
    words = {"orders.read": (READ,), "orders.all": (READ, Scope("write", "orders", "*"))}
    profile = make_profile(scope_words=words)

    assert agent_of(make_token(scope="openid orders.read email"), profile=profile).scopes == (READ,)
    assert agent_of(make_token(scope=["read:orders:*"]), profile=profile).scopes == ()
    both = agent_of(make_token(scope="orders.read orders.all"), profile=profile)
    assert both.scopes == (READ, Scope("write", "orders", "*"))


@pytest.mark.parametrize("value", [ABSENT, None, 1, [1], [], ["w"] * 101])
def test_scopes_are_refused_when_the_issuers_words_are_no_texts(value: object) -> None:
    """80-82: a malformed list is nobody's word."""
    profile = make_profile(scope_words={"orders.read": (READ,)})

    assert reason_of(judge(make_token(scope=value), profile=profile)) is Reason.CLAIM_INVALID


def test_scopes_are_granted_by_subject_when_tokens_carry_none() -> None:
    """Only the exact subject, and a token's own claim adds nothing."""
    subject = "system:serviceaccount:agents:planner"
    profile = make_profile(grants={subject: (READ,)}, claims=ClaimNames(scope=""))

    assert agent_of(make_token(sub=subject), profile=profile).scopes == (READ,)
    for other in (subject + "x", subject.upper(), "system:serviceaccount:agents"):
        assert agent_of(make_token(sub=other), profile=profile).scopes == ()


@pytest.mark.parametrize("source", ["scope_words", "grants"])
def test_scopes_are_below_the_ceiling_wherever_they_come_from(source: str) -> None:
    """Row 64 of the mission: the profile is the ceiling."""
    above = (Scope("admin", "orders", "*"),)
    profile = make_profile(**{source: {"all": above, "spiffe://acme.test/agent/a1": above}})

    assert reason_of(judge(make_token(scope="all"), profile=profile)) is Reason.SCOPE_ABOVE_CEILING


# --- until when ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("warn_after", "reason"),
    [
        (NOW + 60, None),
        (NOW + 10**9, None),
        (NOW, Reason.TOKEN_EXPIRED),
        (NOW - 1, Reason.TOKEN_EXPIRED),
        ("soon", Reason.CLAIM_INVALID),
        (True, Reason.CLAIM_INVALID),
        (None, Reason.CLAIM_INVALID),
    ],
)
def test_token_ends_early_when_its_issuer_says_so(
    warn_after: object, reason: Reason | None
) -> None:
    """106: Kubernetes extends a pod's token to a year, and says when it should have ended."""
    claims: dict[str, Any] = {"kubernetes.io": {"warnafter": warn_after}}
    token = make_token(**claims)
    answer = judge(token, profile=with_claims(ends_early="/kubernetes.io/warnafter"))

    assert reason_of(answer) is reason
    if isinstance(answer, Agent):
        assert answer.expires_at == NOW + (60 if warn_after == NOW + 60 else 300)


def test_extended_token_is_within_its_lifetime_until_it_should_have_ended() -> None:
    """What counts is its end, not the year."""
    claims: dict[str, Any] = {"kubernetes.io": {"warnafter": NOW + 300}}
    year = make_token(exp=int(NOW) + 31_536_000, **claims)
    profile = with_claims(ends_early="/kubernetes.io/warnafter")

    assert isinstance(judge(year, profile=profile), Agent)
    assert reason_of(judge(year)) is Reason.LIFETIME_EXCEEDED


# --- in whose name ------------------------------------------------------------------------------

ACT = frozenset({Delegation.ACT})


def test_agent_is_the_actor_when_the_token_was_delegated() -> None:
    """RFC 8693, section 4.1: who acts is the outermost actor, in the subject's name."""
    token = make_token(agent_id=ABSENT, sub="user-1", act={"sub": "a2", "act": {"sub": "a1"}})
    agent = agent_of(token, profile=make_profile(delegation=ACT))

    assert (agent.agent, agent.actor, agent.subject) == ("a2", "a2", "user-1")
    assert [ancestor.agent for ancestor in agent.ancestors] == ["user-1", "a1"]


FOREIGN = "https://other.test"


def test_foreign_actor_is_refused_when_its_issuer_is_not_listed() -> None:
    """Nobody could revoke it: an entry names an issuer that is trusted here."""
    token = make_token(act={"sub": "a2", "iss": FOREIGN, "act": {"sub": "a1"}})
    inner = make_token(act={"sub": "a2", "act": {"sub": "a1", "iss": FOREIGN}})
    listed = make_profile(delegation=ACT, actor_issuers=frozenset({FOREIGN}))

    for refused in (token, inner):
        answer = judge(refused, profile=make_profile(delegation=ACT))
        assert reason_of(answer) is Reason.DELEGATION_REFUSED
    assert agent_of(token, profile=listed).actor_issuer == FOREIGN
    assert agent_of(inner, profile=listed).ancestors[-1].issuer == FOREIGN


def test_foreign_actor_is_refused_when_no_claim_names_the_agent() -> None:
    """Another issuer's "admin" must not reach the tool as this issuer's, nor as the subject."""
    foreign = {"sub": "admin", "iss": FOREIGN}
    listed = make_profile(delegation=ACT, actor_issuers=frozenset({FOREIGN}))

    answer = judge(make_token(agent_id=ABSENT, act=foreign), profile=listed)
    assert reason_of(answer) is Reason.DELEGATION_REFUSED
    assert agent_of(make_token(act=foreign), profile=listed).agent == "agent-1"


def test_jti_is_refused_when_it_could_be_the_digest_of_another() -> None:
    """Where tokens may go without one, no other token may be called what they are."""
    digest = f"sha256:{'0' * 64}"
    optional = make_profile(required=frozenset())

    assert reason_of(judge(make_token(jti=digest), profile=optional)) is Reason.CLAIM_INVALID
    assert agent_of(make_token(jti=digest)).jti == digest


def test_delegation_is_refused_when_the_profile_does_not_take_its_form() -> None:
    """An allow-list, as everything in a profile."""
    token = make_token(act={"sub": "a2"})

    assert reason_of(judge(token)) is Reason.DELEGATION_REFUSED
