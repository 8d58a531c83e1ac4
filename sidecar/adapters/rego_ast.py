"""Rego modules as the embedded engine parsed them, read just far enough to judge them.

A node of the engine's JSON is an object with one capitalised member, its kind:
``{"Call": {"fcn": node, "params": [node, ...], "span": {"line": 3, ...}}}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sidecar.adapters.regorus_api import new_engine

Path: TypeAlias = tuple[str, ...]
Node: TypeAlias = dict[str, Any]

REFS: Final = frozenset({"Var", "RefDot", "RefBrack"})

_LOCATION: Final = re.compile(r"^--> (?P<file>.*):(?P<line>\d+):\d+$", re.MULTILINE)
_ERROR: Final = re.compile(r"^error: (.*)$", re.MULTILINE)
_NO_MEANING: Final = frozenset({"span", "eidx", "sidx", "qidx"})


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Why a policy is not loaded; ``line`` is 0 when the whole file is meant."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}" if self.line else f"{self.file}: {self.text}"


@dataclass(frozen=True, slots=True)
class Module:
    """One parsed file."""

    file: str
    package: Path
    aliases: dict[str, Path] = field(repr=False)
    """What an imported name stands for: ``("data", ...)`` or ``("input", ...)``."""
    imports: tuple[Node, ...] = field(repr=False)
    rules: tuple[Node, ...] = field(repr=False)


def parse(file: str, text: str) -> Module | Fault:
    """Read one module of Rego v1."""
    try:
        engine = new_engine([(file, text)])
    except RuntimeError as error:
        return fault_of(error, file)
    ast = json.loads(engine.get_ast_as_json())[0]["ast"]
    imports = tuple(ast["imports"])
    return Module(
        file=file,
        package=static_path(ast["package"]["refr"]),
        aliases={_alias(node, text): static_path(node["refr"]) for node in imports},
        imports=imports,
        rules=tuple(ast["rules"]),
    )


def fault_of(error: RuntimeError, file: str) -> Fault:
    """Read an error of loading; the engine appends a stack trace that nobody wants."""
    text = str(error).partition("\n\n")[0].strip()
    places, messages = [*_LOCATION.finditer(text)], _ERROR.findall(text)
    return Fault(
        places[-1]["file"] if places else file,
        int(places[-1]["line"]) if places else 0,
        messages[-1] if messages else text.partition("\n")[0],
    )


def parts(tree: Any) -> Iterator[Node]:
    """Every object in ``tree``, outer before inner, in the order of the text."""
    if isinstance(tree, list):
        for item in tree:
            yield from parts(item)
    elif isinstance(tree, dict):
        yield tree
        for member in tree.values():
            yield from parts(member)


def nodes(tree: Any) -> Iterator[tuple[str, Node]]:
    """Every node in ``tree`` with its kind, outer before inner, in the order of the text."""
    return ((kind_of(part), part) for part in parts(tree) if is_node(part))


def references(tree: Any) -> Iterator[Node]:
    """Every whole reference in ``tree``: of ``a.b[c.d]``, the whole and ``c.d``."""
    inner: set[int] = set()
    for kind, node in nodes(tree):
        if kind in REFS and id(node) not in inner:
            yield node
        if kind in REFS - {"Var"}:
            inner.add(id(body_of(node)["refr"]))


def is_node(part: Node) -> bool:
    """Whether this is a node rather than one of a node's parts."""
    return len(part) == 1 and next(iter(part))[:1].isupper()


def kind_of(node: Node) -> str:
    """``Call``, ``Var``, ``BoolExpr``, ..."""
    return next(iter(node))


def body_of(node: Node) -> Node:
    """A node's parts."""
    body: Node = node[kind_of(node)]
    return body


def line_of(part: Node) -> int:
    """The line on which this begins, or 0."""
    body = body_of(part) if is_node(part) else part
    return int(body["span"]["line"]) if "span" in body else 0


def static_path(ref: Node) -> Path:
    """A reference's leading names: ``data.a["b"][c].d`` has ``("data", "a", "b")``.

    Empty when it begins with something else than a name.
    """
    return _path(ref)[0]


def is_static(ref: Node) -> bool:
    """Whether a reference consists of names only."""
    return _path(ref)[1]


def _path(ref: Node) -> tuple[Path, bool]:
    kind, body = kind_of(ref), body_of(ref)
    if kind == "Var":
        return (body["value"],), True
    if kind not in REFS:
        return (), False
    before, static = _path(body["refr"])
    if kind == "RefDot":
        name = body["field"][1]
    elif kind_of(body["index"]) in {"String", "RawString"}:
        name = body_of(body["index"])["value"]
    else:
        return before, False
    return ((*before, name), True) if static else (before, False)


def meaning(tree: Any) -> str:
    """The same text for what was written twice in different places."""
    return json.dumps(_without_places(tree), sort_keys=True)


def _without_places(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: _without_places(v) for k, v in tree.items() if k not in _NO_MEANING}
    if isinstance(tree, list):
        return [_without_places(item) for item in tree if not _is_span(item)]
    return tree


def _is_span(tree: Any) -> bool:
    return isinstance(tree, dict) and tree.keys() == {"line", "col", "start", "end"}


def _alias(node: Node, text: str) -> str:
    span = node.get("as")
    if not span:
        return static_path(node["refr"])[-1]
    return text.encode()[span["start"] : span["end"]].decode()
