"""What a policy may not contain, checked over the syntax trees before it is ever asked.

The embedded engine loads what it cannot run (an unknown function in a rule that nobody queries,
``http.send``) and reads some things differently from OPA. And some of Rego means something else
than it says to most who read it: ``amount <= 1000`` is true for null. All of that is refused here,
with file and line, so that what is loaded means the same in both engines and to its author.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sidecar.adapters.rego_ast import (
    REFS,
    Fault,
    Module,
    Node,
    body_of,
    is_static,
    kind_of,
    line_of,
    meaning,
    nodes,
    parts,
    static_path,
)
from sidecar.adapters.rego_builtins import ALLOWED, LITERAL_ARGUMENTS, NUMERIC, pattern_fault
from sidecar.adapters.rego_names import Names
from sidecar.adapters.regorus_api import new_engine

RULES: Final = ("scopegate", "rules")
"""Packages below here contribute: ``scopegate.rules.<name>`` with a rule ``contributions``."""

_LITERALS: Final = frozenset({"String", "RawString", "Number", "Bool", "Null"})
_COLLECTIONS: Final = frozenset({"Array", "Set", "Object"})
_COMPREHENSIONS: Final = frozenset({"ArrayCompr", "SetCompr", "ObjectCompr"})
_KNOWN: Final = (
    REFS
    | _LITERALS
    | _COLLECTIONS
    | _COMPREHENSIONS
    | {
        "ArithExpr", "AssignExpr", "BinExpr", "BoolExpr", "Call", "Compr", "Default",
        "Every", "Expr", "Func", "Membership", "NotExpr", "SomeIn", "SomeVars", "Spec", "UnaryExpr",
    }
)  # fmt: skip
_ORDERINGS: Final = frozenset({"Lt", "Le", "Gt", "Ge"})
_NUMBERS_OF_OURS: Final = frozenset(
    {("input", "now"), ("input", "agent", "expires_at"), ("input", "request", "body_bytes")}
)


def lint(modules: Sequence[Module], data: Mapping[str, Any]) -> list[Fault]:
    """Everything that is wrong with these modules, which are loaded together over ``data``."""
    names = Names(modules, data)
    faults = [*names.faults()]
    for module in modules:
        faults += _package_faults(module, names)
        for rule in module.rules:
            faults += _rule_faults(module, rule, names)
            faults += _ordering_faults(module, rule, frozenset())
    return sorted(set(faults))


def _package_faults(module: Module, names: Names) -> Iterator[Fault]:
    if module.package[:2] != RULES:
        return
    if len(module.package) != len(RULES) + 1:
        yield Fault(module.file, 1, "a rule's package is scopegate.rules.<name>")
    elif "contributions" not in names.rules_of(module.package):
        yield Fault(module.file, 1, "a rule's package defines contributions")


def _rule_faults(module: Module, rule: Node, names: Names) -> Iterator[Fault]:
    line = line_of(rule)
    for kind, node in nodes(rule):
        line = line_of(node) or line
        for text in _node_faults(kind, node, module, names):
            yield Fault(module.file, line, text)
    for part in parts(rule):
        if part.get("with_mods"):
            yield Fault(module.file, line_of(part), "with belongs into tests")


def _node_faults(kind: str, node: Node, module: Module, names: Names) -> Iterator[str]:
    body = body_of(node)
    if kind not in _KNOWN:
        yield f"{kind} is not supported"
    elif kind == "Call":
        yield from _call_faults(body, module, names)
    elif kind == "NotExpr":
        yield from _negation_faults(body["expr"], module, names)
    elif kind == "UnaryExpr" and kind_of(body["expr"]) not in REFS | {"Number", "Call"}:
        yield "minus before an expression binds differently in the engines, write 0 - (...)"
    elif kind == "Default" and body["args"]:
        yield "default functions are not supported by the embedded engine"
    elif kind == "BoolExpr" and {kind_of(body["lhs"]), kind_of(body["rhs"])} & {"BoolExpr"}:
        yield "a comparison of a comparison binds differently in the engines"


def _call_faults(call: Node, module: Module, names: Names) -> Iterator[str]:
    if not is_static(call["fcn"]):
        yield "a function's name may not be computed"
        return
    written = static_path(call["fcn"])
    name = ".".join(written)
    if names.is_function(names.resolve(module, written)):
        if names.is_builtin(name):
            yield f"function {name} has the name of a builtin"
        return
    if name not in ALLOWED:
        what = "is not allowed" if names.is_builtin(name) else "is not defined"
        yield f"function {name} {what}"
        return
    for position in LITERAL_ARGUMENTS.get(name, ()):
        yield from _literal_faults(name, call["params"], position)


def _literal_faults(name: str, params: Sequence[Node], position: int) -> Iterator[str]:
    if position >= len(params) or kind_of(params[position]) not in {"String", "RawString"}:
        yield f"argument {position + 1} of {name} is not a literal text"
        return
    text = body_of(params[position])["value"]
    if name == "regex.match":
        fault = pattern_fault(text)
        if fault or not _is_pattern(text):
            yield fault or "pattern is not valid"
    if name == "replace" and position == 1 and not text:
        yield "argument 2 of replace is empty"


def _is_pattern(text: str) -> bool:
    engine = new_engine([("pattern", "package pattern\nvalid := regex.is_valid(input)")])
    engine.set_input_json(json.dumps(text))
    return bool(json.loads(engine.eval_rule_as_json("data.pattern.valid")))


def _negation_faults(negated: Node, module: Module, names: Names) -> Iterator[str]:
    """``not`` over what is undefined is true in one engine and undefined in the other."""
    kind, body = kind_of(negated), body_of(negated)
    if kind in REFS:
        return
    if kind == "BoolExpr":
        yield "not over a comparison is true for values of the wrong type: compare the other way"
        return
    terms = body["params"] if kind == "Call" else ()
    if kind == "Membership":
        terms = [body["value"], body["collection"], *([body["key"]] if body["key"] else [])]
    elif kind != "Call":
        yield "not is for a reference, a call or `in`"
        return
    if not all(_is_defined(term, module, names) for term in terms):
        yield "not over a value that may be undefined: give it a name with := first"


def _is_defined(term: Node, module: Module, names: Names) -> bool:
    kind, body = kind_of(term), body_of(term)
    if kind == "Var":
        rule = (*names.resolve(module, (body["value"],)),)
        return rule[0] not in {"input", "data"} or names.is_always_defined(rule)
    if kind in {"Array", "Set"}:
        return all(_is_defined(item, module, names) for item in body["items"])
    return kind in _LITERALS | _COMPREHENSIONS


def _ordering_faults(module: Module, tree: Any, guarded: frozenset[str]) -> Iterator[Fault]:
    """Comparisons by order whose sides need not be numbers, in ``tree`` and below."""
    if isinstance(tree, list):
        for item in tree:
            yield from _ordering_faults(module, item, guarded)
    if not isinstance(tree, dict):
        return
    comparison = tree.get("BoolExpr")
    if comparison and comparison["op"] in _ORDERINGS:
        for side in (comparison["lhs"], comparison["rhs"]):
            if not _is_number(side, guarded):
                text = "an order of values that need not be numbers: check them with is_number"
                yield Fault(module.file, line_of(tree), text)
    inside = guarded | _numbers_in(tree.get("query"))
    for member in tree.values():
        yield from _ordering_faults(module, member, inside)


def _numbers_in(query: Any) -> frozenset[str]:
    """What a query asserts to be a number, for all of its statements."""
    asserted: set[str] = set()
    for statement in query["stmts"] if isinstance(query, dict) else ():
        expression = statement["literal"].get("Expr", {}).get("expr", {})
        call = expression.get("Call")
        if call and static_path(call["fcn"]) == ("is_number",):
            asserted.add(meaning(call["params"][0]))
    return frozenset(asserted)


def _is_number(side: Node, guarded: frozenset[str]) -> bool:
    kind = kind_of(side)
    if kind in {"Number", "ArithExpr", "UnaryExpr"}:
        return True
    if kind == "Call":
        return ".".join(static_path(body_of(side)["fcn"])) in NUMERIC
    if is_static(side) and static_path(side) in _NUMBERS_OF_OURS:
        return True
    return meaning(side) in guarded
