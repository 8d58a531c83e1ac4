"""What the settings take for granted of Envoy, in the configurations that are shipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.build import load_configuration
from sidecar.config.grammar import HEADER_FAMILIES
from sidecar.config.yaml_source import read_yaml

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "examples" / "demo" / "scopegate.yaml"
ENVOY = ROOT / "envoy" / "envoy.yaml"
K8S = ROOT / "k8s" / "config"

DEPLOYMENTS = pytest.mark.parametrize(
    ("settings", "envoy"),
    [(DEMO, ENVOY), (K8S / "scopegate.yaml", K8S / "envoy.yaml")],
    ids=["demo", "k8s"],
)


def members(value: Any, name: str) -> Iterator[Any]:
    """Every value under this name, at any depth, in the order of the file."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key == name:
                yield member
            yield from members(member, name)
    elif isinstance(value, list):
        for item in value:
            yield from members(item, name)


@DEPLOYMENTS
def test_envoy_sends_the_bodies_that_the_sidecar_has_room_for(settings: Path, envoy: Path) -> None:
    """Both lanes bound a body as ``limits.body_bytes`` does."""
    limit = load_configuration(settings, {}).settings.limits.body_bytes
    sent = list(members(read_yaml(envoy, envoy.name).data, "max_request_bytes"))

    assert sent == [limit, limit]


@DEPLOYMENTS
def test_envoy_takes_our_header_families_from_clients_first(settings: Path, envoy: Path) -> None:
    """Before any lane, open or closed, and by prefix: so no name of ours is left out."""
    del settings
    (filters,) = members(read_yaml(envoy, envoy.name).data, "http_filters")
    removed = [one["prefix"] for one in members(filters[0], "key_matcher")]

    assert set(HEADER_FAMILIES) <= set(removed)
