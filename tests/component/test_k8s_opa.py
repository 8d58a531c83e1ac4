"""The policies on their way into the Pod's OPA: checked, built, named, asked. With real OPA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from sidecar.adapters.opa_policy import OpaAddress, OpaPolicy
from sidecar.clock import SystemClock
from sidecar.config.build import load_configuration
from sidecar.config.yaml_source import read_yaml
from sidecar.core.model import Action, Question, Ruling
from tests.k8s_manifests import K8S, POLICIES, ROOT, Pod
from tests.k8s_opa import BUILDERS, build, bundle, running_opa

POD = Pod()
CLOCK: Final = SystemClock()
QUESTION: Final = b'{"request":{"access":"read"}}'


def with_rule(text: str, name: str = "extra.rego") -> Pod:
    """The Pod whose policies have this file, too."""
    pod = Pod()
    pod.rendered.one("ConfigMap", "policies")["data"][name] = text
    return pod


def test_guard_is_opas_folder() -> None:
    """Byte for byte, and no less than what the folder's own command loads."""
    data = POD.rendered.one("ConfigMap", "opa")["data"]
    unread = {"README.md", "Kustomization"}

    assert data.keys() == {path.name for path in (ROOT / "opa").iterdir()} - unread
    assert all(text.encode() == (ROOT / "opa" / name).read_bytes() for name, text in data.items())


def test_config_maps_fit_into_what_kubectl_writes_beside_them() -> None:
    """``kubectl apply`` keeps a copy in an annotation; all of them end at 256 KiB."""
    for one in POD.rendered.objects:
        assert len(json.dumps(one)) < 200 * 1024, one["metadata"]["name"]


def test_every_policy_is_in_the_bundle(tmp_path: Path) -> None:
    """Also from the links that a ConfigMap's files are; none twice, and with their roots."""
    done = build(POD, tmp_path)
    files = bundle(tmp_path, "policies.tar.gz")
    manifest = json.loads(files[".manifest"])
    mounted = POD.rendered.one("ConfigMap", "policies")["data"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert files.keys() == mounted.keys()
    assert json.loads(files["data.json"]) == json.loads(mounted["data.json"])
    assert manifest["roots"] == json.loads((POLICIES / ".manifest").read_text())["roots"]
    assert bundle(tmp_path, "guard.tar.gz").keys() == {
        ".manifest", "data.json", "authz.rego", "mask.rego",
    }  # fmt: skip


@pytest.mark.parametrize("call", ["http.send({})", "opa.runtime()", 'print("x")'])
def test_opa_does_not_start_when_a_policy_calls_what_none_may(tmp_path: Path, call: str) -> None:
    """The first init container fails, and says file, line and builtin."""
    done = build(with_rule(f"package scopegate.rules.extra\n\nx if {call}\n"), tmp_path)

    assert done.returncode != 0
    assert "check" in done.args
    assert "extra.rego:3: " in done.stdout + done.stderr
    assert call.partition("(")[0] in done.stdout + done.stderr


def test_build_holds_to_the_capabilities_too(tmp_path: Path) -> None:
    """Without the check before it."""
    pod = with_rule("package scopegate.rules.extra\n\nx if http.send({})\n")
    pod.containers["policy-check"]["args"] = ["version"]
    done = build(pod, tmp_path)

    assert done.returncode != 0
    assert "http.send" in done.stdout + done.stderr


@pytest.mark.parametrize("package", ["system.authz", "system.log", "other"])
def test_opa_does_not_start_when_a_policy_stands_outside_of_its_roots(
    tmp_path: Path, package: str
) -> None:
    """No policy changes who may ask, or what is logged."""
    done = build(with_rule(f"package {package}\n\nallow := true\n"), tmp_path)

    assert done.returncode != 0
    assert "roots" in done.stdout + done.stderr
    assert not (tmp_path / "var/lib/opa/policies.tar.gz").exists()


def test_opa_gets_the_bundles_and_no_policy() -> None:
    """It can write to neither, and nobody else has them."""
    mounts = {
        name: {mount["name"]: mount for mount in container["volumeMounts"]}
        for name, container in POD.containers.items()
    }

    assert POD.sharing("bundles") == {"policy-build", "guard-build", "opa"}
    assert POD.sharing("policies") == {"policy-check", "policy-build"}
    assert mounts["opa"]["bundles"]["readOnly"] is True
    assert [name for name in POD.containers if "restartPolicy" not in POD.containers[name]] == [
        *BUILDERS, "envoy", "tool",
    ]  # fmt: skip


def test_bundle_is_named_after_its_config_map() -> None:
    """To the name, kustomize adds the hash of the policies: in volumes, and by this rule here."""
    (volume,) = [one for one in POD.template["volumes"] if one["name"] == "policies"]
    (rule,) = read_yaml(K8S / "policies-name.yaml", "policies-name.yaml").data["nameReference"]

    assert POD.environment("policy-build") == {"POLICIES": volume["configMap"]["name"]}
    assert "--revision=$(POLICIES)" in POD.containers["policy-build"]["args"]
    assert rule == {
        "kind": "ConfigMap",
        "fieldSpecs": [
            {"kind": "Deployment", "path": "spec/template/spec/initContainers/env/value"}
        ],
    }
    others = {name for name in POD.containers if name != "policy-build"}
    maps = {one["metadata"]["name"] for one in POD.rendered.objects if one["kind"] == "ConfigMap"}
    assert not any(set(POD.environment(name).values()) & maps for name in others)


async def test_scopegate_gets_rulings_with_its_settings(tmp_path: Path) -> None:
    """Its token is OPA's, its entry point is the one that may be asked; the revision is known."""
    POD.mount("scopegate", under=tmp_path / "scopegate")
    settings = tmp_path / "scopegate/etc/scopegate/config/scopegate.yaml"
    configuration = load_configuration(settings, {})
    async with running_opa(POD, tmp_path / "opa") as opa:
        policy = OpaPolicy(
            address=OpaAddress(opa.api),
            entrypoint=configuration.settings.policy.entrypoint,
            token=configuration.files.opa_token,
            clock=CLOCK,
            concurrency=1,
        )
        await policy.start()
        ruling = await policy.rule_on(Question(QUESTION), deadline=CLOCK.monotonic() + 30)
        await policy.close()

    assert isinstance(ruling, Ruling)
    assert ruling.action is Action.ALLOW
    assert policy.revision == "policies"


async def test_print_of_a_policy_reaches_no_log(tmp_path: Path) -> None:
    """Even where the check is gone: the caller's values stay out of OPA's output."""
    text = 'package scopegate.rules.extra\n\ncontributions contains 5 if print("LEAK", input)\n'
    pod = with_rule(text)
    pod.containers["policy-check"]["args"] = ["version"]
    pod.containers["policy-build"]["args"].remove("--capabilities=/etc/opa/capabilities.json")
    async with running_opa(pod, tmp_path) as opa:
        token = pod.environment("opa")["OPA_TOKEN"]
        status, _ = await opa.ask("POST", "/v1/data/scopegate/ruling", token=token, body={})

    assert status == 200
    assert "Decision Log" in opa.log.read_text()
    assert "LEAK" not in opa.log.read_text()
