"""Envoys of other set-ups: ``envoy/envoy.yaml`` with other routes, listeners and ports.

Everything that a test does not ask for stays as it is in the file. Ports are Envoy's to choose.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import aiohttp

from examples.demo.program import Program
from sidecar.core.catalogue import Catalogue, Route
from sidecar.core.lanes import Lane, lane_digest, lanes_of
from tests.e2e.envoy_file import read_document
from tests.e2e.mtls import TRUST_DOMAIN, Identity

BEHIND_A_HOP: Final = "x-forwarded-[^c].*"
"""What is still removed first where ``x-forwarded-client-cert`` is to be heard."""

_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


@dataclass(frozen=True, slots=True)
class Door:
    """One listener, as far as it is not the file's."""

    name: str
    tls: Identity | None = None
    """Whose certificate it shows; without one it speaks plaintext."""
    trusted: Path | None = None
    """The authorities of client certificates: each client must show one."""
    forwarding: str = "SANITIZE"
    """``forward_client_cert_details``."""
    told: Mapping[str, bool] = field(default_factory=dict)
    """``set_current_client_cert_details``."""
    removed_early: str = ""
    """Which headers, as a regular expression, are removed first instead of ``x-forwarded-``."""
    underscores: str = "REJECT_REQUEST"
    """``headers_with_underscores_action``."""
    spiffe: bool = False
    """Envoy's SPIFFE validator looks at client certificates: they must be SVIDs of the domain."""


class OwnEnvoy:
    """One Envoy in a fresh directory; ``ports`` are its doors', once it is ready."""

    def __init__(self, directory: Path, document: Mapping[str, Any]) -> None:
        self._directory = directory
        config = directory / "envoy.json"
        config.write_text(json.dumps(document))
        self.program = Program(
            directory, "envoy", "--config-path", str(config), "--disable-hot-restart",
            "--concurrency", "1", "--log-level", "warning", "--file-flush-interval-msec", "100",
        )  # fmt: skip
        self.ports: Mapping[str, int] = {}

    async def start(self) -> None:
        await self.program.start()
        await self.program.ready(self._listening)

    async def stop(self) -> None:
        await self.program.stop()

    async def stat(self, name: str) -> int:
        """One counter or gauge, by its full name."""
        found = (await self._ask("/stats", filter=f"^{name}$"))["stats"]
        return int(found[0]["value"]) if found else 0

    async def _listening(self) -> bool:
        try:
            found = (await self._ask("/listeners")).get("listener_statuses", [])
        except (aiohttp.ClientError, ValueError):
            return False
        self.ports = {
            one["name"]: one["local_address"]["socket_address"]["port_value"] for one in found
        }
        return bool(self.ports)

    async def _ask(self, path: str, **query: str) -> Any:
        connector = aiohttp.UnixConnector(str(self._directory / "envoy-admin.sock"))
        async with (
            aiohttp.ClientSession(connector=connector) as admin,
            admin.get(f"http://envoy{path}", params={**query, "format": "json"}) as answer,
        ):
            return await answer.json(content_type=None)


def gate_document(
    catalogue: Catalogue, doors: Iterable[Door], *, tool: int, issuer: int, authz: Path
) -> dict[str, Any]:
    """The file with the catalogue's routes behind each of ``doors``, and these neighbours."""
    # JSON has no anchors: what the file shares between two places becomes two.
    document: dict[str, Any] = json.loads(json.dumps(read_document()))
    resources = document["static_resources"]
    clusters = {one["name"]: one for one in resources["clusters"]}
    _socket_of(clusters["tool"])["port_value"] = tool
    _socket_of(clusters["issuer"])["port_value"] = issuer
    _address_of(clusters["authz"])["pipe"]["path"] = str(authz)
    (listener,) = resources["listeners"]
    manager = _manager_of(listener)
    for one in manager["http_filters"]:
        config = one["typed_config"]
        if one["name"] in ("open", "closed"):
            config["include_peer_certificate"] = True
        if one["name"] == "guard":
            fetch = config["providers"]["demo"]["remote_jwks"]["http_uri"]
            fetch["uri"] = f"http://127.0.0.1:{issuer}/jwks.json"
    _set_routes(manager["route_config"]["virtual_hosts"][0], catalogue)
    resources["listeners"] = [_open_door(listener, door) for door in doors]
    return document


def hop_document(door: Door, *, identity: Identity, trusted: Path, inner: int) -> dict[str, Any]:
    """An Envoy that passes everything on to ``inner`` by mTLS, and asks nobody."""
    document: dict[str, Any] = json.loads(json.dumps(read_document()))
    resources = document["static_resources"]
    (listener,) = resources["listeners"]
    manager = _manager_of(listener)
    manager["http_filters"] = manager["http_filters"][-1:]
    route = {"match": {"prefix": "/"}, "route": {"cluster": "tool"}}
    manager["route_config"]["virtual_hosts"] = [
        {"name": "inner", "domains": ["*"], "routes": [route]}
    ]
    (cluster,) = [one for one in resources["clusters"] if one["name"] == "tool"]
    _socket_of(cluster)["port_value"] = inner
    cluster["transport_socket"] = _transport("UpstreamTlsContext", identity, trusted)
    resources["clusters"] = [cluster]
    resources["listeners"] = [_open_door(listener, door)]
    return document


def _open_door(listener: Mapping[str, Any], door: Door) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(dict(listener))
    made["name"] = door.name
    made["address"]["socket_address"]["port_value"] = 0
    manager = _manager_of(made)
    manager["forward_client_cert_details"] = door.forwarding
    if door.told:
        manager["set_current_client_cert_details"] = dict(door.told)
    manager["common_http_protocol_options"]["headers_with_underscores_action"] = door.underscores
    if door.removed_early:
        (early,) = manager["early_header_mutation_extensions"]
        (family,) = [one for one in early["typed_config"]["mutations"] if "remove_on_match" in one]
        family["remove_on_match"] = {"key_matcher": {"safe_regex": {"regex": door.removed_early}}}
    if door.tls is not None:
        socket = _transport("DownstreamTlsContext", door.tls, door.trusted)
        socket["typed_config"]["require_client_certificate"] = True
        if door.spiffe:
            common = socket["typed_config"]["common_tls_context"]
            common["validation_context"] = {"custom_validator_config": _svids_of(door.trusted)}
        made["filter_chains"][0]["transport_socket"] = socket
    return made


def _transport(kind: str, identity: Identity, trusted: Path | None) -> dict[str, Any]:
    pair = {
        "certificate_chain": {"filename": str(identity.certificate)},
        "private_key": {"filename": str(identity.key)},
    }
    common: dict[str, Any] = {"tls_certificates": [pair]}
    if trusted is not None:
        common["validation_context"] = {"trusted_ca": {"filename": str(trusted)}}
    typed = {"@type": f"{_TLS}.{kind}", "common_tls_context": common}
    return {"name": "envoy.transport_sockets.tls", "typed_config": typed}


def _svids_of(trusted: Path | None) -> dict[str, Any]:
    domain = {
        "name": TRUST_DOMAIN.removeprefix("spiffe://"),
        "trust_bundle": {"filename": str(trusted)},
    }
    typed = {"@type": f"{_TLS}.SPIFFECertValidatorConfig", "trust_domains": [domain]}
    return {"name": "envoy.tls.cert_validator.spiffe", "typed_config": typed}


def _set_routes(host: dict[str, Any], catalogue: Catalogue) -> None:
    """Two routes of the file, one for each lane, as often as the catalogue wants them."""
    theirs = {one["name"]: one for one in host["routes"]}
    models = {Lane.OPEN: theirs["customers-read"], Lane.CLOSED: theirs["customers"]}
    made = [
        _route(models[lane], route, lane)
        for route in catalogue.routes.values()
        for lane in lanes_of(route)
    ]
    host["routes"] = [*made, host["routes"][-1]]


def _route(model: Mapping[str, Any], route: Route, lane: Lane) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(dict(model))
    made["name"] = f"{route.name}-{lane.value}"
    segments = ("[^/]+" if part.startswith("{") else part for part in route.path)
    made["match"]["safe_regex"]["regex"] = "/" + "/".join(segments)
    made["typed_per_filter_config"][lane.value]["check_settings"]["context_extensions"] = {
        "route": route.name,
        "lane": lane.value,
        "rewrite": route.rewrite.value,
        "marker": lane_digest(route, lane),
    }
    return made


def _manager_of(listener: Mapping[str, Any]) -> dict[str, Any]:
    manager: dict[str, Any] = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return manager


def _address_of(cluster: Mapping[str, Any]) -> dict[str, Any]:
    (group,) = cluster["load_assignment"]["endpoints"]
    address: dict[str, Any] = group["lb_endpoints"][0]["endpoint"]["address"]
    return address


def _socket_of(cluster: Mapping[str, Any]) -> dict[str, Any]:
    socket: dict[str, Any] = _address_of(cluster)["socket_address"]
    return socket
