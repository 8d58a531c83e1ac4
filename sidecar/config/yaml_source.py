"""A YAML file to plain data, with the line of every key: a strict and small part of YAML.

What two YAML versions read differently (``on``, ``0777``, ``12:30``, dates) is refused, because
the operator and we could read it differently too. Duplicate keys, tags and merge keys are refused,
size, depth and aliases are bounded. All problems are reported; a syntax error is always the only
one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from sidecar.config.problem import ConfigurationError, Loc, Origin, Problem

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32
MAX_VALUES: Final = 50_000
"""Counted after aliases are followed, so that a few of them cannot grow without bound."""

_TOO_DEEP: Final = f"is nested deeper than {MAX_DEPTH} levels"
_TOO_MUCH: Final = f"holds itself, or over {MAX_VALUES} values, once aliases are followed"
_NO_TAGS: Final = "tags are not read: write plain text, numbers, lists and mappings"
_TAG: Final = "tag:yaml.org,2002:"
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?([eE][-+]?[0-9]{1,3})?")
_OLD_OCTAL: Final = re.compile(r"[-+]?0[0-9_]+|0o[0-7]+")
_QUOTED_WORD: Final = re.compile(r"'\w[^']+'|\"\w[^\"]+\"")
_SENTENCES: Final = {
    "mapping values are not allowed here": "a key cannot stand here: it is indented too far, the "
    "line above has no space after its colon, or text with a colon has no quotes",
    "expected <block end>": "does not continue what is above: it is indented like no line there, "
    "mixes keys with list items, or goes on after a closing quote",
    "could not find expected ':'": "is no `key: value`: a colon and a space are missing",
    "'\\t'": "is indented with a tab: use spaces",
}
"""By a part of PyYAML's message: what an operator understands of it."""
_PLAIN_WORDS: Final = {"true": True, "false": False, "null": None, "~": None, "": None}
_OTHER_WORDS: Final = frozenset({"y", "n"})
"""Booleans of YAML 1.1 that this parser, unlike others, reads as text."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file's content: mappings are ``dict`` with text keys, lists are ``list``."""

    data: Any
    origin: Origin


def read_yaml(path: Path, shown: str) -> Document:
    """Read one file; ``shown`` is its name in messages.

    Raises ``OSError`` for a file that cannot be read, ``ConfigurationError`` for its content.
    """
    with path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ConfigurationError((Problem(shown, 1, "", f"is larger than {MAX_BYTES} bytes"),))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError((Problem(shown, line, "", "is not UTF-8"),)) from None
    return parse_yaml(text, shown)


def parse_yaml(text: str, shown: str) -> Document:
    """Parse one document. Raises ``ConfigurationError`` with every problem of its form."""
    root = _compose(text, shown)
    reading = _Reading(shown)
    try:
        data = reading.value(root, ())
    except _TooMuchError:
        reading.note(root, (), _TOO_MUCH)
        data = None
    if reading.problems:
        raise ConfigurationError(tuple(reading.problems))
    return Document(data, Origin(shown, reading.lines))


class _TooMuchError(Exception):
    """Aliases make the document larger or deeper than it may be."""


class _Composer(yaml.SafeLoader):
    """Builds nodes, which know their lines; depth is bounded because building recurses."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            where = parent.start_mark if parent else None
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=where)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(text: str, shown: str) -> yaml.Node:
    try:
        loader = _Composer(text)
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise ConfigurationError((_syntax_problem(error, shown),)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = "holds a control character"
        raise ConfigurationError((Problem(shown, line, "", message),)) from None
    if root is None:
        raise ConfigurationError((Problem(shown, 1, "", "is empty"),))
    return root


def _syntax_problem(error: yaml.MarkedYAMLError, shown: str) -> Problem:
    """At the line to mend: of a key without a colon that is where it starts, not where it ends."""
    begun = error.context == "while scanning a simple key"
    mark = error.context_mark if begun else error.problem_mark or error.context_mark
    said = " ".join(part for part in (error.context, error.problem) if part)
    sentence = next((ours for part, ours in _SENTENCES.items() if part in said), None)
    line = mark.line + 1 if mark else 1
    return Problem(shown, line, "", sentence or _without_text(said))


def _without_text(message: str) -> str:
    """PyYAML's message without words of the file: a broken line may hold half a password."""
    return _QUOTED_WORD.sub("...", message)


@dataclass(slots=True)
class _Reading:
    """Nodes to data; collects lines and problems on the way."""

    shown: str
    lines: dict[Loc, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    values: int = 0

    def note(self, node: yaml.Node, loc: Loc, message: str) -> None:
        """Add a problem at ``node``'s own line."""
        origin = Origin(self.shown, {(): node.start_mark.line + 1})
        self.problems.append(origin.problem(loc, message))

    def value(self, node: yaml.Node, loc: Loc) -> Any:
        """The data of ``node``, which stands at ``loc``."""
        self.values += 1
        if self.values > MAX_VALUES or len(loc) > MAX_DEPTH:
            raise _TooMuchError
        self.lines.setdefault(loc, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return dict(self._members(node, loc))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.value(item, (*loc, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, loc)
        self.note(node, loc, _NO_TAGS)
        return None

    def _members(self, node: yaml.MappingNode, loc: Loc) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key, member in node.value:
            line = key.start_mark.line + 1
            name = self._key(key, loc)
            if name is None:
                continue
            here = (*loc, name)
            if name in seen:
                self.note(key, here, f"is given twice, first in line {seen[name]}")
                continue
            seen[name] = self.lines[here] = line
            yield name, self.value(member, here)

    def _key(self, key: yaml.Node, loc: Loc) -> str | None:
        if not isinstance(key, yaml.ScalarNode) or key.tag == f"{_TAG}merge":
            self.note(key, loc, "merge keys and keys that are no text are not read")
            return None
        known = len(self.problems)
        read = self._scalar(key, loc)
        if isinstance(read, str):
            return read
        if len(self.problems) == known:
            self.note(key, loc, "a key is no text: put it in quotes")
        return None

    def _scalar(self, node: yaml.ScalarNode, loc: Loc) -> str | int | float | bool | None:
        text: str = node.value
        if node.style is not None and node.tag == f"{_TAG}str":
            return text
        if node.tag == f"{_TAG}str" and not _read_otherwise_elsewhere(text):
            return text
        if node.tag in {f"{_TAG}bool", f"{_TAG}null"} and text in _PLAIN_WORDS:
            return _PLAIN_WORDS[text]
        if node.tag in {f"{_TAG}int", f"{_TAG}float"} and _NUMBER.fullmatch(text):
            return int(text) if node.tag == f"{_TAG}int" else float(text)
        self.note(node, loc, _surprise(node))
        return None


def _read_otherwise_elsewhere(text: str) -> bool:
    """Whether plain text is something else to a reader of another YAML version."""
    return text in _OTHER_WORDS or bool(_OLD_OCTAL.fullmatch(text) or _NUMBER.fullmatch(text))


def _surprise(node: yaml.ScalarNode) -> str:
    """Why a scalar is refused. Words of YAML itself may be repeated: they are no secrets."""
    if not node.tag.startswith(_TAG):
        return _NO_TAGS
    match node.tag.removeprefix(_TAG):
        case "bool" | "null":
            return f"{node.value!r} is no text here: put it in quotes, or write true, false or null"
        case "str" if node.value in _OTHER_WORDS:
            return f"{node.value!r} is a truth value to some readers: put it in quotes"
        case "int" | "float" | "str":
            return "some readers take this for another number: put it in quotes, or write decimals"
        case "timestamp":
            return "this is read as a date: put it in quotes"
        case _:
            return _NO_TAGS
