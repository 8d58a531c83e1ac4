"""Our side: files for the real ``scopegate sidecar``, as an operator would write them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench.answers import fault_of_allow
from bench.issuer import AUDIENCE, ISSUER, LIFETIME, TENANT, Issuer
from bench.problem import BenchError
from bench.program import free_port
from bench.server import Server
from bench.work import TOOL
from sidecar.config.build import load_configuration
from sidecar.core.lanes import Lane, lane_digest

CONFIG: Final = "scopegate.yaml"

_ROUTE: Final = "payments"
_POLICIES: Final = Path(__file__).resolve().parent.parent / "policies"
_CATALOGUE: Final[Mapping[str, Any]] = {
    "version": 1,
    "routes": [
        {
            "name": _ROUTE,
            "protocol": "mcp",
            "path": "/mcp",
            "audience": AUDIENCE,
            "server": "payments",
        }
    ],
    "servers": {
        "payments": {
            "tools": {
                "balance": {"scope": "read:payments:balance", "access": "read"},
                TOOL: {"scope": f"write:payments:{TOOL}", "access": "write"},
            }
        }
    },
}


def write_files(directory: Path, issuer: Issuer, *, port: int, records: bool) -> Path:
    """Write settings, catalogue and keys into a new ``directory``; the settings' path.

    ``records`` is whether every decision is written to standard output, as it is by default.
    """
    directory.mkdir()
    (directory / "jwks.json").write_text(issuer.jwks())
    # JSON is YAML, too.
    (directory / "catalogue.yaml").write_text(json.dumps(_CATALOGUE))
    config = directory / CONFIG
    config.write_text(json.dumps(_settings(directory, port, records=records)))
    return config


def sidecar_servers(directory: Path, issuer: Issuer) -> tuple[Server, ...]:
    """The installed command, as it comes and without records of its decisions."""
    return (
        _sidecar("ours", "scopegate", directory / "records", issuer, records=True),
        _sidecar(
            "ours_no_records",
            "scopegate, no records",
            directory / "no-records",
            issuer,
            records=False,
        ),
    )


def marker_of(config: Path) -> dict[str, str]:
    """What an Envoy set up for these settings sends along with a check of the route."""
    route = load_configuration(config, {}).catalogue.routes[_ROUTE]
    return {
        "route": route.name,
        "lane": Lane.CLOSED.value,
        "rewrite": route.rewrite.value,
        "marker": lane_digest(route, Lane.CLOSED),
    }


def _settings(directory: Path, port: int, *, records: bool) -> dict[str, Any]:
    return {
        "version": 1,
        "listen": f"127.0.0.1:{port}",
        "admin": {"http": "127.0.0.1:0", "socket": str(directory / "admin.sock")},
        "deny_list": {"file": str(directory / "state" / "deny-list")},
        "catalogue": "catalogue.yaml",
        "policy": {"paths": [str(_POLICIES)]},
        "issuers": [
            {
                "name": "bench",
                "issuer": ISSUER,
                "jwks": {"file": "jwks.json"},
                "algorithms": ["EdDSA"],
                "tenants": [TENANT],
                "ceiling": ["read:payments:*", "write:payments:*"],
                "max_lifetime": LIFETIME,
            }
        ],
        "log": {"decisions": records},
    }


def _sidecar(key: str, name: str, directory: Path, issuer: Issuer, *, records: bool) -> Server:
    program = Path(sys.executable).with_name("scopegate")
    if not program.exists():
        raise BenchError(f"{program.name} is not installed beside this Python")
    port = free_port()
    config = write_files(directory, issuer, port=port, records=records)
    command = (str(program), "sidecar", "--config", str(config))
    return Server(key, name, command, directory, port, fault_of_allow)
