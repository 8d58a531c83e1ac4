"""The manifests of ``k8s/`` as ``kubectl apply -k`` would send them, and a Pod's files as mounted.

Only what our kustomizations use is understood; anything else fails, so that no test looks at other
documents than a cluster gets. Names of ConfigMaps get no hash. Files are read by the sidecar's
strict reader: duplicate keys fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from sidecar.config.yaml_source import parse_yaml, read_yaml

ROOT: Final = Path(__file__).resolve().parent.parent
K8S: Final = ROOT / "k8s"
POLICIES: Final = ROOT / "policies"

Object: TypeAlias = dict[str, Any]

SECRETS: Final = {"opa-token": {"token": "the-token-of-the-secret"}}
"""What an operator has put into the cluster, by the Secret's name."""

_KNOWN: Final = {
    "apiVersion", "kind", "namespace", "resources", "configMapGenerator", "configurations",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rendered:
    """What one kustomization makes."""

    objects: tuple[Object, ...]
    files: frozenset[Path]
    """Every file that went into them, and the kustomizations themselves."""

    def one(self, kind: str, name: str = "") -> Object:
        """The only object of this kind, or of this kind and name."""
        (found,) = [
            one
            for one in self.objects
            if one["kind"] == kind and name in {"", one["metadata"]["name"]}
        ]
        return found


def render(folder: Path = K8S) -> Rendered:
    """Everything that the kustomization in ``folder`` names."""
    (path,) = [path for path in folder.iterdir() if path.stem.lower() == "kustomization"]
    kustomization = _read(path)
    assert kustomization.keys() <= _KNOWN, f"{path} has parts that these tests do not apply"
    objects: list[Object] = []
    files = {path}
    for name in kustomization.get("resources", []):
        source = (folder / name).resolve()
        below = render(source) if source.is_dir() else None
        objects += below.objects if below else [_read(source)]
        files |= below.files if below else {source}
    for generator in kustomization.get("configMapGenerator", []):
        assert generator.keys() == {"name", "files"}, f"{path} has parts that are not applied"
        sources = [folder / name for name in generator["files"]]
        objects.append(_config_map(generator["name"], sources))
        files |= set(sources)
    files |= {folder / name for name in kustomization.get("configurations", [])}
    for one in objects:
        if "namespace" in kustomization and one["kind"] != "Namespace":
            one["metadata"]["namespace"] = kustomization["namespace"]
    return Rendered(tuple(objects), frozenset(files))


def _read(path: Path) -> Object:
    document: Object = read_yaml(path, str(path)).data
    return document


def _config_map(name: str, sources: list[Path]) -> Object:
    data = {source.name: source.read_text() for source in sources}
    assert len(data) == len(sources), f"two files of ConfigMap {name} have the same name"
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


@dataclass(frozen=True, slots=True)
class Pod:
    """The one Pod, and what its containers see."""

    rendered: Rendered = field(default_factory=render)

    @property
    def template(self) -> Object:
        """The Pod's ``spec``."""
        spec: Object = self.rendered.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def containers(self) -> dict[str, Object]:
        """Every container by name, in the order of their start."""
        spec = self.template
        return {one["name"]: one for one in (*spec["initContainers"], *spec["containers"])}

    def config(self, config_map: str, key: str) -> str:
        """One file of a ConfigMap."""
        text: str = self.rendered.one("ConfigMap", config_map)["data"][key]
        return text

    def envoy(self) -> Object:
        """Envoy's configuration."""
        document: Object = parse_yaml(self.config("envoy", "envoy.yaml"), "envoy.yaml").data
        return document

    def sharing(self, volume: str) -> set[str]:
        """The containers that mount a volume."""
        return {
            name
            for name, container in self.containers.items()
            if volume in {mount["name"] for mount in container["volumeMounts"]}
        }

    def environment(self, container: str) -> dict[str, str]:
        """A container's variables; those of a Secret from ``SECRETS``."""
        return {
            variable["name"]: variable.get("value") or _secret(variable["valueFrom"])
            for variable in self.containers[container].get("env", [])
        }

    def mount(self, *containers: str, under: Path) -> None:
        """Write what these containers see below ``under``; an ``emptyDir`` is open to everybody."""
        volumes = {volume["name"]: volume for volume in self.template["volumes"]}
        mounts = {
            mount["mountPath"]: volumes[mount["name"]]
            for container in containers
            for mount in self.containers[container]["volumeMounts"]
        }
        for path, volume in mounts.items():
            folder = under / path.lstrip("/")
            folder.mkdir(parents=True)
            folder.chmod(0o777)
            if "configMap" in volume:
                name = volume["configMap"]["name"]
                _write_as_kubelet(self.rendered.one("ConfigMap", name)["data"], folder)
            if "secret" in volume:
                _write_as_kubelet(SECRETS[volume["secret"]["secretName"]], folder)

    def arguments(self, container: str, under: Path) -> list[str]:
        """A container's arguments, its mounts moved below ``under``, its variables expanded."""
        mounts = [mount["mountPath"] for mount in self.containers[container]["volumeMounts"]]
        variables = self.environment(container)
        return [
            _moved(_expanded(argument, variables), mounts, under)
            for key in ("command", "args")
            for argument in self.containers[container].get(key, [])
        ]


def _secret(source: Object) -> str:
    (reference,) = source.values()
    assert source.keys() == {"secretKeyRef"}
    assert "optional" not in reference
    return SECRETS[reference["name"]][reference["key"]]


def _expanded(argument: str, variables: dict[str, str]) -> str:
    """Kubernetes writes a variable of the container for each ``$(NAME)``."""
    return re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], argument)


def _moved(argument: str, mounts: list[str], under: Path) -> str:
    for mount in mounts:
        argument = argument.replace(f"{mount}/", f"{under}{mount}/")
        if argument.endswith(mount):
            argument = argument.removesuffix(mount) + f"{under}{mount}"
    return argument


def _write_as_kubelet(data: dict[str, str], folder: Path) -> None:
    """Files in a hidden folder behind ``..data``, and a link to each: updates are one rename."""
    version = folder / "..2026_01_01_00_00_00.0000000000"
    version.mkdir()
    (folder / "..data").symlink_to(version.name)
    for name, text in data.items():
        (version / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")


def differences(base: Any, ours: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Where ``ours`` is not ``base``, and what stands there (None: nothing); lists by ``name``."""
    if isinstance(base, list) and isinstance(ours, list):
        base, ours = _by_name(base), _by_name(ours)
    if not isinstance(base, dict) or not isinstance(ours, dict):
        if base != ours or type(base) is not type(ours):
            yield at, ours
        return
    for key in dict.fromkeys((*base, *ours)):
        yield from differences(base.get(key), ours.get(key), f"{at}/{key}")


def _by_name(items: list[Any]) -> dict[str, Any]:
    return {
        str(item.get("name", index) if isinstance(item, dict) else index): item
        for index, item in enumerate(items)
    }
