"""Rules of the house that no linter has: what the core may import, who reads clocks, sizes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "sidecar"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "generated" not in path.parts)
PROGRAMS = [
    *MODULES,
    *sorted((ROOT / "bench").rglob("*.py")),
    *sorted((ROOT / "examples").rglob("*.py")),
]
CORE = [path for path in MODULES if "core" in path.parts]

PURE = {
    *(
        "__future__",
        "base64",
        "binascii",
        "collections",
        "dataclasses",
        "decimal",
        "enum",
        "functools",
    ),
    "hashlib",
    *("itertools", "json", "math", "re", "types", "typing", "urllib.parse"),
    *("cryptography", "jwt", "msgspec", "sidecar.core"),
}


def imports_of(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_imports_nothing_that_could_act(path: Path) -> None:
    """An allow-list: what is not known to be pure does not get in."""
    foreign = [
        name
        for name in imports_of(path)
        if not any(name == pure or name.startswith(f"{pure}.") for pure in PURE)
    ]

    assert foreign == []


@pytest.mark.parametrize("path", CORE, ids=name_of)
def test_core_neither_awaits_nor_prints(path: Path) -> None:
    """No function of the core can wait, write or be told otherwise by a global."""
    tree = ast.parse(path.read_text())
    acts = (ast.AsyncFunctionDef, ast.Await, ast.Global, ast.Nonlocal)
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }

    assert not any(isinstance(node, acts) for node in ast.walk(tree))
    assert called.isdisjoint({"print", "open", "input", "exec", "eval"})


@pytest.mark.parametrize(
    ("module", "readers"),
    [
        ("time", {"clock.py"}),
        ("random", {"assembly/__init__.py"}),
        ("uuid", {"assembly/__init__.py"}),
    ],
)
def test_what_varies_enters_in_one_place(module: str, readers: set[str]) -> None:
    """Time and chance come in by one door each."""
    assert {name_of(path) for path in MODULES if module in imports_of(path)} == readers


def test_environment_is_read_by_commands_only() -> None:
    """Everybody else gets it as an argument."""
    readers = {name_of(path) for path in MODULES if "os.environ" in path.read_text()}

    assert readers == {"cli/configuration.py", "cli/run.py", "cli/validate.py"}


def place_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PROGRAMS, ids=place_of)
def test_sizes_stay_readable(path: Path) -> None:
    """Modules up to 250 lines, functions up to 40 with all they have: decorators, docstring.

    The model is one list of values.
    """
    text = path.read_text()
    functions = [
        (node.name, (node.end_lineno or 0) - first_line(node) + 1)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    assert len(text.splitlines()) <= 250 or place_of(path) == "sidecar/core/model.py"
    assert [function for function in functions if function[1] > 40] == []


def first_line(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
