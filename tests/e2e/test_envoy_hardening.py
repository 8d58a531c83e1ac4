"""Each hardening line of ``envoy/envoy.yaml`` up to the guard: listener, strip, guard."""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from envoy_data_plane.envoy.config.core.v3 import (
    HttpProtocolOptionsHeadersWithUnderscoresAction as Underscores,
)
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager import v3 as hcm

from examples.demo.processes import ENVOY_CONFIG
from sidecar.config.build import Configuration
from sidecar.core.settle import Outgoing
from tests.e2e.envoy_file import EnvoyFile, members

# --- the file as a whole -------------------------------------------------------------------------


def test_envoy_accepts_the_file_when_asked_to_validate(envoy: str, tmp_path: Path) -> None:
    """The real Envoy takes it as it stands."""
    command = [envoy, "--mode", "validate", "--config-path", str(ENVOY_CONFIG)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_admin_listens_on_a_unix_socket_when_at_all(file: EnvoyFile) -> None:
    """No TCP port can drain or dump this Envoy, and only its owner opens the socket."""
    address: Any = file.document["admin"]["address"]

    assert list(address) == ["pipe"]
    assert address["pipe"]["mode"] == 0o600


def test_nothing_is_retried(file: EnvoyFile) -> None:
    """No route, cluster or service repeats or hedges a request."""
    keys = {key for key, _ in members(file.document)}

    assert not keys & {"retry_policy", "hedge_policy", "num_retries", "request_mirror_policies"}


def test_nothing_is_upgraded(file: EnvoyFile) -> None:
    """WebSocket and CONNECT stay off: nobody could check what follows."""
    keys = {key for key, _ in members(file.document)}

    assert not keys & {"upgrade_configs", "allow_connect", "connect_config"}


def test_filters_stand_in_order(file: EnvoyFile) -> None:
    """Strip, limit, guard, lanes, strict, router: each works on what the one before left."""
    assert list(file.filters) == [
        "strip", "limit", "guard", "open", "closed", "strict", "envoy.filters.http.router",
    ]  # fmt: skip


def test_lanes_are_off_until_a_route_asks(file: EnvoyFile) -> None:
    """They and strict are; strip, limit and guard see every request."""
    off = [one.name for one in file.manager.http_filters if one.disabled]

    assert off == ["open", "closed", "strict"]


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("normalize_path", True),
        ("merge_slashes", True),
        (
            "path_with_escaped_slashes_action",
            hcm.HttpConnectionManagerPathWithEscapedSlashesAction.REJECT_REQUEST,
        ),
        ("use_remote_address", True),
        ("xff_num_trusted_hops", 0),
        (
            "forward_client_cert_details",
            hcm.HttpConnectionManagerForwardClientCertDetails.SANITIZE,
        ),
        ("preserve_external_request_id", False),
        ("server_header_transformation", hcm.HttpConnectionManagerServerHeaderTransformation(2)),
    ],
)
def test_requests_have_one_meaning(file: EnvoyFile, option: str, expected: Any) -> None:
    """What scopegate judges is what the tool gets, and the peer is the client."""
    assert getattr(file.manager, option) == expected


def test_nobody_is_internal(file: EnvoyFile) -> None:
    """Not even a client on this host: Envoy would take its own headers from such a one."""
    config: Any = file.manager.internal_address_config

    assert config.cidr_ranges == []
    assert not config.unix_sockets


def test_answers_tell_nothing_of_envoy(file: EnvoyFile) -> None:
    """No timings for a client to measure scopegate by, and no such headers for the tool."""
    assert file.filters["envoy.filters.http.router"].suppress_envoy_headers


def test_underscores_are_refused_in_header_names(file: EnvoyFile) -> None:
    """``x_agent_id`` is ``X-Agent-Id`` to many a framework."""
    options: Any = file.manager.common_http_protocol_options

    assert options.headers_with_underscores_action == Underscores.REJECT_REQUEST


def test_requests_are_bounded(file: EnvoyFile) -> None:
    """Headers by count and size, time at every stage, streams per connection."""
    manager: Any = file.manager
    common, http2 = manager.common_http_protocol_options, manager.http2_protocol_options

    assert common.max_headers_count <= 100
    assert manager.max_request_headers_kb <= 60
    assert http2.max_concurrent_streams <= 100
    actions: list[Any] = [route.route for route in file.forwarding]
    limits = (
        common.idle_timeout,
        manager.request_headers_timeout,
        manager.request_timeout,
        manager.stream_idle_timeout,
        *(action.timeout for action in actions),
    )
    assert all(timedelta(0) < limit <= timedelta(seconds=60) for limit in limits)


def test_connections_are_bounded_when_the_heap_is_not_full(file: EnvoyFile) -> None:
    """One limit on connections, one on memory, and the second does something."""
    manager: Any = file.bootstrap.overload_manager

    assert file.connections <= 10_000
    assert {action.name for action in manager.actions} >= {
        "envoy.overload_actions.stop_accepting_requests"
    }


# --- strip ---------------------------------------------------------------------------------------


def test_strip_removes_what_scopegate_and_envoy_say(file: EnvoyFile) -> None:
    """Every identity header, the mark of the open lane, Envoy's own orders, method overrides."""
    ours = (*Outgoing().identity, "x-agent-anything", "x-authz-anything")
    envoys = (
        "x-envoy-auth-failure-mode-allowed", "x-envoy-auth-partial-body", "x-envoy-retry-on",
        "x-envoy-upstream-rq-timeout-ms", "x-envoy-original-path", "x-envoy-external-address",
    )  # fmt: skip
    overrides = ("x-http-method-override", "x-http-method", "x-method-override")
    mutations = file.filters["strip"].mutations.request_mutations

    kept = [name for name in (*ours, *envoys, *overrides) if not _removes(mutations, name)]
    assert kept == []


def test_strip_removes_the_second_token(file: EnvoyFile) -> None:
    """``proxy-authorization`` is for proxies, and nobody here reads it."""
    assert _removes(file.filters["strip"].mutations.request_mutations, "proxy-authorization")


def test_strip_leaves_the_token(file: EnvoyFile) -> None:
    """Guard and scopegate still have to read it."""
    assert not _removes(file.filters["strip"].mutations.request_mutations, "authorization")


@pytest.mark.parametrize("name", ["x-forwarded-for", "x-forwarded-host", "forwarded", "x-real-ip"])
def test_client_cannot_say_where_it_comes_from(file: EnvoyFile, name: str) -> None:
    """Its own words go before Envoy writes what it saw."""
    (early,) = file.manager.early_header_mutation_extensions
    extension: Any = early.typed_config

    assert _removes(extension.unpack().mutations, name)


# --- guard ---------------------------------------------------------------------------------------


def test_guard_is_as_strict_as_the_issuers_profile(
    file: EnvoyFile, configuration: Configuration
) -> None:
    """Same issuer and keys; lifetime, leeway and audiences no wider than the sidecar's."""
    guard = file.filters["guard"]
    (provider,) = guard.providers.values()
    profile = configuration.issuers[provider.issuer]
    (issuer,) = configuration.settings.issuers

    assert provider.remote_jwks.http_uri.uri == str(issuer.jwks.url)
    assert provider.require_expiration
    assert timedelta(0) < provider.max_lifetime <= timedelta(seconds=profile.max_lifetime)
    assert 0 < provider.clock_skew_seconds <= profile.leeway
    assert set(provider.audiences) == {
        route.audience for route in configuration.catalogue.routes.values()
    }


def test_guard_reads_the_token_from_one_place(file: EnvoyFile) -> None:
    """Not from a query parameter or a cookie, where scopegate would not see it."""
    (provider,) = file.filters["guard"].providers.values()
    places = [(header.name, header.value_prefix) for header in provider.from_headers]

    assert places == [("Authorization", "Bearer "), ("Authorization", "DPoP ")]
    assert not provider.from_params
    assert not provider.from_cookies
    assert provider.forward


def test_guard_requires_a_valid_token_when_a_route_asks(file: EnvoyFile) -> None:
    """``allow_missing`` and the like would let forged reads through when the sidecar is dead."""
    guard = file.filters["guard"]

    assert not guard.rules
    assert not guard.bypass_cors_preflight
    assert {name: one.to_dict() for name, one in guard.requirement_map.items()} == {
        "token": {"providerName": "demo"}
    }


def test_guard_keeps_its_keys_fresh_in_the_background(file: EnvoyFile) -> None:
    """A short cache, filled by the main thread: it keeps the last keys when a fetch fails."""
    (provider,) = file.filters["guard"].providers.values()

    assert provider.remote_jwks.async_fetch is not None
    assert timedelta(0) < provider.remote_jwks.cache_duration <= timedelta(seconds=60)


def _removes(mutations: list[Any], name: str) -> bool:
    return any(
        mutation.remove == name
        or (
            mutation.remove_on_match is not None
            and name.startswith(mutation.remove_on_match.key_matcher.prefix)
        )
        for mutation in mutations
    )
