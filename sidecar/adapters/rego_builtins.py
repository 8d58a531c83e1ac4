"""What a policy may call: builtins that are pure and that OPA and the embedded engine agree on.

``tests/policies/test_engines_agree.py`` asks both engines and keeps this list true. Left out are
the impure ones (http, rand, time.now_ns, opa.runtime, trace, print); those whose answers differ
(glob, sprintf, lower, upper, indexof, abs, ceil, floor, sum, format_int, object.subset,
json.marshal, net.cidr_contains, strings.count); those that read texts too generously (to_number
takes "1_000"); and those whose result can be far larger than their arguments (numbers.range,
strings.replace_n).
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

ALLOWED: Final = frozenset(
    {
        "array.concat", "array.reverse", "array.slice", "concat", "contains", "count",
        "endswith", "intersection", "is_array", "is_boolean", "is_null",
        "is_number", "is_object", "is_set", "is_string", "max", "min", "object.filter",
        "object.get", "object.keys", "object.remove", "object.union",
        "object.union_n", "regex.match", "replace", "sort", "split", "startswith",
        "strings.any_prefix_match", "strings.any_suffix_match", "strings.reverse", "substring",
        "time.clock", "time.date", "time.weekday", "trim", "trim_left", "trim_prefix",
        "trim_right", "trim_space", "trim_suffix", "type_name", "union",
    }
)  # fmt: skip

LITERAL_ARGUMENTS: Final = MappingProxyType(
    {"concat": (0,), "regex.match": (0,), "replace": (1, 2)}
)
"""Arguments that must be literal texts: a caller's could make the result as large as their product,
or a pattern that the engines read differently."""

NUMERIC: Final = frozenset({"count"})
"""Builtins whose result is always a number."""

_COUNTED: Final = re.compile(r"\{(\d{1,3})(,(\d{1,3})?)?\}")


def pattern_fault(pattern: str) -> str:
    r"""Why engines could read this pattern of ``regex.match`` differently, or empty.

    RE2 (OPA) and Rust's regex crate agree on literals, ``. ^ $ | ( ) * + ?``, counts, ASCII ranges
    and escaped punctuation. ``\d``, ``\w``, ``\s`` and ``\b`` mean ASCII to one and Unicode to
    the other; ``[a&&b]`` and ``[a[b]]`` are sets to one only.
    """
    if not pattern.isascii():
        return "pattern holds characters beyond ASCII"
    if re.search(r"\\[A-Za-z0-9]", pattern):
        return "pattern holds an escape like \\d, write a class like [0-9]"
    if re.search(r"\(\?(?!:)", pattern):
        return "pattern holds a group with options"
    plain = re.sub(r"\\.", "", pattern)
    if re.search(r"&&|--|~~|\[\^?\]|\[[^\]]*\[", plain):
        return "pattern holds a class that is a set expression to one engine"
    plain = _COUNTED.sub("+", re.sub(r"\[[^\]]*\]", "", plain))
    if re.search(r"[{}]", plain):
        return "pattern holds a brace that is no count, write [{]"
    if re.search(r"[*+?][*+]|[*+?]\?\?", plain):
        return "pattern repeats a repetition"
    return ""
