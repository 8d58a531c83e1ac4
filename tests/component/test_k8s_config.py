"""The files in the ConfigMaps of ``k8s/``: each program takes them, and they agree."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from examples.demo.processes import program
from sidecar.adapters.regorus_policy import EmbeddedPolicy
from sidecar.config.address import UnixSocket
from sidecar.config.build import Configuration, load_configuration
from sidecar.config.yaml_source import read_yaml
from sidecar.core.lanes import Lane, accepted_marker, markers_of
from tests.k8s_manifests import K8S, POLICIES, ROOT, Pod, differences

POD = Pod()
ENVOY = POD.envoy()
(LISTENER,) = ENVOY["static_resources"]["listeners"]
MANAGER = LISTENER["filter_chains"][0]["filters"][0]["typed_config"]
CLUSTERS = {one["name"]: one for one in ENVOY["static_resources"]["clusters"]}
FILTERS = {one["name"]: one["typed_config"] for one in MANAGER["http_filters"]}

_MANAGER: Final = (
    "/static_resources/listeners/tools/filter_chains/0"
    "/filters/envoy.filters.network.http_connection_manager/typed_config"
)
_JWKS: Final = f"{_MANAGER}/http_filters/guard/typed_config/providers/demo/remote_jwks"
_ISSUER: Final = "/static_resources/clusters/issuer"
_ENDPOINT: Final = "load_assignment/endpoints/0/lb_endpoints/0/endpoint/address"

DIFFERENCES: Final = {
    "/admin/address/pipe/path": "/run/envoy/envoy-admin.sock",
    "/static_resources/listeners/tools/address/socket_address/address": "0.0.0.0",
    f"{_JWKS}/http_uri/uri": "https://issuer.demo.example/jwks.json",
    f"{_JWKS}/cache_duration": "60s",
    f"{_ISSUER}/type": "LOGICAL_DNS",
    f"{_ISSUER}/dns_lookup_family": "ALL",
    f"{_ISSUER}/transport_socket": CLUSTERS["issuer"].get("transport_socket"),
    f"{_ISSUER}/{_ENDPOINT}/socket_address/address": "issuer.demo.example",
    f"{_ISSUER}/{_ENDPOINT}/socket_address/port_value": 443,
    f"/static_resources/clusters/authz/{_ENDPOINT}/pipe/path": "/run/scopegate/sidecar.sock",
}
"""All that a Pod's Envoy has of its own."""


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    """What scopegate's own arguments load from its own mounts."""
    POD.mount("scopegate", tmp_path)
    command, option, path = POD.arguments("scopegate", tmp_path)
    assert (command, option) == ("sidecar", "--config")
    return load_configuration(Path(path), {})


# --- scopegate -----------------------------------------------------------------------------------


def test_scopegate_loads_its_mounts(configuration: Configuration) -> None:
    """Settings, catalogue and policies, written as the kubelet writes them."""
    policy = EmbeddedPolicy.load(
        configuration.policy_paths, configuration.settings.policy.entrypoint
    )

    assert policy.revision
    assert configuration.settings.replicas == 1


def test_policies_are_those_of_the_library() -> None:
    """Every rule and all data, unchanged; no tests."""
    library = {
        path.name: path.read_text()
        for path in (*POLICIES.rglob("*.rego"), *POLICIES.rglob("data.*"))
        if not path.stem.endswith("_test")
    }

    assert POD.rendered.one("ConfigMap", "policies")["data"] == library


def test_sockets_are_on_their_volumes(configuration: Configuration) -> None:
    """Envoy asks where scopegate listens; each socket is where its volume is mounted."""
    settings = configuration.settings
    asked = _endpoint("authz")["pipe"]["path"]
    admin = ENVOY["admin"]["address"]["pipe"]["path"]

    assert settings.listen == UnixSocket(PurePosixPath(asked))
    assert _volume("envoy", asked) == _volume("scopegate", asked) == "check-socket"
    assert _volume("scopegate", str(settings.admin.socket)) == "admin-socket"
    assert _volume("envoy", admin) == "envoy-socket"
    assert _writers("check-socket") == {"scopegate"}


def test_probes_reach_the_admin_port(configuration: Configuration) -> None:
    """It listens where the kubelet asks."""
    (port,) = POD.containers["scopegate"]["ports"]
    http = configuration.settings.admin.http

    assert (http.host, http.port) == ("0.0.0.0", port["containerPort"])
    assert port["name"] == "admin"


def test_readme_revokes_at_the_socket_that_is_there(configuration: Configuration) -> None:
    """Namespace, container, socket and issuer of its command."""
    (command,) = re.findall(r"kubectl .* exec .*\\\n.*", (K8S / "README.md").read_text())
    words = command.split()
    (issuer,) = configuration.settings.issuers

    assert words[words.index("-n") + 1] == POD.rendered.one("Namespace")["metadata"]["name"]
    assert words[words.index("-c") + 1] == "scopegate"
    assert words[words.index("--socket") + 1] == str(configuration.settings.admin.socket)
    assert words[words.index("--issuer") + 1] == issuer.issuer


# --- Envoy ---------------------------------------------------------------------------------------


def test_envoy_accepts_its_file(tmp_path: Path) -> None:
    """The real Envoy takes it, with the container's own arguments."""
    POD.mount("envoy", tmp_path)
    command = [program("envoy"), "--mode", "validate", *POD.arguments("envoy", tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_envoy_differs_from_the_tested_file_in_its_place_only() -> None:
    """``envoy/envoy.yaml``, which the end-to-end tests run, with other addresses."""
    tested = read_yaml(ROOT / "envoy" / "envoy.yaml", "envoy.yaml").data

    assert dict(differences(tested, ENVOY)) == DIFFERENCES


def test_envoy_sends_the_markers_of_the_catalogue(configuration: Configuration) -> None:
    """All of them, and no other: scopegate refuses what it does not know."""
    (host,) = MANAGER["route_config"]["virtual_hosts"]
    sent = {
        accepted_marker(extensions["route"], lane, extensions["marker"])
        for route in host["routes"]
        for lane, extensions in _extensions(route).items()
    }

    assert sent == markers_of(configuration.catalogue)


def test_envoy_and_scopegate_trust_the_same_issuer(configuration: Configuration) -> None:
    """One issuer, one URL of its keys, and the certificate must be that host's."""
    (issuer,) = configuration.settings.issuers
    (guard,) = FILTERS["guard"]["providers"].values()
    host = urlsplit(issuer.jwks.url or "").hostname
    tls = CLUSTERS["issuer"]["transport_socket"]["typed_config"]
    validation = tls["common_tls_context"]["validation_context"]

    assert guard["issuer"] == issuer.issuer
    assert guard["remote_jwks"]["http_uri"]["uri"] == issuer.jwks.url
    assert _endpoint("issuer")["socket_address"] == {"address": host, "port_value": 443}
    assert tls["sni"] == host
    assert validation["trusted_ca"]["filename"]
    assert validation["match_typed_subject_alt_names"] == [
        {"san_type": "DNS", "matcher": {"exact": host}}
    ]


def test_envoy_sheds_before_it_is_killed() -> None:
    """Its own limit of memory lies well below the container's."""
    monitors = {
        m["name"]: m["typed_config"] for m in ENVOY["overload_manager"]["resource_monitors"]
    }
    heap = monitors["envoy.resource_monitors.fixed_heap"]["max_heap_size_bytes"]
    limit = POD.containers["envoy"]["resources"]["limits"]["memory"]

    assert limit.endswith("Mi")
    assert heap * 1.25 <= int(limit.removesuffix("Mi")) * 2**20


def _endpoint(cluster: str) -> Any:
    (endpoint,) = CLUSTERS[cluster]["load_assignment"]["endpoints"][0]["lb_endpoints"]
    return endpoint["endpoint"]["address"]


def _extensions(route: Any) -> dict[Any, dict[str, str]]:
    return {
        Lane(name): config["check_settings"]["context_extensions"]
        for name, config in route.get("typed_per_filter_config", {}).items()
        if name in {"open", "closed"}
    }


def _volume(container: str, path: str) -> str:
    (name,) = [
        mount["name"]
        for mount in POD.containers[container]["volumeMounts"]
        if Path(path).parent == Path(mount["mountPath"])
    ]
    return str(name)


def _writers(volume: str) -> set[str]:
    return {
        name
        for name in POD.sharing(volume)
        for mount in POD.containers[name]["volumeMounts"]
        if mount["name"] == volume and not mount.get("readOnly")
    }


# --- the tests' own reading ----------------------------------------------------------------------


def test_a_difference_is_found_wherever_it_is() -> None:
    """Changed, added, removed; in a mapping or a list."""
    base = {"a": 1, "b": [{"name": "x", "v": 1}, {"name": "y"}], "c": [1, 2]}
    ours = {"b": [{"name": "x", "v": 2}, {"name": "z"}], "c": [1], "d": False}

    assert dict(differences(base, ours)) == {
        "/a": None, "/b/x/v": 2, "/b/y": None, "/b/z": {"name": "z"}, "/c/1": None, "/d": False,
    }  # fmt: skip
