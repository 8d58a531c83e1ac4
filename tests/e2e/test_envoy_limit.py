"""The limit of ``envoy/envoy.yaml``: less than the sidecar answers before a check times out."""

from __future__ import annotations

from typing import Any

from envoy_data_plane.envoy.type.v3 import FractionalPercentDenominatorType

from sidecar.config.build import Configuration
from tests.e2e.envoy_file import EnvoyFile

CHECKS_PER_SECOND = 900
"""Of one sidecar, by ``make bench`` on two slow cores."""


def test_limit_is_enforced_on_every_request(file: EnvoyFile) -> None:
    """Envoy's own defaults are to look at none and to refuse none."""
    limit = file.filters["limit"]

    for share in (limit.filter_enabled, limit.filter_enforced):
        assert not share.runtime_key
        assert share.default_value.numerator == 100
        assert share.default_value.denominator is FractionalPercentDenominatorType.HUNDRED
    assert not [
        route.name for route in file.host.routes if "limit" in route.typed_per_filter_config
    ]


def test_limit_is_one_for_all_connections(file: EnvoyFile) -> None:
    """A bucket for each would let in as much as there are connections."""
    limit = file.filters["limit"]

    assert not limit.local_rate_limit_per_downstream_connection
    assert not limit.descriptors


def test_limit_tells_when_to_come_again(file: EnvoyFile) -> None:
    """429, which is Envoy's default here, with ``retry-after`` in seconds."""
    limit = file.filters["limit"]
    (added,) = limit.response_headers_to_add

    assert limit.status is None
    assert (added.header.key, added.header.value) == ("retry-after", "1")


def test_limit_is_below_what_the_sidecar_answers_in_time(
    file: EnvoyFile, configuration: Configuration
) -> None:
    """Burst and one timeout's refill: half of what it answers in that time.

    And burst and one decision's refill: half of what it takes on at once.
    """
    bucket = file.filters["limit"].token_bucket
    rate = bucket.tokens_per_fill / bucket.fill_interval.total_seconds()
    for lane in ("open", "closed"):
        timeout = file.filters[lane].grpc_service.timeout.total_seconds()
        at_once = bucket.max_tokens + rate * timeout

        assert at_once <= CHECKS_PER_SECOND * timeout / 2

    limits = configuration.settings.limits
    under_way = bucket.max_tokens + rate * limits.decision_timeout

    assert under_way <= limits.concurrency / 2


def test_flood_cannot_keep_envoy_from_reading_answers(file: EnvoyFile) -> None:
    """One request of each connection in turn, and not too many of either."""
    (layer,) = file.document["layered_runtime"]["layers"]
    streams: Any = file.manager.http2_protocol_options

    assert layer["static_layer"] == {"http.max_requests_per_io_cycle": 1}
    assert file.connections * streams.max_concurrent_streams <= 8_000
