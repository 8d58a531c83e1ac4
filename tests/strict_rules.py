"""The rules of Envoy's filter ``strict``, one by one, read from its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

NO: Final = "no "
"""How the name of a rule begins that refuses a token for what it has."""


def filter_in(node: Any) -> dict[str, Any]:
    """The ``typed_config`` of ``strict``, anywhere below ``node``."""
    (found,) = [one for one in _mappings(node) if one.get("name") == "strict"]
    config: dict[str, Any] = found["typed_config"]
    return config


def rules_in(node: Any) -> dict[str, tuple[list[Any], Any]]:
    """Each rule by its name, with the list that it stands in.

    A name is the place of what it reads, such as ``header.alg`` or ``no claims.cnf``.
    """
    (permission,) = filter_in(node)["rules"]["policies"]["plain"]["permissions"]
    wanted = permission["and_rules"]["rules"]
    unwanted = wanted[-1]["not_rule"]["or_rules"]["rules"]
    named = [(_name(rule), wanted, rule) for rule in wanted[:-1]]
    named += [(NO + _name(rule), unwanted, rule) for rule in unwanted]
    rules = {name: (rules, rule) for name, rules, rule in named}
    assert len(rules) == len(named)
    return rules


def regexes_in(rule: Any) -> list[str]:
    """Every regular expression of a rule, in its order."""
    return [one["safe_regex"]["regex"] for one in _mappings(rule) if "safe_regex" in one]


def _name(rule: Any) -> str:
    places = {
        one["header"]["name"] if "header" in one else ".".join(step["key"] for step in one["path"])
        for one in _mappings(rule)
        if "header" in one or "path" in one
    }
    (name,) = places
    return name


def _mappings(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from _mappings(child)
