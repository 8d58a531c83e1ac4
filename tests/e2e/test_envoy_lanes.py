"""Each hardening line of ``envoy/envoy.yaml`` from the lanes on: lanes, sidecar's cluster, log."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest

from sidecar.config.build import Configuration
from sidecar.core.settle import Outgoing
from tests.e2e.envoy_file import EnvoyFile


def test_lanes_differ_in_what_silence_means_and_in_nothing_else(file: EnvoyFile) -> None:
    """Open passes with a mark, closed answers 503; all the rest is equal."""
    opened, closed = (dict(file.filters[name].to_dict()) for name in ("open", "closed"))
    differing = {key for key in opened.keys() | closed.keys() if opened.get(key) != closed.get(key)}

    assert differing == {
        "statPrefix",
        "failureModeAllow",
        "failureModeAllowHeaderAdd",
        "statusOnError",
    }
    assert opened["failureModeAllow"] is opened["failureModeAllowHeaderAdd"] is True
    assert not closed.get("failureModeAllow", False)
    assert file.filters["closed"].status_on_error.code == 503


@pytest.mark.parametrize("lane", ["open", "closed"])
def test_lane_asks_completely_and_in_time(file: EnvoyFile, lane: str) -> None:
    """Every header as it came, the whole body or 413, an answer within two seconds."""
    config = file.filters[lane]
    body = config.with_request_body

    assert config.encode_raw_headers
    assert body.pack_as_bytes
    assert not body.allow_partial_message
    assert body.max_request_bytes < file.listener.per_connection_buffer_limit_bytes
    assert timedelta(0) < config.grpc_service.timeout <= timedelta(seconds=2)
    assert config.grpc_service.envoy_grpc.cluster_name == "authz"
    assert not config.include_peer_certificate
    assert not config.clear_route_cache
    assert not config.shadow_mode
    assert config.filter_enabled is config.filter_enabled_metadata is None
    # What the guard leaves for strict is not sent along.
    assert not config.metadata_context_namespaces
    assert not config.typed_metadata_context_namespaces


@pytest.mark.parametrize("lane", ["open", "closed"])
def test_lane_lets_the_sidecar_change_only_what_it_has_to(file: EnvoyFile, lane: str) -> None:
    """Not where a request goes, nor how it is framed; a try is an error, not ignored."""
    config = file.filters[lane]
    rules = config.decoder_header_mutation_rules
    forbidden = re.compile(rules.disallow_expression.regex)
    framing = ("content-length", "transfer-encoding", "connection", "upgrade", "te", "expect")

    assert config.validate_mutations
    assert rules.disallow_system
    assert rules.disallow_is_error
    assert not rules.allow_all_routing
    assert not rules.allow_envoy
    assert all(forbidden.fullmatch(name) for name in framing)
    needed = (*Outgoing().identity, "authorization")
    assert not any(forbidden.fullmatch(name) for name in needed)


# --- the sidecar's cluster -----------------------------------------------------------------------


def test_sidecar_is_asked_over_a_unix_socket_by_http2(file: EnvoyFile) -> None:
    """No network is between Envoy and the answer."""
    document = _cluster_document(file, "authz")
    (endpoint,) = document["load_assignment"]["endpoints"][0]["lb_endpoints"]
    options = document["typed_extension_protocol_options"]
    (protocol,) = options.values()

    assert endpoint["endpoint"]["address"] == {"pipe": {"path": "sidecar.sock"}}
    assert "http2_protocol_options" in protocol["explicit_http_config"]


def test_dead_or_hung_sidecar_is_taken_out(file: EnvoyFile) -> None:
    """A health check finds it, and panic mode does not bring it back."""
    cluster: Any = file.clusters["authz"]
    (check,) = cluster.health_checks

    assert check.grpc_health_check.service_name == "envoy.service.auth.v3.Authorization"
    assert check.interval == check.no_traffic_interval <= timedelta(seconds=1)
    assert check.healthy_threshold == 1
    assert check.unhealthy_threshold == 1
    assert cluster.common_lb_config.healthy_panic_threshold.value == 0
    assert cluster.common_lb_config.update_merge_window == timedelta(0)
    assert cluster.connect_timeout <= timedelta(seconds=0.25)


@pytest.mark.parametrize("lane", ["open", "closed"])
def test_busy_sidecar_is_not_taken_for_a_hung_one(
    file: EnvoyFile, configuration: Configuration, lane: str
) -> None:
    """Checks and health checks wait alike, for several decisions: taken out, it opens the lane."""
    (check,) = file.clusters["authz"].health_checks
    timeout: timedelta = file.filters[lane].grpc_service.timeout

    assert check.timeout == timeout
    assert timeout.total_seconds() / configuration.settings.limits.decision_timeout >= 4


def test_breaker_lets_in_whatever_the_listener_does(file: EnvoyFile) -> None:
    """A full breaker is an error of the check, and an error opens the open lane."""
    breakers: Any = file.clusters["authz"].circuit_breakers
    (limits,) = breakers.thresholds
    streams: Any = file.manager.http2_protocol_options
    at_once: int = file.connections * streams.max_concurrent_streams

    assert limits.max_requests >= at_once
    assert limits.max_pending_requests >= at_once
    assert limits.max_connections * 1000 >= at_once


# --- the access log ------------------------------------------------------------------------------


def test_access_log_names_single_fields_and_no_secret(file: EnvoyFile) -> None:
    """Decision and reason, never a whole namespace, a path, a token or a cookie."""
    (log,) = file.manager.access_log
    config: Any = log.typed_config
    fields: dict[str, str] = config.unpack().log_format.to_dict()["jsonFormat"]
    text = " ".join(fields.values()).lower()

    assert fields["decision_id"] == "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:decision_id)%"
    assert fields["reason"] == "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:reason)%"
    assert fields["details"] == "%RESPONSE_CODE_DETAILS%"
    assert not re.search(r"authorization|cookie|path|referer|metadata\([^:)]*\)|jwt_authn", text)


def _cluster_document(file: EnvoyFile, name: str) -> dict[str, Any]:
    clusters = file.document["static_resources"]["clusters"]
    (found,) = [one for one in clusters if one["name"] == name]
    document: dict[str, Any] = found
    return document
