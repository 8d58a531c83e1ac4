"""Facts about the whole line that only these tests show."""

from __future__ import annotations

from dataclasses import replace

from sidecar.core.model import Refused
from sidecar.core.reasons import Reason
from tests.gate import CATALOGUE, ORDERS, Gate, check

CARTS = replace(ORDERS, name="carts", path=("carts", "{order}"), session_header="x-cart")


async def test_check_refuses_when_the_session_is_not_one() -> None:
    """What the plan of the last step refuses, does not pass."""
    gate = Gate(catalogue=replace(CATALOGUE, routes={"carts": CARTS}))
    good, bad = (
        check(path="/carts/o-1", route=CARTS, headers={"x-cart": value})
        for value in (b"cart-1", b"cart-1,cart-2")
    )

    for raw in (good, bad):
        await gate.answer(raw)

    first, second = (observation.verdict.decision for observation in gate.seen)
    assert not isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert second.reason is Reason.SESSION_REFUSED


async def test_check_takes_a_second_credential_away_when_the_call_passes() -> None:
    """The tool hears of one caller only."""
    answer = await Gate().answer(check(headers={"x-api-key": b"secret", "x-plain": b"1"}))

    removed = set(answer.ok_response.headers_to_remove)
    assert b"x-api-key" in removed
    assert b"x-plain" not in removed
