"""The list of checks: where each stands, how it is taken out, and the test that misses it.

``list/*.toml`` holds it. A ``[[place]]`` is one file under one heading, and its ``tests`` are where
the tests of its checks are, unless a test says otherwise. A check's ``take`` stands exactly once in
the file. ``put`` stands there when the check is gone; without it the first line is an ``if`` whose
condition is never true. A second line of defence names, as ``behind``, the checks that would have
to be gone as well (``core/x.py: what``): only then does its test fail.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent.parent
FILES: Final = tuple(
    Path(__file__).with_name("list") / f"{name}.toml"
    for name in ("line", "form", "keys", "claims", "delegation", "callers", "fit", "once", "fetch")
)
_IF: Final = re.compile(r"((?:el)?if) (.*):((?:\n.*)*)")


@dataclass(frozen=True, slots=True)
class Check:
    """One rule of the token path."""

    number: int
    heading: str
    what: str
    """What is refused, in plain words; one place has no two of it."""
    standard: str
    file: str
    take: str
    put: str
    test: str
    """The node id of the one test that fails when the check is gone."""
    behind: tuple[str, ...] = ()
    """What else has to be gone before anybody notices, as ``core/x.py: what``."""

    def without(self, source: str) -> str:
        """Return the file's text without this check."""
        if source.count(self.take) != 1:
            raise ValueError(f"{self.file}: {self.what}: its text stands there not once")
        return source.replace(self.take, self.put)


def all_checks() -> tuple[Check, ...]:
    """Read the list, numbered in its order."""
    places = [place for file in FILES for place in tomllib.loads(file.read_text())["place"]]
    rows = [(place, row) for place in places for row in place["check"]]
    return tuple(_check(number, place, row) for number, (place, row) in enumerate(rows, 1))


def _check(number: int, place: Mapping[str, Any], row: Mapping[str, Any]) -> Check:
    test = row["test"]
    return Check(
        number=number,
        heading=place["heading"],
        what=row["what"],
        standard=row["standard"],
        file=place["file"],
        take=row["take"],
        put=row["put"] if "put" in row else _never(row["take"]),
        test=test if test.startswith("tests/") else f"{place['tests']}::{test}",
        behind=tuple(row.get("behind", ())),
    )


def _never(take: str) -> str:
    found = _IF.fullmatch(take)
    if found is None:
        raise ValueError(f"not an if, so say what to put there: {take}")
    return f"{found[1]} False and ({found[2]}):{found[3]}"


def files_without(check: Check, checks: tuple[Check, ...], root: Path = ROOT) -> dict[str, str]:
    """Give the new text of each file that changes when the check, and what is behind it, goes.

    Raises ``ValueError`` or ``KeyError`` when the list is not about this tree.
    """
    by_name = {f"{one.file}: {one.what}": one for one in checks}
    texts: dict[str, str] = {}
    for one in (check, *(by_name[f"sidecar/{name}"] for name in check.behind)):
        source = texts.get(one.file) or (root / one.file).read_text()
        texts[one.file] = one.without(source)
    return texts


def place_of(check: Check) -> str:
    """Name the function or class that the check stands in, by the module."""
    source = (ROOT / check.file).read_text()
    at = source.index(check.take) + len(check.take) - len(check.take.lstrip())
    line = source.count("\n", 0, at) + 1
    module = check.file.removeprefix("sidecar/").removesuffix(".py").replace("/", ".")
    return ".".join((module, *_around(ast.parse(source), line)))


def _around(node: ast.AST, line: int) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if getattr(child, "lineno", line + 1) <= line <= (getattr(child, "end_lineno", 0) or 0):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield child.name
            yield from _around(child, line)
