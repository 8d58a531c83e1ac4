"""The fuzzer itself: it tries what it should, the same every time, and finds what is broken."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import pytest
from joserfc.errors import SecurityWarning

from sidecar.core.binding import Caller
from sidecar.core.model import Agent, Call, Proof, Refused, Request
from sidecar.core.reasons import Reason
from tests.fakes_policy import FakePolicy
from tests.fuzz import steps
from tests.fuzz.case import Case, kept, of_line
from tests.fuzz.draft import begun
from tests.fuzz.generate import case_of
from tests.fuzz.issuers import GOODS, THUMBPRINT
from tests.fuzz.page import page
from tests.fuzz.run import LIMIT_S, Finding, Fuzzer, Tally, fuzz, keep
from tests.fuzz.second_opinion import LISTED, second_opinion
from tests.real_parts import ROOT
from tests.tokens import NOW
from tests.values import make_agent

SEED: Final = 1
ENOUGH: Final = 4000
"""Cases in which every reason is reached, and every rule that is gone is noticed."""
FOREVER: Final = 1e6
"""Seconds: the number of cases ends it."""


def cases(count: int) -> Iterable[Case]:
    return (case_of(SEED, number) for number in range(count))


def good_case(name: str = "plain/token") -> Case:
    return begun(next(good for good in GOODS if good.name == name)).case(random.Random(0))


def found(fuzzer: Fuzzer, tried: Iterable[Case]) -> list[Finding]:
    return fuzz(tried, seconds=FOREVER, fuzzer=fuzzer).findings


# --- what is tried -------------------------------------------------------------------------------


@pytest.mark.parametrize("good", GOODS, ids=lambda good: f"{good.name}-{good.by.algorithm}")
@pytest.mark.filterwarnings(f"ignore::{SecurityWarning.__module__}.SecurityWarning")
async def test_good_token_passes_both_verifiers_when_nothing_is_done_to_it(good: Any) -> None:
    """Whatever is refused later was refused for what was done to it."""
    raw = begun(good).case(random.Random(0)).check()
    asked = steps.asked(raw)
    assert not isinstance(asked, Refused)

    assert isinstance(steps.judge(*asked), Agent)
    assert second_opinion(asked[0]) <= LISTED.keys()
    assert (await steps.gate()(raw)).reason is None


def test_generator_reaches_every_reason_and_listing_when_it_runs_for_a_while() -> None:
    """No rule of steps 2 to 4 is out of its reach, and no listing is there for nothing."""
    tally = fuzz(itertools.chain(cases(ENOUGH), kept()), seconds=FOREVER)

    wanted = {reason.word for reason in steps.TOKEN_REASONS - steps.LATER}
    assert wanted - tally.reached.keys() == set()
    assert Reason.CREDENTIAL_REFUSED.word in tally.later
    assert tally.listed.keys() == LISTED.keys()
    assert tally.reached["passed"] > ENOUGH / 10
    assert [str(one) for one in tally.findings if one.kind != "slow"] == []


def test_cases_are_the_same_when_another_process_makes_them() -> None:
    """A seed and a number are enough to try a case again, whatever Python hashes strings to."""
    program = (
        "import hashlib; from tests.fuzz.generate import case_of;"
        "lines = ''.join(case_of(1, n).line() for n in range(300));"
        "print(hashlib.sha256(lines.encode()).hexdigest())"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    other = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)

    lines = "".join(case_of(1, number).line() for number in range(300))
    assert other.stdout.strip() == hashlib.sha256(lines.encode()).hexdigest()


def test_case_is_the_same_when_it_was_kept(tmp_path: Path) -> None:
    """What a finding's line says is what was tried, byte by byte."""
    tried = [case_of(SEED, number) for number in range(300)]
    assert [of_line(case.line()) for case in tried] == tried

    path = tmp_path / "kept" / "cases.jsonl"
    keep([Finding("crash", "", case) for case in tried[:3]], path)
    keep([Finding("slow", "", case) for case in tried[3:5]], path)
    assert list(kept(path)) == tried[:5]
    assert list(kept(tmp_path / "none")) == []


# --- what is found -------------------------------------------------------------------------------


def accepts_anything(request: Request, call: Call) -> Agent | Refused:
    del request, call
    return make_agent()


def crashes(request: Request, call: Call) -> Agent | Refused:
    raise KeyError(request.path, call.route)


def burns(seconds: float) -> None:
    ends = time.thread_time() + seconds
    while time.thread_time() < ends:
        pass


def is_slow(request: Request, call: Call) -> Agent | Refused:
    burns(LIMIT_S * 1.1)
    return steps.judge(request, call)


def refuses_otherwise(request: Request, call: Call) -> Agent | Refused:
    said = steps.judge(request, call)
    return Refused(Reason.TOKEN_EXPIRED) if isinstance(said, Agent) else said


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (accepts_anything, "accepted"),
        (crashes, "crash"),
        (is_slow, "slow"),
        (refuses_otherwise, "disagrees"),
    ],
)
def test_fuzzer_finds_it_when_the_verifier_is_broken(broken: steps.Judge, kind: str) -> None:
    """A verifier that accepts anything, crashes, is slow or is another than the gate's is found."""
    findings = found(Fuzzer(judge=broken), cases(40))

    assert kind in {finding.kind for finding in findings}
    assert all("seed 1, number" in finding.case.how for finding in findings)


class BrokenPolicy(FakePolicy):
    async def rule_on(self, question: Any, *, deadline: float) -> Any:
        raise KeyError(question, deadline)


async def raises(raw: bytes) -> steps.Answered:
    raise ValueError(raw)


async def half_an_answer(raw: bytes) -> steps.Answered:
    whole = await steps.gate()(raw)
    return steps.Answered(False, whole.reason, whole.verdict)


async def passes_all(raw: bytes) -> steps.Answered:
    whole = await steps.gate()(raw)
    return steps.Answered(True, None, whole.verdict)


@pytest.mark.parametrize(
    ("broken", "kind"),
    [
        (steps.gate(BrokenPolicy(revision="0" * 16)), "crash"),
        (raises, "crash"),
        (half_an_answer, "crash"),
        (passes_all, "disagrees"),
    ],
)
def test_fuzzer_finds_it_when_the_gate_is_broken(broken: steps.Answer, kind: str) -> None:
    """An internal error, an exception, half an answer and another answer are all found."""
    findings = found(Fuzzer(answer=broken), [good_case(), *cases(40)])

    assert {finding.kind for finding in findings} == {kind}


@pytest.mark.parametrize("slow", [1, 4])
def test_fuzzer_finds_nothing_when_a_token_was_slow_for_a_while_only(slow: int) -> None:
    """Others' load is no finding: the least of four measurements counts, and three at the end."""
    calls = itertools.count()

    def slow_at_first(request: Request, call: Call) -> Agent | Refused:
        if next(calls) < slow:
            burns(LIMIT_S * 1.1)
        return steps.judge(request, call)

    fuzzer = Fuzzer(judge=slow_at_first)
    assert found(fuzzer, [good_case()]) == []
    assert (fuzzer.tally.worst[0][0] > LIMIT_S) is (slow == 4)


def test_fuzzer_stops_when_findings_are_many() -> None:
    """A broken gate does not fill the disk with kept cases."""
    assert len(found(Fuzzer(judge=crashes), cases(100))) == 20


NOTHING: Final[Callable[..., Any]] = lambda *_, **__: None  # noqa: E731 - takes the place of any rule
PROOF: Final = Proof("t", "j", NOW, NOW + 60)
RULES: Final[dict[str, Callable[..., Any]]] = {
    "sidecar.core.signature.unsigned": NOTHING,
    "sidecar.core.verify._origin": NOTHING,
    "sidecar.core.verify._time": NOTHING,
    "sidecar.core.verify.audience": NOTHING,
    "sidecar.core.verify._texts": NOTHING,
    "sidecar.core.verify._tenant": NOTHING,
    "sidecar.core.verify.confirmation_of": NOTHING,
    "sidecar.core.verify._foreign": NOTHING,
    "sidecar.core.binding.check_proof": lambda *_, **__: PROOF,
    "sidecar.core.binding.caller_of": lambda *_: Caller(certificate=THUMBPRINT),
    "sidecar.core.dpop.unsigned": NOTHING,
    "sidecar.core.dpop._about_another": lambda *_: "",
    "sidecar.core.dpop._untimely": lambda *_: "",
    "sidecar.core.chain._check_signatures": NOTHING,
    "sidecar.core.chain._check_hash": NOTHING,
    "sidecar.core.delegation._check_narrower": NOTHING,
    "sidecar.core.delegation._check_end": NOTHING,
}
"""Rules of the product, and what stands in the place of each when it is gone."""


@pytest.mark.parametrize("rule", RULES)
def test_second_verifier_objects_when_a_rule_is_gone(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of these rules, taken out of the product, makes the fuzzer find an acceptance."""
    monkeypatch.setattr(rule, RULES[rule])
    fuzzer = Fuzzer()

    def until_it_objects() -> Iterable[Case]:
        for case in cases(ENOUGH):
            if any(one.kind == "accepted" for one in fuzzer.tally.findings):
                return
            fuzzer.tally.findings.clear()
            yield case

    kinds = {finding.kind for finding in found(fuzzer, until_it_objects())}

    assert "accepted" in kinds


# --- the page ------------------------------------------------------------------------------------


def test_page_says_what_was_found_when_something_was() -> None:
    """The page names findings, costs, reasons and listings, and no text ends its table."""
    case = Case("a|b\nc; seed 1, number 2", (("authorization", b"Bearer secret"),))
    tally = Tally(cases=3, seconds=2.0, findings=[Finding("slow", "9.9 ms", case)])
    tally.times.extend((0.001, 0.002, 0.003))
    tally.worst.append((0.0099, case.how))
    told = page(tally, 1)

    assert "slow, 9.9 ms: `a/b?c; seed 1, number 2`" in told
    assert "median 2.00 ms" in told
    assert "| 9.90 | a/b?c; seed 1, number 2 |" in told
    assert all(f"`{word}`" in told for word in LISTED)
    assert "secret" not in told
