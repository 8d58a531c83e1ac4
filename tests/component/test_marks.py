"""What passes during an outage says so to the tool, to Envoy's log, to records and to metrics."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.adapters.decision_log import line_of
from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.adapters.metrics import Metrics
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from tests.fakes_deny_list import StaleDenyList
from tests.gate import TICKETS, Gate, check, silent_ledger, unreachable_policy

ONCE = check("GET", "/tickets", route=TICKETS, scope=["read:orders:*"])
"""A read whose route wants a token that has not been used before."""


def mark_of(answer: pb.CheckResponse) -> str:
    """What an allowed request says to the tool; it says the same to Envoy's log."""
    assert answer.status.code == 0
    [mark] = [h.header.value for h in answer.ok_response.headers if b"skipped" in h.header.key]
    assert answer.dynamic_metadata.fields["skipped"].string_value == mark.decode()
    return mark.decode()


async def test_an_open_pass_keeps_its_mark_when_a_claim_follows() -> None:
    """Using up the token is one more question: its answer does not hide the one that is missing."""
    ledger = MemoryLedger(capacity=1, per_owner=1)
    gate = Gate(policy=unreachable_policy(), ledger=ledger)
    answer = await gate.answer(ONCE)

    assert mark_of(answer) == "policy"
    assert len(ledger) == 1


@pytest.mark.parametrize(
    ("down", "marks"),
    [
        ({"policy": unreachable_policy()}, ["policy"]),
        ({"deny_list": StaleDenyList()}, ["deny_list"]),
        ({"ledger": silent_ledger()}, ["replay"]),
        ({"deny_list": StaleDenyList(), "ledger": silent_ledger()}, ["deny_list", "replay"]),
        (
            {
                "deny_list": StaleDenyList(),
                "policy": unreachable_policy(),
                "ledger": silent_ledger(),
            },
            ["deny_list", "policy", "replay"],
        ),
    ],
    ids="-".join,
)
async def test_an_open_pass_names_every_question_that_nobody_answered(
    down: dict[str, Any], marks: list[str]
) -> None:
    """Every silence is told, in the order of the questions, wherever anybody looks."""
    gate, metrics = Gate(**down), Metrics()
    answer = await gate.answer(ONCE)
    [observation] = gate.seen
    metrics(observation)
    counted = {
        sample.labels["dependency"]: sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.name == "scopegate_open_passes_total"
    }

    assert mark_of(answer) == ",".join(marks)
    assert json.loads(line_of(observation))["skipped"] == marks
    assert counted == dict.fromkeys(marks, 1.0)


async def test_a_pass_without_an_outage_is_not_marked() -> None:
    """A client's own copy of the mark is taken away."""
    answer = await Gate().answer(ONCE)

    assert answer.status.code == 0
    assert "skipped" not in answer.dynamic_metadata.fields
    assert b"x-authz-skipped" in answer.ok_response.headers_to_remove
