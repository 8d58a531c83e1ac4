"""What is read at each scrape: a name and a text for every number that some part keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from sidecar.adapters.jwks import IssuerKeys, KeySetStatus
from sidecar.adapters.metrics import Metrics
from sidecar.assembly.policy import PolicyPart
from sidecar.assembly.stores import DenyPart, FeedNumbers, LedgerPart
from sidecar.readiness import Readiness


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that keep numbers."""

    keys: IssuerKeys
    policy: PolicyPart
    denied: DenyPart
    ledger: LedgerPart


def measure(metrics: Metrics, readiness: Readiness, parts: Parts) -> None:
    """Register them all."""
    denied, ledger = parts.denied, parts.ledger
    metrics.gauge("scopegate_ready", "1 when the part is ready.", "part", readiness.parts)
    _of_keys(metrics, parts.keys)
    _of_policy(metrics, parts.policy)
    metrics.gauge(
        "scopegate_ledger_reachable",
        "1 while the store of used tokens answers.",
        "store",
        lambda: {ledger.kind: ledger.reachable()},
    )
    metrics.gauge(
        "scopegate_store_clock_skew_seconds",
        "How far ahead of ours the clock of the store of used tokens is.",
        "store",
        lambda: {} if (skew := ledger.skew_s()) is None else {ledger.kind: skew},
    )
    metrics.gauge(
        "scopegate_deny_entries",
        "Entries of the deny list.",
        "store",
        lambda: {denied.source: denied.entries()},
    )
    if denied.feed is not None:
        _of_feed(metrics, denied.feed)


def _of_policy(metrics: Metrics, policy: PolicyPart) -> None:
    metrics.gauge(
        "scopegate_policy_info",
        "1 for the loaded policy.",
        "revision",
        lambda: {policy.policy.revision: 1.0},
    )
    metrics.gauge(
        "scopegate_policy_reachable",
        "1 while the policy engine answers.",
        "engine",
        lambda: {policy.engine: policy.reachable()},
    )


def _of_feed(metrics: Metrics, feed: FeedNumbers) -> None:
    metrics.gauge(
        "scopegate_deny_feed_reachable",
        "1 while the feed's store answers.",
        "store",
        lambda: {"redis": feed.reachable()},
    )
    metrics.gauge(
        "scopegate_deny_feed_age_seconds",
        "Time since the list was known to be complete.",
        "store",
        lambda: {} if (age := feed.age_s()) is None else {"redis": age},
    )
    metrics.gauge(
        "scopegate_deny_feed_lag_seconds",
        "From the sending of the last heartbeat to its arrival, by both clocks.",
        "store",
        lambda: {} if (lag := feed.lag_s()) is None else {"redis": lag},
    )
    metrics.gauge(
        "scopegate_deny_feed_upto",
        "Number of the last change of the feed that is held.",
        "store",
        lambda: {"redis": feed.upto()},
    )
    metrics.counter(
        "scopegate_deny_feed_messages",
        "Batches and heartbeats of the feed by what became of them.",
        "taken",
        feed.counts,
    )


def _of_keys(metrics: Metrics, keys: IssuerKeys) -> None:
    metrics.gauge(
        "scopegate_jwks_age_seconds",
        "Time since the issuer last confirmed the keys in use.",
        "issuer",
        lambda: {name: of.age_s for name, of in keys.status().items() if of.age_s is not None},
    )
    metrics.gauge(
        "scopegate_clock_skew_seconds",
        "How far ahead of ours an issuer's clock surely is, by its answers' dates.",
        "issuer",
        lambda: {n: 0.0 - of.skew_s for n, of in keys.status().items() if of.skew_s is not None},
    )
    per_issuer: tuple[tuple[str, str, Callable[[KeySetStatus], int]], ...] = (
        ("scopegate_jwks_fetches", "Fetches of an issuer's keys.", lambda of: of.fetches),
        ("scopegate_jwks_not_modified", "Fetches that answered 304.", lambda of: of.not_modified),
        ("scopegate_jwks_failures", "Fetches that brought no keys.", lambda of: of.failures),
    )
    for name, text, read in per_issuer:
        metrics.counter(name, text, "issuer", partial(_of_issuers, keys, read))
    metrics.gauge(
        "scopegate_jwks_keys", "Usable keys.", "issuer", partial(_of_issuers, keys, _usable_keys)
    )


def _of_issuers(keys: IssuerKeys, read: Callable[[KeySetStatus], int]) -> Mapping[str, float]:
    return {name: read(status) for name, status in keys.status().items()}


def _usable_keys(status: KeySetStatus) -> int:
    return status.keys
