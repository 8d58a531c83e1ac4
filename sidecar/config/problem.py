"""What is wrong with a configuration, said so that an operator finds the place at once.

Every check adds ``Problem`` values and goes on, so that one run shows them all. A message names
keys and says what a value must be; it does not repeat the value, which may be a secret in the
wrong place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Loc: TypeAlias = tuple[str | int, ...]
"""Where a value stands in a document: keys and list indexes from the top, as pydantic's ``loc``."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to put right."""

    source: str
    """A file, as the operator named it, or an environment variable."""
    line: int | None
    """Counted from 1; None for a variable, and for a file that cannot be read."""
    field: str
    """``issuers[0].jwks.url``; empty for the document as a whole."""
    message: str

    def __str__(self) -> str:
        place = self.source if self.line is None else f"{self.source}:{self.line}"
        return ": ".join(part for part in (place, self.field, self.message) if part)


class ConfigurationError(Exception):
    """A configuration that cannot be used; ``problems`` says why, all at once, never empty."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Origin:
    """Where each value of a document came from."""

    file: str
    lines: Mapping[Loc, int]
    """Of every key and list item in the file; the top, ``()``, is always there."""
    variables: Mapping[Loc, str] = field(default_factory=dict)
    """Environment variables by the place that they set."""

    def problem(self, loc: Loc, message: str) -> Problem:
        """A problem at ``loc``, placed at the nearest thing that was really written."""
        for end in range(len(loc), 0, -1):
            if loc[:end] in self.variables:
                return Problem(self.variables[loc[:end]], None, field_name(loc), message)
            if loc[:end] in self.lines:
                return Problem(self.file, self.lines[loc[:end]], field_name(loc), message)
        return Problem(self.file, self.lines[()], field_name(loc), message)


def field_name(loc: Loc) -> str:
    """``("issuers", 0, "name")`` as ``issuers[0].name``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return "".join(parts).removeprefix(".")
