"""The Envoy of a measurement: the real program, with one worker and one route.

Its configuration is the same for every server but for the address. What it sends with a check to
show that it was set up for scopegate's catalogue, the others get, too, and do not read.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.answers import SENT, SENT_FORMAT
from bench.problem import BenchError
from bench.work import PATH

_CHECK_S: Final = 5.0
"""As directly: a late answer is a number here, not an error."""
_BODY_BYTES: Final = 65_536
_TYPE: Final = "type.googleapis.com/envoy.extensions"
_MANAGER: Final = f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
_AUTHZ: Final = "envoy.filters.http.ext_authz"


def envoy_program() -> Path:
    """The Envoy of this very environment. Raises ``BenchError`` when it is not installed."""
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        raise BenchError(f"{program} is missing: install the project with its 'demo' group")
    return program


def envoy_command(
    program: Path, directory: Path, *, port: int, authz_port: int, marker: Mapping[str, str]
) -> tuple[str, ...]:
    """Write the configuration into ``directory``; the command that listens on ``port``.

    Both ports are of 127.0.0.1; ``authz_port`` is where the server is.
    """
    config = directory / "envoy.json"
    resources = {"listeners": [_listener(port, marker)], "clusters": [_cluster(authz_port)]}
    config.write_text(json.dumps({"static_resources": resources}))
    return (
        str(program), "--config-path", str(config), "--concurrency", "1",
        "--disable-hot-restart", "--log-level", "warning",
    )  # fmt: skip


def _listener(port: int, marker: Mapping[str, str]) -> dict[str, Any]:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": "bench",
        "http_filters": [
            {"name": _AUTHZ, "typed_config": _authz()},
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            },
        ],
        "route_config": {
            "virtual_hosts": [{"name": "bench", "domains": ["*"], "routes": [_route(marker)]}]
        },
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    return {"name": "bench", "address": _address(port), "filter_chains": [{"filters": filters}]}


def _authz() -> dict[str, Any]:
    return {
        "@type": f"{_TYPE}.filters.http.ext_authz.v3.ExtAuthz",
        "transport_api_version": "V3",
        "grpc_service": {"envoy_grpc": {"cluster_name": "authz"}, "timeout": f"{_CHECK_S}s"},
        "failure_mode_allow": False,
        "status_on_error": {"code": "ServiceUnavailable"},
        "with_request_body": {
            "max_request_bytes": _BODY_BYTES,
            "allow_partial_message": False,
            "pack_as_bytes": True,
        },
    }


def _route(marker: Mapping[str, str]) -> dict[str, Any]:
    return {
        "match": {"path": PATH},
        "direct_response": {"status": 200},
        "response_headers_to_add": [{"header": {"key": SENT, "value": SENT_FORMAT}}],
        "typed_per_filter_config": {
            _AUTHZ: {
                "@type": f"{_TYPE}.filters.http.ext_authz.v3.ExtAuthzPerRoute",
                "check_settings": {"context_extensions": dict(marker)},
            }
        },
    }


def _cluster(authz_port: int) -> dict[str, Any]:
    protocol = f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions"
    endpoint = {"endpoint": {"address": _address(authz_port)}}
    return {
        "name": "authz",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            protocol.rpartition("/")[2]: {
                "@type": protocol,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {"cluster_name": "authz", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
