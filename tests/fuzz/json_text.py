"""JSON as an attacker writes it: what Python's own objects cannot hold has a type of its own."""

from __future__ import annotations

import json
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any, TypeAlias

Tree: TypeAlias = Any
"""What JSON can say, with ``Raw`` for values and ``Again`` for names."""


class Raw(str):
    """A text that stands in the document as it is, JSON or not."""

    __slots__ = ()


class Again(str):
    """A member's name that stands beside another one of the same letters."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


def write(tree: Tree, *, ascii_only: bool = True) -> str:
    """The document, without spaces."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, str):
        return _text(tree, ascii_only=ascii_only)
    if isinstance(tree, dict):
        members = (
            f"{_text(name, ascii_only=ascii_only)}:{write(value, ascii_only=ascii_only)}"
            for name, value in tree.items()
        )
        return f"{{{','.join(members)}}}"
    if isinstance(tree, list):
        return f"[{','.join([write(item, ascii_only=ascii_only) for item in tree])}]"
    return json.dumps(tree)


def _text(text: str, *, ascii_only: bool) -> str:
    # json.dumps does the same, and takes three times as long.
    return encode_basestring_ascii(text) if ascii_only else encode_basestring(text)


def copied(tree: Tree) -> Tree:
    """The same tree in containers of its own."""
    if isinstance(tree, dict):
        return {name: copied(value) for name, value in tree.items()}
    return [copied(item) for item in tree] if isinstance(tree, list) else tree


def places(tree: Tree) -> list[tuple[Any, Any]]:
    """Every container and key or index in it under which a value stands."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        keys = one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            waiting.append(one[key])
    return found
