"""Which name of a policy means what: rules, functions, imports, data; and who needs whom.

The engine would take an unknown import or reference for undefined, and end the process on a rule
that needs itself; both are found here, before it sees them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar.adapters.rego_ast import (
    REFS,
    Fault,
    Module,
    Node,
    Path,
    body_of,
    kind_of,
    line_of,
    nodes,
    references,
    static_path,
)
from sidecar.adapters.regorus_api import new_engine

_IMPORTS_OF_REGO: Final = frozenset(
    {("rego", "v1"), ("future", "keywords")}
    | {("future", "keywords", word) for word in ("in", "if", "every", "contains")}
)


class Names:
    """The names of modules that are loaded together over ``data``."""

    def __init__(self, modules: Sequence[Module], data: Mapping[str, Any]) -> None:
        self._modules = modules
        self._data = data
        self._heads: dict[Path, list[tuple[Module, Node]]] = defaultdict(list)
        self._packages = {module.package for module in modules}
        for module in modules:
            for rule in module.rules:
                self._heads[(*module.package, head_of(rule))].append((module, rule))
        self._builtins = _builtins()

    def is_builtin(self, name: str) -> bool:
        """Whether the embedded engine has a builtin of this name, allowed or not."""
        return name in self._builtins

    def rules_of(self, package: Path) -> frozenset[str]:
        """The names of a package's rules."""
        return frozenset(path[-1] for path in self._heads if path[:-1] == package)

    def resolve(self, module: Module, written: Path) -> Path:
        """What a name in a module stands for, from ``data`` or ``input`` on; else as written."""
        first, *rest = written or ("",)
        if first in module.aliases:
            return (*module.aliases[first], *rest)
        if (*module.package, first) in self._heads:
            return ("data", *module.package, *written)
        return written

    def is_function(self, path: Path) -> bool:
        """Whether a resolved name is a function of these modules."""
        return any(_is_function(rule) for _, rule in self._heads.get(path[1:], ()))

    def is_always_defined(self, path: Path) -> bool:
        """Whether a resolved name is a set, an object, a literal or a rule with a default."""
        return any(_never_undefined(rule) for _, rule in self._heads.get(path[1:], ()))

    def faults(self) -> Iterator[Fault]:
        """Imports and references to nothing, rules that need themselves, data in rules' places."""
        for module in self._modules:
            if module.package[0] in self._data:
                text = f"package and data both define {module.package[0]}"
                yield Fault(module.file, 1, text)
            for node in module.imports:
                yield from self._import_faults(module, node)
            for rule in module.rules:
                yield from self._reference_faults(module, rule)
        yield from self._recursions()

    def _import_faults(self, module: Module, node: Node) -> Iterator[Fault]:
        path = static_path(node["refr"])
        known = path in _IMPORTS_OF_REGO or path[0] == "input" or self._exists(path)
        if not known:
            text = f"import of {'.'.join(path)}, which does not exist"
            yield Fault(module.file, line_of(node), text)

    def _reference_faults(self, module: Module, rule: Node) -> Iterator[Fault]:
        for reference in references(rule):
            path = self.resolve(module, static_path(reference))
            if path[:1] == ("data",) and not self._exists(path):
                text = f"reference to {'.'.join(path)}, which does not exist"
                yield Fault(module.file, line_of(reference), text)

    def _exists(self, path: Path) -> bool:
        """Whether ``data...`` is a package, above one, in a rule, or in the data."""
        if path[0] != "data" or len(path) == 1:
            return False
        inside = path[1:]
        if any(package[: len(inside)] == inside for package in self._packages):
            return True
        if any(inside[: len(rule)] == rule for rule in self._heads):
            return True
        return self._is_data(inside)

    def _is_data(self, path: Path) -> bool:
        value: Any = self._data
        for name in path:
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        return True

    def _recursions(self) -> Iterator[Fault]:
        needs = {path: self._needs(path) for path in self._heads}
        for path, rules in self._heads.items():
            reached: set[Path] = set()
            waiting = [*needs[path]]
            while waiting:
                needed = waiting.pop()
                if needed not in reached:
                    reached.add(needed)
                    waiting += needs[needed]
            if path in reached:
                module, rule = rules[0]
                text = f"rule {path[-1]} needs itself, or a variable has its name"
                yield Fault(module.file, line_of(rule), text)

    def _needs(self, path: Path) -> frozenset[Path]:
        """The rules that a rule refers to; a computed name may mean any rule below its prefix."""
        needed: set[Path] = set()
        for module, rule in self._heads[path]:
            for reference in [*references(rule)][1:]:  # the first is the rule's own name
                found = self.resolve(module, static_path(reference))
                if found[:1] == ("data",):
                    needed.update(self._meant(found[1:]))
        return frozenset(needed)

    def _meant(self, path: Path) -> Iterator[Path]:
        for rule in self._heads:
            if rule[: len(path)] == path or path[: len(rule)] == rule:
                yield rule


def head_of(rule: Node) -> str:
    """The first name of a rule: ``a`` of ``a.b[c] := 1``."""
    return static_path(_head(rule))[0]


def _head(rule: Node) -> Node:
    body = body_of(rule) if kind_of(rule) == "Default" else body_of(body_of(rule)["head"])
    name: Node = body["refr"]
    return name


def _is_function(rule: Node) -> bool:
    return kind_of(rule) == "Spec" and kind_of(body_of(rule)["head"]) == "Func"


def _never_undefined(rule: Node) -> bool:
    if kind_of(rule) == "Default":
        return True
    head = body_of(rule)["head"]
    if kind_of(head) == "Set" or kind_of(body_of(head)["refr"]) == "RefBrack":
        return True
    assigned = body_of(head).get("assign")
    return not body_of(rule)["bodies"] and not any(
        kind in REFS or kind == "Call" for kind, _ in nodes(assigned)
    )


def _builtins() -> frozenset[str]:
    source = "package builtins\nnames := opa.runtime().builtins"
    engine = new_engine([("builtins", source)])
    return frozenset(json.loads(engine.eval_rule_as_json("data.builtins.names")))
