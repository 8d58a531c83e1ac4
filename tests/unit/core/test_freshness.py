"""How old a token may be for what it is used for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sidecar.core.freshness import Lifetimes, Limit, too_old
from sidecar.core.model import Access, Risk
from sidecar.core.reasons import Reason
from tests.tokens import reason_of
from tests.values import NOW, make_agent, make_call

HIGH = Lifetimes(by_risk={Risk.HIGH: Limit(max_age=300, max_lifetime=300)})


def judged(
    lifetimes: Lifetimes, *, age: float, lasts: float = 600, risk: Risk | None = None
) -> Reason | None:
    """The answer for a token of that age and whole life, in seconds."""
    agent = make_agent(issued_at=NOW - age, expires_at=NOW - age + lasts)
    return reason_of(too_old(agent, make_call(risk=risk), lifetimes, now=NOW))


@pytest.mark.parametrize(("age", "reason"), [(60, None), (60.5, Reason.TOKEN_TOO_OLD)])
def test_too_old_refuses_when_the_age_is_over_the_accesss(
    age: float, reason: Reason | None
) -> None:
    """The age counts to the second before it is over, whatever the issuer minted."""
    assert judged(Lifetimes({Access.READ: Limit(max_age=60)}), age=age) is reason


@pytest.mark.parametrize(
    ("limited", "access", "reason"),
    [
        (Access.WRITE, Access.READ, None),
        (Access.WRITE, Access.SENSITIVE, None),
        (Access.SENSITIVE, Access.READ, None),
        (Access.READ, Access.SENSITIVE, Reason.TOKEN_TOO_OLD),
        (Access.READ, Access.WRITE, Reason.TOKEN_TOO_OLD),
        (Access.SENSITIVE, Access.WRITE, Reason.TOKEN_TOO_OLD),
        (Access.WRITE, Access.WRITE, Reason.TOKEN_TOO_OLD),
    ],
)
def test_too_old_holds_for_every_stricter_access(
    limited: Access, access: Access, reason: Reason | None
) -> None:
    """A caller can make a read count as a write (``?_method=``), and gains nothing by it."""
    call, lifetimes = make_call(access=access), Lifetimes({limited: Limit(max_age=60)})
    agent = make_agent(issued_at=NOW - 100)

    assert reason_of(too_old(agent, call, lifetimes, now=NOW)) is reason


def test_too_old_refuses_when_a_high_operation_gets_a_long_token() -> None:
    """A token that lives longer than five minutes was not minted for this."""
    assert judged(HIGH, age=0, lasts=301, risk=Risk.HIGH) is Reason.LIFETIME_EXCEEDED
    assert judged(HIGH, age=0, lasts=300, risk=Risk.HIGH) is None
    assert judged(HIGH, age=0, lasts=301, risk=Risk.INTERACTIVE) is None


def test_too_old_takes_the_strictest_when_several_apply() -> None:
    """Neither limit hides the other."""
    access_is_stricter = Lifetimes(
        {Access.READ: Limit(max_age=10)}, {Risk.HIGH: Limit(max_age=100)}
    )
    risk_is_stricter = Lifetimes({Access.READ: Limit(max_age=100)}, {Risk.HIGH: Limit(max_age=10)})

    for lifetimes in (access_is_stricter, risk_is_stricter):
        assert judged(lifetimes, age=11, risk=Risk.HIGH) is Reason.TOKEN_TOO_OLD


@pytest.mark.parametrize("limit", [Limit(max_age=60), Limit(max_lifetime=60)])
def test_too_old_refuses_when_nobody_knows_how_old_it_is(limit: Limit) -> None:
    """A token without ``iat`` counts as older than everything."""
    agent = make_agent(issued_at=None)
    lifetimes = Lifetimes({Access.READ: limit})

    assert reason_of(too_old(agent, make_call(), lifetimes, now=NOW)) is not None


def test_too_old_refuses_when_a_batch_operation_gets_no_task() -> None:
    """A batch token lives as long as its task: one without a task would live for ever."""
    call = make_call(risk=Risk.BATCH)

    assert reason_of(too_old(make_agent(task=""), call, Lifetimes(), now=NOW)) is (
        Reason.CLAIM_INVALID
    )
    assert too_old(make_agent(task="t"), call, Lifetimes(), now=NOW) is None
    assert too_old(make_agent(task=""), replace(call, risk=None), Lifetimes(), now=NOW) is None
