"""``envoy/envoy.yaml`` as messages, read by envoy-data-plane.

It is not Envoy's own code; it knows every field of every type and refuses what it does not know.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, Final

import yaml
from envoy_data_plane.envoy.config.bootstrap.v3 import Bootstrap
from envoy_data_plane.envoy.config.cluster.v3 import Cluster
from envoy_data_plane.envoy.config.route.v3 import Route
from envoy_data_plane.envoy.extensions.filters.network.http_connection_manager.v3 import (
    HttpConnectionManager,
)

from examples.demo.processes import ENVOY_CONFIG

_PACKAGE: Final = "envoy_data_plane"


def read_document() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(ENVOY_CONFIG.read_text())
    return document


def parse_bootstrap(document: dict[str, Any]) -> Bootstrap:
    document = _typed(document)
    for url in {value for key, value in members(document) if key == "@type"}:
        # A type is known to the reader once its module is imported.
        importlib.import_module(f"{_PACKAGE}.{url.rpartition('/')[2].rpartition('.')[0]}")
    return Bootstrap.from_dict(document)


def _typed(node: Any) -> Any:
    """Leave out what has no type, which the reader wants of each: a route's ``config: {}``.

    A ``FilterConfig`` has it where it turns a filter on and says nothing more.
    """
    if isinstance(node, dict):
        return {key: _typed(value) for key, value in node.items() if (key, value) != ("config", {})}
    return [_typed(item) for item in node] if isinstance(node, list) else node


def members(node: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of every mapping in a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield key, value
            yield from members(value)
    elif isinstance(node, list):
        for item in node:
            yield from members(item)


class EnvoyFile:
    """The parts of the file that tests ask about."""

    def __init__(self) -> None:
        self.document = read_document()
        self.bootstrap = parse_bootstrap(self.document)
        resources: Any = self.bootstrap.static_resources
        (self.listener,) = resources.listeners
        ((network_filter,),) = [chain.filters for chain in self.listener.filter_chains]
        self.manager: HttpConnectionManager = network_filter.typed_config.unpack()
        self.filters: dict[str, Any] = {
            one.name: one.typed_config.unpack() for one in self.manager.http_filters
        }
        self.clusters: dict[str, Cluster] = {one.name: one for one in resources.clusters}
        route_config: Any = self.manager.route_config
        (self.host,) = route_config.virtual_hosts

    @property
    def connections(self) -> int:
        """How many connections Envoy takes at once."""
        overload: Any = self.bootstrap.overload_manager
        monitors = {one.name: one.typed_config.unpack() for one in overload.resource_monitors}
        limit = monitors["envoy.resource_monitors.global_downstream_max_connections"]
        connections: int = limit.max_active_downstream_connections
        return connections

    @property
    def forwarding(self) -> list[Route]:
        """The routes that reach the tool."""
        return [route for route in self.host.routes if route.route is not None]


def lanes_on(route: Route) -> list[str]:
    return [name for name in ("open", "closed") if name in route.typed_per_filter_config]


def extensions_on(route: Route) -> dict[str, str]:
    """The ``context_extensions`` of a route's one lane."""
    (lane,) = lanes_on(route)
    settings: Any = route.typed_per_filter_config[lane].unpack()
    extensions: dict[str, str] = settings.check_settings.context_extensions
    return extensions
