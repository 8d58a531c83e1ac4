"""The files in the ConfigMaps of ``k8s/``: each program takes them, and they agree."""

from __future__ import annotations

import contextlib
import json
import re
import stat
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from examples.demo.program import program
from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.assembly.stores import deny_part
from sidecar.clock import SystemClock
from sidecar.config.address import UnixSocket
from sidecar.config.build import Configuration, load_configuration
from sidecar.config.validate import validate
from sidecar.config.yaml_source import parse_yaml, read_yaml
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.lanes import Lane, accepted_marker, markers_of
from tests.k8s_manifests import K8S, POLICIES, ROOT, SECRETS, Pod, differences

POD = Pod()
README: Final = (K8S / "README.md").read_text()
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

REDIS_SECRET: Final = {
    "password": "the-password-of-the-sidecars\n",
    "ca.crt": "certificates",
    "feed-keys.json": json.dumps(
        {
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "kid": "relay",
                    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",  # RFC 8037, A.2
                }
            ]
        }
    ),
}
"""Of the README's section on Redis."""

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
def settings(tmp_path: Path) -> Path:
    """The file that scopegate's own arguments name, among its own mounts."""
    POD.mount("scopegate", under=tmp_path)
    command, option, path = POD.arguments("scopegate", tmp_path)
    assert (command, option) == ("sidecar", "--config")
    return Path(path)


@pytest.fixture
def configuration(settings: Path) -> Configuration:
    """What scopegate loads from it."""
    return load_configuration(settings, {})


# --- scopegate -----------------------------------------------------------------------------------


def test_scopegate_loads_its_mounts(configuration: Configuration) -> None:
    """Settings, catalogue and OPA's token, written as the kubelet writes them."""
    assert configuration.settings.policy.engine == "opa"
    assert configuration.files.opa_token == POD.environment("opa")["OPA_TOKEN"]
    assert configuration.settings.replicas == POD.rendered.one("Deployment")["spec"]["replicas"]


def test_policies_are_those_of_the_library() -> None:
    """Every rule and all data, unchanged; no tests."""
    library = {
        path.name: path.read_text()
        for path in (*POLICIES.rglob("*.rego"), *POLICIES.rglob("data.*"))
        if not path.stem.endswith("_test")
    } | {".manifest": (POLICIES / ".manifest").read_text()}

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
    assert settings.policy.opa
    assert isinstance(settings.policy.opa.address, UnixSocket)
    assert f"--addr=unix://{settings.policy.opa.address.path}" in POD.containers["opa"]["args"]
    assert _volume("opa", str(settings.policy.opa.address.path)) == "opa-socket"
    assert _writers("opa-socket") == {"opa"}


def test_probes_reach_the_admin_port(configuration: Configuration) -> None:
    """It listens where the kubelet asks."""
    (port,) = POD.containers["scopegate"]["ports"]
    http = configuration.settings.admin.http

    assert (http.host, http.port) == ("0.0.0.0", port["containerPort"])
    assert port["name"] == "admin"


async def test_revocation_outlives_a_restart_of_scopegate(settings: Path, tmp_path: Path) -> None:
    """Its file is in a folder that it makes itself: the volume's own is open to everybody."""
    file = str(load_configuration(settings, {}).settings.deny_list.file)
    moved = tmp_path / file.lstrip("/")
    configuration = load_configuration(
        settings, {"SCOPEGATE__DENY_LIST": json.dumps({"file": str(moved)})}
    )
    entry = DenyEntry(DenyKey(DenyKind.AGENT, "https://issuer", "acme", "a-7"), until=4e9)
    found = []
    for _ in range(2):
        async with contextlib.AsyncExitStack() as stack:
            part = await deny_part(configuration, SystemClock(), float, stack)
            assert isinstance(part.deny_list, MemoryDenyList)
            found.append(part.entries())
            part.deny_list.add(entry, now=0.0)

    assert found == [0, 1]
    assert _volume("scopegate", str(Path(file).parent)) == "state"
    assert stat.S_IMODE(moved.parent.parent.stat().st_mode) == 0o777
    assert stat.S_IMODE(moved.parent.stat().st_mode) == 0o700
    with pytest.raises(OSError, match="only this user can write"):
        MemoryDenyList(capacity=1, file=moved.parent.parent / "deny-list")


def test_readme_revokes_at_the_socket_that_is_there(configuration: Configuration) -> None:
    """Namespace, container, socket and issuer of its command."""
    (command,) = re.findall(r"kubectl .* exec .*\\\n.*", README)
    words = command.split()
    (issuer,) = configuration.settings.issuers

    assert words[words.index("-n") + 1] == POD.rendered.one("Namespace")["metadata"]["name"]
    assert words[words.index("-c") + 1] == "scopegate"
    assert words[words.index("--socket") + 1] == str(configuration.settings.admin.socket)
    assert words[words.index("--issuer") + 1] == issuer.issuer


def test_readme_makes_the_secret_that_is_missing() -> None:
    """Its name, key and namespace; before anything is applied."""
    (command,) = re.findall(r"kubectl .*create secret generic opa-token .*", README)
    (name,) = SECRETS
    (key,) = SECRETS[name]
    (source,) = (one["valueFrom"] for one in POD.containers["opa"]["env"])

    assert f"-n {POD.rendered.one('Namespace')['metadata']['name']} " in command
    assert f"generic {name} --from-literal={key}=" in command
    assert source == {"secretKeyRef": {"name": name, "key": key}}
    assert README.index(command) < README.index("kubectl apply -k k8s")


async def test_readme_checks_the_files_before_they_are_applied() -> None:
    """Its variable puts the embedded engine and the policies' folder in place of OPA."""
    (policy, file) = re.findall(
        r"SCOPEGATE__POLICY='(.*)' \\\n +scopegate validate --config (\S+)", README
    )[0]
    report = await validate(ROOT / file, {"SCOPEGATE__POLICY": policy}, offline=True)

    assert report.problems == ()
    assert report.policy_revision


def test_readme_has_settings_for_several_replicas(settings: Path) -> None:
    """Its example in place of the same sections is a configuration, with the Secret's files."""
    example, pod = (
        parse_yaml(text, "README.md").data
        for text in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    )
    (mount,), (volume,) = pod["volumeMounts"], pod["volumes"]
    folder = settings.parent.parent / Path(mount["mountPath"]).name
    folder.mkdir()
    for name, text in REDIS_SECRET.items():
        assert f"--from-file={name}" in README
        (folder / name).write_text(text)
    single = read_yaml(settings, "scopegate.yaml").data
    settings.unlink()
    settings.write_text(json.dumps(single | example))
    both = load_configuration(settings, {})

    assert volume["name"] == mount["name"]
    assert f"generic {volume['secret']['secretName']} " in README
    assert both.settings.replicas == pod["replicas"] > 1
    assert (both.settings.stores.kind, both.settings.deny_list.source) == ("redis", "redis")
    assert str(both.settings.deny_list.file) == single["deny_list"]["file"]
    assert both.files.redis.redis == REDIS_SECRET["password"].strip()
    assert both.files.feed_keys
    assert pod["strategy"]["type"] == "RollingUpdate"


# --- Envoy ---------------------------------------------------------------------------------------


def test_envoy_accepts_its_file(tmp_path: Path) -> None:
    """The real Envoy takes it, with the container's own arguments."""
    POD.mount("envoy", under=tmp_path)
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
