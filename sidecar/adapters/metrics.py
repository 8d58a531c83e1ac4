"""Prometheus metrics, made per assembly: no globals, and no label that a caller can grow.

Labels are the closed list of reasons, the stance's coordinates and the operator's own route and
issuer names; what a token or a path says is never one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sidecar.core.catalogue import Catalogue
from sidecar.core.model import Refused
from sidecar.core.record import outcome
from sidecar.core.stance import has_ended
from sidecar.observe import Observation

# From 50 microseconds: the default buckets begin where a check must have ended.
_BUCKETS: Final = (
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5,
)  # fmt: skip


class Metrics:
    """An ``observe.Observer`` that counts; ``registry`` is what ``/metrics`` prints."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._decisions = Counter(
            "scopegate_decisions",
            "Checks by what came of them.",
            ("decision", "reason", "access", "route"),
            registry=self.registry,
        )
        self._open_passes = Counter(
            "scopegate_open_passes",
            "Calls that passed although a question stayed unanswered.",
            ("dependency", "access"),
            registry=self.registry,
        )
        self._marks = Counter(
            "scopegate_marked_passes",
            "Calls that passed with something noticed of their token.",
            ("mark",),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "scopegate_check_duration_seconds",
            "Time that a check took inside the sidecar.",
            registry=self.registry,
            buckets=_BUCKETS,
        )

    def __call__(self, observation: Observation) -> None:
        """Count one check."""
        verdict = observation.verdict
        decision, call = verdict.decision, verdict.call
        reason = decision.reason.word if isinstance(decision, Refused) else "ok"
        access, route = (call.access.value, call.route) if call else ("unknown", "unknown")
        self._decisions.labels(outcome(verdict), reason, access, route).inc()
        self._seconds.observe(observation.seconds)
        if not isinstance(decision, Refused):
            for dependency in verdict.skipped:
                self._open_passes.labels(dependency.value, access).inc()
            for mark in verdict.agent.marks if verdict.agent else ():
                self._marks.labels(mark).inc()

    def gauge(
        self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]
    ) -> None:
        """A gauge read when it is scraped: one sample per key of what ``read`` returns."""
        self._register(lambda: GaugeMetricFamily(name, text, labels=[label]), _singly(read))

    def counter(
        self, name: str, text: str, label: str, read: Callable[[], Mapping[str, float]]
    ) -> None:
        """A counter that somebody else keeps, read when it is scraped."""
        self._register(lambda: CounterMetricFamily(name, text, labels=[label]), _singly(read))

    def stance_exceptions(
        self, catalogue: Callable[[], Catalogue], now: Callable[[], float]
    ) -> None:
        """Show every exception to the stance table; ``now`` in seconds since the epoch."""

        def read() -> Mapping[tuple[str, ...], float]:
            at = now()
            return {
                (route.name, one.dependency.value, one.access.value, one.stance.value): float(
                    not has_ended(one, at)
                )
                for route in catalogue().routes.values()
                for one in route.outages
            }

        self._register(
            lambda: GaugeMetricFamily(
                "scopegate_stance_exceptions",
                "1 while the route's exception to the stance table holds, 0 once it has ended.",
                labels=["route", "dependency", "access", "stance"],
            ),
            read,
        )

    def _register(
        self,
        family: Callable[[], GaugeMetricFamily | CounterMetricFamily],
        read: Callable[[], Mapping[tuple[str, ...], float]],
    ) -> None:
        self.registry.register(_Read(family, read))


def _singly(
    read: Callable[[], Mapping[str, float]],
) -> Callable[[], Mapping[tuple[str, ...], float]]:
    return lambda: {(label,): value for label, value in read().items()}


class _Read(Collector):
    def __init__(
        self,
        family: Callable[[], GaugeMetricFamily | CounterMetricFamily],
        read: Callable[[], Mapping[tuple[str, ...], float]],
    ) -> None:
        self._family = family
        self._read = read

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for labels, value in self._read().items():
            family.add_metric(labels, value)
        yield family
