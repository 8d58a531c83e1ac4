"""Audience, texts, tenant, single use and scopes: what a token may be used for, and by whom."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.model import Agent, Refused, Scope
from sidecar.core.reasons import Reason
from tests.tokens import (
    ABSENT,
    AUDIENCE,
    TENANT,
    agent_of,
    judge,
    make_profile,
    make_token,
    reason_of,
)
from tests.values import make_call

BAD_TEXTS = [
    pytest.param("", id="empty"),
    pytest.param(None, id="null"),
    pytest.param(7, id="number"),
    pytest.param(["a"], id="array"),
    pytest.param("a" * 257, id="long"),
    pytest.param("a b", id="space"),
    pytest.param("a\r\nx-agent-id: root", id="CR LF"),
    pytest.param("a\n", id="last LF"),
    pytest.param("a\tb", id="tab"),
    pytest.param("a\0", id="NUL"),
    pytest.param("a\x1b[31m", id="ANSI"),
    pytest.param("a\x7f", id="DEL"),
    pytest.param("\u00e9", id="not ASCII"),
    pytest.param("a\u2028", id="line separator"),
]


# --- admit: 4.7 --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param(ABSENT, id="65 missing"),
        pytest.param(None, id="null"),
        pytest.param("https://other.test", id="66 wrong"),
        pytest.param("*", id="67 star"),
        pytest.param([], id="68 empty"),
        pytest.param("", id="68 empty text"),
        pytest.param(AUDIENCE + "-admin", id="69 prefix"),
        pytest.param(AUDIENCE[:-1], id="69 cut"),
        pytest.param(AUDIENCE + "/", id="trailing slash"),
        pytest.param(AUDIENCE.upper(), id="case"),
        pytest.param([AUDIENCE, 7], id="70 number beside ours"),
        pytest.param([AUDIENCE, None], id="70 null beside ours"),
        pytest.param([AUDIENCE, "*"], id="star beside ours"),
        pytest.param([AUDIENCE, ""], id="empty beside ours"),
        pytest.param([[AUDIENCE]], id="nested"),
        pytest.param({AUDIENCE: True}, id="object"),
        pytest.param(7, id="number"),
    ],
)
def test_admit_refuses_when_audience_is_not_the_routes(audience: object) -> None:
    """65-70: a token for tool A does not work at tool B."""
    assert reason_of(judge(make_token(aud=audience))) is Reason.AUDIENCE_REFUSED


@pytest.mark.parametrize("audience", [AUDIENCE, [AUDIENCE], ["https://other.test", AUDIENCE]])
def test_admit_makes_agent_when_audience_holds_the_routes(audience: object) -> None:
    """71: one string or several; ours must be an exact member."""
    assert isinstance(judge(make_token(aud=audience)), Agent)


@pytest.mark.parametrize("wanted", ["", "*"])
def test_admit_refuses_when_route_wants_an_audience_that_none_is(wanted: str) -> None:
    """A route that was set up without an audience takes nobody."""
    answer = judge(make_token(aud=["*", "", AUDIENCE]), call=make_call(audience=wanted))

    assert reason_of(answer) is Reason.AUDIENCE_REFUSED


# --- admit: 4.8 to 4.10 ------------------------------------------------------------------------


@pytest.mark.parametrize("value", [pytest.param(ABSENT, id="77-79 missing"), *BAD_TEXTS])
@pytest.mark.parametrize("name", ["sub", "jti"])
def test_admit_refuses_when_required_text_is_missing_or_odd(name: str, value: Any) -> None:
    """77-79: the claim is named, and nothing that breaks a header gets as far as a header."""
    assert judge(make_token(**{name: value})) == Refused(Reason.CLAIM_INVALID, name)


@pytest.mark.parametrize("value", BAD_TEXTS)
@pytest.mark.parametrize("name", ["agent_id", "task_id", "sid"])
def test_admit_refuses_when_optional_text_is_odd(name: str, value: Any) -> None:
    """A claim may be absent; when it is there, it must be usable."""
    assert judge(make_token(**{name: value})) == Refused(Reason.CLAIM_INVALID, name)


@pytest.mark.parametrize("value", ["!~" * 128])
@pytest.mark.parametrize("name", ["sub", "jti", "agent_id", "task_id", "sid"])
def test_admit_makes_agent_when_text_is_as_long_as_allowed(name: str, value: Any) -> None:
    """256 characters are allowed, from ``!`` to ``~``."""
    assert isinstance(judge(make_token(**{name: value})), Agent)


@pytest.mark.parametrize(
    "tenant", [ABSENT, None, "", 7, [TENANT], "other", TENANT.upper(), TENANT + "\n", "*"]
)
def test_admit_refuses_when_issuer_may_not_speak_for_the_tenant(tenant: object) -> None:
    """An issuer's tenants are an allow-list; a token without a tenant is nobody's."""
    assert reason_of(judge(make_token(tenant=tenant))) is Reason.TENANT_NOT_OF_ISSUER


def test_admit_refuses_when_listed_tenant_would_break_a_header() -> None:
    """Not even a profile can bring a line end into a header."""
    profile = make_profile(tenants=frozenset({"a\r\nb"}))

    assert judge(make_token(tenant="a\r\nb"), profile=profile) == Refused(
        Reason.CLAIM_INVALID, "tenant"
    )


@pytest.mark.parametrize(
    ("wanted", "reason"), [(None, None), (TENANT, None), ("globex", Reason.TENANT_MISMATCH)]
)
def test_admit_compares_tenants_when_route_belongs_to_one(
    wanted: str | None, reason: Reason | None
) -> None:
    """A tenant's route takes that tenant's tokens only."""
    profile = make_profile(tenants=frozenset({TENANT, "globex"}))
    answer = judge(make_token(), profile=profile, call=make_call(audience=AUDIENCE, tenant=wanted))

    assert reason_of(answer) is reason


@pytest.mark.parametrize("value", [True, False])
def test_admit_keeps_single_use_when_it_is_a_boolean(*, value: bool) -> None:
    """The token itself may say that it serves one call."""
    assert agent_of(make_token(single_use=value)).single_use is value


@pytest.mark.parametrize("value", [None, 0, 1, "true", "", []])
def test_admit_refuses_when_single_use_is_no_boolean(value: Any) -> None:
    """Neither truthy nor falsy: a replay must not hang on a reading of ``"false"``."""
    assert judge(make_token(single_use=value)) == Refused(Reason.CLAIM_INVALID, "single_use")


# --- admit: 4.11 -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [["read:orders:a", "read:orders:b"], "read:orders:a read:orders:b"],
)
def test_admit_reads_scopes_when_they_are_array_or_string(value: Any) -> None:
    """81: AgentWrit's array and the string of RFC 9068 say the same."""
    expected = (Scope("read", "orders", "a"), Scope("read", "orders", "b"))

    assert agent_of(make_token(scope=value)).scopes == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(ABSENT, id="80 missing"),
        pytest.param(None, id="null"),
        pytest.param([], id="no item"),
        pytest.param("", id="empty text"),
        pytest.param({"read:orders:a": True}, id="object"),
        pytest.param(7, id="number"),
        pytest.param([7], id="81 item number"),
        pytest.param([["read:orders:a"]], id="81 item array"),
        pytest.param(["read:orders"], id="82 two parts"),
        pytest.param(["read::a"], id="82 empty part"),
        pytest.param(["*:orders:a"], id="82 star action"),
        pytest.param(["*:*:*"], id="82 all stars"),
        pytest.param(["read:orders:a\n"], id="82 newline"),
        pytest.param(["read:orders:a read:orders:b"], id="two in one item"),
        pytest.param(["read:orders:a"] * 300, id="82 300 items"),
        pytest.param(["read:orders:a"] * 101, id="101 items"),
        pytest.param("read:orders:a  read:orders:b", id="two spaces"),
        pytest.param(" read:orders:a", id="leading space"),
        pytest.param("read:orders:a\tread:orders:b", id="tab"),
        pytest.param(" ".join(["read:orders:a"] * 101), id="101 in a text"),
        pytest.param(["read:orders:a", ""], id="empty item"),
    ],
)
def test_admit_refuses_when_scope_is_not_of_the_grammar(value: Any) -> None:
    """80-82: one odd scope refuses the token; scopes are never dropped in silence."""
    assert judge(make_token(scope=value)) == Refused(Reason.CLAIM_INVALID, "scope")


def test_admit_makes_agent_when_scopes_are_as_many_as_allowed() -> None:
    """A hundred is the limit."""
    assert len(agent_of(make_token(scope=["read:orders:a"] * 100)).scopes) == 100


@pytest.mark.parametrize(
    "scope", ["delete:orders:a", "read:customers:a", "read:files:secret", "read:files:*"]
)
def test_admit_refuses_when_one_scope_is_above_the_ceiling(scope: str) -> None:
    """An issuer that was taken over still grants no more than its profile allows."""
    answer = judge(make_token(scope=["read:orders:a", scope]))

    assert answer == Refused(Reason.SCOPE_ABOVE_CEILING, scope)
