"""Rego modules and data documents, read from the directories where an operator keeps them.

The layout is OPA's (``opa run --bundle``): every ``*.rego`` is a module, every ``data.json`` and
``data.yaml`` is the part of ``data`` that its directory's path names. Tests are left out, and
hidden files and directories too: a Kubernetes volume keeps its versions in one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sidecar.adapters.rego_ast import Fault
from sidecar.core.strict_json import parse_object

_MAX_DATA_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """What was read. ``revision`` is 16 hexadecimal digits: other text, another revision."""

    modules: tuple[tuple[str, str], ...]
    """File name, as the operator would write it, and text."""
    data: dict[str, Any]
    revision: str
    faults: tuple[Fault, ...]


def read_policy_files(roots: Sequence[Path]) -> PolicyFiles:
    """Read everything below ``roots``: directories, or single modules."""
    digest, modules, faults = hashlib.sha256(), list[tuple[str, str]](), list[Fault]()
    data: dict[str, Any] = {}
    for relative, file in sorted((name, path) for root in roots for name, path in _files(root)):
        try:
            content = file.read_bytes()
            text = content.decode("utf-8")
            if file.suffix == ".rego":
                modules.append((str(file), text))
            else:
                _merge(data, _document(file, content), relative.parent.parts)
        except (OSError, ValueError, yaml.YAMLError) as error:
            faults.append(Fault(str(file), _line(error), _reason(error)))
            continue
        for part in (str(relative).encode(), content):
            digest.update(len(part).to_bytes(8) + part)
    faults += [
        Fault(str(root), 0, "no such file or directory") for root in roots if not root.exists()
    ]
    return PolicyFiles(tuple(modules), data, digest.hexdigest()[:16], tuple(faults))


def _files(root: Path) -> Iterator[tuple[Path, Path]]:
    if root.is_file():
        yield Path(root.name), root
    for file in root.rglob("*"):
        relative = file.relative_to(root)
        hidden = any(part.startswith(".") for part in relative.parts)
        if not hidden and file.is_file() and _is_read(file):
            yield relative, file


def _is_read(file: Path) -> bool:
    if file.name in {"data.json", "data.yaml"}:
        return True
    return file.suffix == ".rego" and not file.stem.endswith("_test")


def _document(file: Path, content: bytes) -> dict[str, Any]:
    if file.suffix == ".yaml":
        # Through JSON: whatever YAML has beyond it (dates, numbers as keys) no engine would take.
        try:
            content = json.dumps(yaml.safe_load(content), allow_nan=False).encode()
        except TypeError:
            raise ValueError("holds something that JSON has not, like a date") from None
    return parse_object(content, max_depth=_MAX_DATA_DEPTH)


def _merge(into: dict[str, Any], document: dict[str, Any], at: tuple[str, ...]) -> None:
    """Add ``document`` below the path ``at``; two values for one place are a ``ValueError``."""
    for name in reversed(at):
        document = {name: document}
    for name, value in document.items():
        if name not in into:
            into[name] = value
        elif isinstance(into[name], dict) and isinstance(value, dict):
            _merge(into[name], value, ())
        else:
            raise ValueError(f"{name} has a value in another data file")


def _line(error: Exception) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else 0


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, yaml.YAMLError):
        return f"not YAML: {getattr(error, 'problem', '') or type(error).__name__}"
    return str(error)
