"""The strict and small part of YAML that configuration files are written in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.config.problem import ConfigurationError, Problem
from sidecar.config.yaml_source import MAX_BYTES, parse_yaml, read_yaml


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as caught:
        parse_yaml(text, "it.yaml")
    return caught.value.problems


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("text", "text"),
        ("two words", "two words"),
        ("'on'", "on"),
        ('"42"', "42"),
        ("127.0.0.1:10004", "127.0.0.1:10004"),
        ("read:customers:42", "read:customers:42"),
        ("42", 42),
        ("-1", -1),
        ("0.3", 0.3),
        ("true", True),
        ("false", False),
        ("null", None),
        ("", None),
        ("[1, two]", [1, "two"]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
    ],
)
def test_parse_reads_values_when_every_reader_agrees(written: str, value: Any) -> None:
    """Plain text, numbers, truth values, lists and mappings are what they look like."""
    document = parse_yaml(f"key: {written}\n", "it.yaml")

    assert document.data == {"key": value}
    assert type(document.data["key"]) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        "yes", "No", "ON", "off", "y", "N".lower(), "True", "NULL", "0777", "0o17", "0x1F", "0b11",
        "1_000", "+1", "12:30:45", "1e3", ".5", "1.", ".inf", "-.INF", ".nan", "2026-01-01",
        "2026-01-01T00:00:00Z", "!!str 1", "!!binary aGk=", "!env HOME", "=",
        "12345678901234567890",
    ],
)  # fmt: skip
def test_parse_refuses_when_readers_disagree(written: str) -> None:
    """What another YAML reader takes for something else is refused, at its line."""
    (problem,) = problems_of(f"first: 1\nkey: {written}\n")

    assert (problem.source, problem.line, problem.field) == ("it.yaml", 2, "key")


def test_parse_tells_every_fault_when_there_are_several() -> None:
    """Faults of form are collected, not only the first is told."""
    problems = problems_of("a: on\nb: 0777\na: 2\nc: {d: 1, d: 2}\n")

    assert [(one.line, one.field) for one in problems] == [(1, "a"), (2, "b"), (3, "a"), (4, "c.d")]


def test_parse_follows_aliases_when_they_are_few() -> None:
    """An anchor's value may be used again."""
    document = parse_yaml("a: &list [1, 2]\nb: *list\n", "it.yaml")

    assert document.data == {"a": [1, 2], "b": [1, 2]}


def test_parse_knows_lines_of_keys_and_items() -> None:
    """Lines are those of the key, and of the item in a list."""
    lines = parse_yaml("a:\n  b:\n    - 1\n    - c: 2\n", "it.yaml").origin.lines

    assert lines["a",] == 1
    assert lines["a", "b"] == 2
    assert lines["a", "b", 0] == 3
    assert lines["a", "b", 1, "c"] == 4


def test_parse_repeats_no_text_when_syntax_is_broken() -> None:
    """A syntax error names its line, and no word of it."""
    (problem,) = problems_of("a: 1\npassword: *hunter2\n")

    assert problem.line == 2
    assert "hunter2" not in str(problem)


def test_read_refuses_when_a_file_is_too_large(tmp_path: Path) -> None:
    """The limit on size holds before anything is parsed: this file's content is broken, too."""
    path = tmp_path / "large.yaml"
    path.write_bytes(b"[" * (MAX_BYTES + 1))

    with pytest.raises(ConfigurationError) as caught:
        read_yaml(path, "large.yaml")

    assert (f"is larger than {MAX_BYTES} bytes",) == tuple(p.message for p in caught.value.problems)


def test_read_takes_a_byte_order_mark(tmp_path: Path) -> None:
    """A file from an editor that writes a byte order mark is read."""
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert read_yaml(path, "bom.yaml").data == {"a": 1}
