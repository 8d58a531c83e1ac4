"""Counts with labels that no caller can grow."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client import generate_latest

from sidecar.adapters.metrics import Metrics
from sidecar.core.model import Allowed, Dependency, Refused, Verdict
from sidecar.core.reasons import Reason
from sidecar.observe import Observation
from tests.values import AGENT, CALL, NOW, REQUEST

PASSED = Verdict(Allowed((), ()), request=REQUEST, call=CALL, agent=AGENT)


def observed(*verdicts: Verdict) -> str:
    metrics = Metrics()
    for verdict in verdicts:
        metrics(Observation("d", NOW, 0.0002, "p", verdict))
    return generate_latest(metrics.registry).decode()


def test_metrics_count_decisions_by_reason_access_and_route() -> None:
    """Each check counts once, with its duration."""
    text = observed(PASSED, PASSED, Verdict(Refused(Reason.TOKEN_MISSING), call=CALL))

    assert (
        'scopegate_decisions_total{access="read",decision="allow",reason="ok",route="customers"} 2'
        in text
    )
    assert (
        'scopegate_decisions_total{access="read",decision="deny",reason="token_missing",'
        'route="customers"} 1'
    ) in text
    assert 'scopegate_check_duration_seconds_bucket{le="0.00025"} 3' in text


def test_metrics_count_every_open_pass() -> None:
    """What an outage let through is a number somebody can be woken by."""
    text = observed(replace(PASSED, skipped=(Dependency.POLICY,)))

    assert 'scopegate_open_passes_total{access="read",dependency="policy"} 1' in text


def test_metrics_grow_no_label_by_what_a_caller_says() -> None:
    """A thousand paths, agents and tasks are one time series."""
    odd = [
        replace(
            PASSED,
            request=replace(REQUEST, path=f"/{n}", method=f"M{n}"),
            agent=replace(AGENT, agent=f"a{n}", task=f"t{n}"),
        )
        for n in range(1000)
    ]
    series = [line for line in observed(*odd).splitlines() if line.startswith("scopegate_dec")]

    assert len(series) == 2  # the count, and when it was created
    assert len(observed().splitlines()) < 60


def test_metrics_read_what_others_keep() -> None:
    """Gauges are asked when they are scraped."""
    metrics = Metrics()
    metrics.gauge("scopegate_test", "t", "part", lambda: {"a": 1.5})
    metrics.counter("scopegate_other", "t", "part", lambda: {"b": 2.0})
    text = generate_latest(metrics.registry).decode()

    assert 'scopegate_test{part="a"} 1.5' in text
    assert 'scopegate_other_total{part="b"} 2.0' in text
