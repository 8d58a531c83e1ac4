"""Dates in claims: a token holds from the second it begins up to the second it ends."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.model import Refused, SignedClaims
from sidecar.core.reasons import Reason
from sidecar.core.verify import admit
from tests.tokens import (
    ABSENT,
    AUDIENCE,
    LIFETIME,
    NOW,
    agent_of,
    judge,
    make_claims,
    make_profile,
    make_token,
    reason_of,
    signer,
)
from tests.values import make_call

HOUR = 3600
LENIENT = 5.0


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(str(int(NOW) + 60), id="56 text"),
        pytest.param(True, id="58 true"),
        pytest.param(None, id="null"),
        pytest.param([int(NOW) + 60], id="array"),
        pytest.param(2**60, id="beyond exact doubles"),
        pytest.param(-(2**60), id="far past"),
    ],
)
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_admit_refuses_when_date_is_no_number_of_seconds(name: str, value: Any) -> None:
    """56, 58, 61: a date is a finite number, never a text or a boolean."""
    assert judge(make_token(**{name: value})) == Refused(Reason.CLAIM_INVALID, name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 10**400])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_admit_refuses_when_date_is_not_finite(name: str, value: Any) -> None:
    """49-51: also when a parser had let them through."""
    signed = SignedClaims(make_claims(**{name: value}), "jwt", signer().key())

    assert admit(signed, make_profile(), make_call(audience=AUDIENCE), now=NOW) == Refused(
        Reason.CLAIM_INVALID, name
    )


@pytest.mark.parametrize("name", ["exp", "iat"])
def test_admit_refuses_when_required_date_is_missing(name: str) -> None:
    """53, 63: a token says when it begins and ends."""
    assert judge(make_token(**{name: ABSENT})) == Refused(Reason.CLAIM_INVALID, name)


@pytest.mark.parametrize(
    ("now", "leeway", "reason"),
    [
        pytest.param(NOW + LIFETIME - 1, 0.0, None, id="a second before exp"),
        pytest.param(NOW + LIFETIME - 0.001, 0.0, None, id="just before exp"),
        pytest.param(NOW + LIFETIME, 0.0, Reason.TOKEN_EXPIRED, id="55 at exp"),
        pytest.param(NOW + HOUR, 0.0, Reason.TOKEN_EXPIRED, id="54 past exp"),
        pytest.param(NOW + LIFETIME + 4.9, LENIENT, None, id="within leeway"),
        pytest.param(NOW + LIFETIME + LENIENT, LENIENT, Reason.TOKEN_EXPIRED, id="at its end"),
        pytest.param(NOW, 0.0, None, id="at iat"),
        pytest.param(NOW - 0.001, 0.0, Reason.TOKEN_NOT_YET_VALID, id="just before iat"),
        pytest.param(NOW - LENIENT, LENIENT, None, id="leeway before iat"),
        pytest.param(NOW - LENIENT - 1, LENIENT, Reason.TOKEN_NOT_YET_VALID, id="earlier"),
    ],
)
def test_admit_holds_to_the_second_when_time_passes(
    now: float, leeway: float, reason: Reason | None
) -> None:
    """54, 55: from ``iat`` up to, and not including, ``exp``; leeway widens both ends."""
    assert reason_of(judge(make_token(), profile=make_profile(leeway=leeway), now=now)) is reason


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        pytest.param({"exp": -1}, Reason.TOKEN_EXPIRED, id="58 exp negative"),
        pytest.param({"exp": 0}, Reason.TOKEN_EXPIRED, id="exp zero"),
        pytest.param({"nbf": NOW + 1}, Reason.TOKEN_NOT_YET_VALID, id="60 nbf future"),
        pytest.param({"iat": NOW + HOUR}, Reason.TOKEN_NOT_YET_VALID, id="62 iat future"),
        pytest.param(
            {"iat": NOW + HOUR, "exp": NOW + 60}, Reason.TOKEN_NOT_YET_VALID, id="64 exp < iat"
        ),
        pytest.param(
            {"exp": NOW + 100 * 365 * 24 * HOUR}, Reason.LIFETIME_EXCEEDED, id="59 100 years"
        ),
        pytest.param({"exp": NOW + LIFETIME + 1}, Reason.LIFETIME_EXCEEDED, id="a second more"),
        pytest.param({"iat": NOW - 1}, Reason.LIFETIME_EXCEEDED, id="a second earlier"),
        pytest.param({"iat": -(2**52)}, Reason.LIFETIME_EXCEEDED, id="iat ages ago"),
    ],
)
def test_admit_refuses_when_dates_are_wrong(claims: dict[str, Any], reason: Reason) -> None:
    """58-64: dates that are over, not come yet, or too far apart."""
    assert reason_of(judge(make_token(**claims))) is reason


@pytest.mark.parametrize("expires", [NOW, NOW - 1])
def test_admit_refuses_when_exp_is_not_after_iat_within_leeway(expires: float) -> None:
    """64: leeway forgives clocks, not a token that ends before it begins."""
    answer = judge(make_token(exp=expires), profile=make_profile(leeway=LENIENT))

    assert answer == Refused(Reason.CLAIM_INVALID, "exp is not after iat")


def test_admit_keeps_fractions_when_dates_have_them() -> None:
    """57: RFC 7519 allows fractions of seconds."""
    token = make_token(iat=NOW - 0.5, exp=NOW + 0.25)
    agent = agent_of(token, profile=make_profile(leeway=LENIENT))

    assert (agent.issued_at, agent.expires_at) == (NOW - 0.5, NOW + 0.25)
    assert agent.usable_until == NOW + 0.25 + LENIENT
    assert reason_of(judge(token, now=NOW + 0.25)) is Reason.TOKEN_EXPIRED
