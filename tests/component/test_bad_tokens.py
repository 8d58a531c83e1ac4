"""Every bad token is refused by the whole gate and by its own rule; the good one beside it passes.

Everything goes through the real pipeline on the closed lane, as Envoy's bytes.
"""

from __future__ import annotations

import pytest

from sidecar.core.feed_wire import ForgedError, open_any, open_batch
from sidecar.core.model import Decision, Refused
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from tests.bad_tokens import CASES, LAST, numbered
from tests.bad_tokens_kinds import entries_of_another, good_entries, unsigned_entries
from tests.bad_tokens_kit import CLOSED_LANE, Case, Maker, closed_check, sent_by
from tests.feed_source import FEED, KEYS
from tests.gate import Gate


async def decided(gate: Gate, *makers: Maker) -> list[Decision]:
    """What one pipeline decides, one request after the other; Envoy is told the same."""
    pipeline = gate.pipeline()
    decisions: list[Decision] = []
    for maker in makers:
        raw = closed_check(sent_by(maker, CLOSED_LANE))
        deadline = gate.clock.monotonic() + 10
        answer = await pipeline.check(raw, peer="test", deadline=deadline)
        decision = gate.seen[-1].verdict.decision
        status = pb.CheckResponse.FromString(answer).status
        said = decision.reason.word if isinstance(decision, Refused) else ""
        assert (bool(status.code), status.message) == (bool(said), said)
        decisions.append(decision)
    return decisions


def assert_judged(case: Case, decision: Decision) -> None:
    """The decision is the row's."""
    if case.reason is None:
        assert not isinstance(decision, Refused), decision
    else:
        assert isinstance(decision, Refused)
        assert decision.reason is case.reason, decision
        assert case.detail in decision.detail


BAD = [case for case in CASES if case.reason is not None]


@pytest.mark.parametrize("case", [case for case in CASES if not case.after_good], ids=str)
async def test_gate_judges_token_as_the_table_says_when_it_comes_alone(case: Case) -> None:
    """Nothing that came before has to tell the gate that it is bad."""
    [decision] = await decided(case.gate(), case.bad)

    assert_judged(case, decision)


@pytest.mark.parametrize("case", BAD, ids=str)
async def test_gate_refuses_token_when_the_good_one_of_its_kind_has_passed(case: Case) -> None:
    """The refusal is the case's own; the memory of good tokens helps no bad one, nor a retry."""
    first, *others = await decided(case.gate(), case.good, case.bad, case.bad)

    assert not isinstance(first, Refused), first
    for decision in others:
        assert_judged(case, decision)


def test_table_has_every_number_once_and_in_order() -> None:
    """None of the 108 was forgotten, and none stands twice."""
    numbers = [numbered(case) for case in CASES]

    assert sorted(set(numbers)) == list(range(1, LAST + 1))
    assert numbers == sorted(numbers)
    assert len({case.number for case in CASES}) == len(CASES)


def test_feed_takes_a_batch_when_its_own_key_signed_it() -> None:
    """The control of the next test."""
    assert open_batch(good_entries(), KEYS).feed == FEED


@pytest.mark.parametrize("maker", [unsigned_entries, entries_of_another])
def test_feed_refuses_entries_when_they_are_unsigned_or_anothers(maker: Maker) -> None:
    """Row 104 where it matters; ``test_deny_feed.py`` puts such entries into a real Redis."""
    text = maker(CLOSED_LANE)

    assert isinstance(text, bytes)
    with pytest.raises(ForgedError):
        open_any(text, KEYS)
