"""The embedded Rego engine, with the types that its wheel does not ship.

It has two evaluators. ``Engine`` interprets the syntax tree, keeps to OPA's semantics and has no
limit. ``Rvm`` runs compiled code and stops after 25,000 instructions, but takes an undefined value
on the right of ``:=`` for a value and a conflict for undefined. Both belong to one thread, report
every error as ``RuntimeError`` with a stack trace in its text, and a bug of theirs as a
``PanicException``, which is a ``BaseException``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, Protocol, cast

_regorus: Final[Any] = import_module("regorus")


class Rvm(Protocol):
    """The virtual machine, loaded with one program."""

    def set_input_json(self, document: str, /) -> None:
        """Take a JSON text, at most 128 values deep, as ``input``."""

    def execute(self) -> str:
        """The entry point's value as JSON text; ``"<undefined>"`` when it has none."""
        ...


class Engine(Protocol):
    """The interpreter."""

    def add_policy(self, path: str, rego: str, /) -> str:
        """Parse one module; ``path`` names it in errors."""
        ...

    def add_data_json(self, data: str, /) -> None:
        """Merge a JSON object into ``data``."""

    def set_input_json(self, document: str, /) -> None:
        """Take a JSON text, at most 128 values deep, as ``input``."""

    def eval_rule_as_json(self, rule: str, /) -> str:
        """A rule's value as JSON text; ``"<undefined>"`` when it has none."""
        ...

    def get_ast_as_json(self) -> str:
        """The syntax trees of all modules (``rego_ast``)."""
        ...


def new_engine(sources: Sequence[tuple[str, str]], data: str = "{}") -> Engine:
    """An interpreter with these files, name and text, over ``data``, a JSON object."""
    engine = cast(Engine, _regorus.Engine())
    for file, text in sources:
        engine.add_policy(file, text)
    engine.add_data_json(data)
    return engine


def new_rvm(sources: Sequence[tuple[str, str]], data: str, entrypoint: str) -> Rvm:
    """A virtual machine that answers ``entrypoint``, for example ``data.scopegate.ruling``."""
    program = _regorus.Program.compile_from_modules(data, list(sources), [entrypoint])
    rvm = _regorus.Rvm()
    rvm.load_program(program)
    rvm.set_data_json(data)
    return cast(Rvm, rvm)
