"""Strict JSON: what any two parsers could read differently is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core import strict_json
from sidecar.core.strict_json import parse_object

DEPTH = 8

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("ensure_ascii", [True, False])
@settings(deadline=None)
@given(value=st.dictionaries(st.text(st.characters(codec="utf-8")), json_values, max_size=6))
def test_parse_object_returns_value_when_json_is_plain(
    ensure_ascii: bool,  # noqa: FBT001 - a parameter of the table
    value: dict[str, Any],
) -> None:
    """What a JSON writer wrote is read back as it was, escaped or not."""
    raw = json.dumps(value, ensure_ascii=ensure_ascii).encode()

    assert parse_object(raw, max_depth=200) == value


@settings(deadline=None)
@given(raw=st.binary(max_size=200))
@example(raw=b"")
@example(raw=b"\xff")
@example(raw=b"[" * 100_000)
@example(raw=b'{"a":' * 100_000)
@example(raw=b'{"' + b"\\" * 99_999)
def test_parse_object_raises_only_value_error_when_bytes_are_odd(raw: bytes) -> None:
    """Whatever the bytes are: an object, or a ``ValueError``."""
    try:
        value = parse_object(raw, max_depth=DEPTH)
    except ValueError:
        return
    assert isinstance(value, dict)


@settings(deadline=None)
@given(text=st.text(st.sampled_from('{}[]":,\\u0d8e1.-+ntfa \n'), max_size=40))
@example(text='{"a":"\\ud83d\\ude00"}')
def test_parse_object_agrees_with_msgspec_when_it_accepts(text: str) -> None:
    """A second parser accepts all that this one does, and reads the same."""
    try:
        value = parse_object(text.encode(), max_depth=DEPTH)
    except ValueError:
        return
    assert msgspec.json.decode(text) == value


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b'{"a":1,"a":1}', "a member stands twice", id="39-41 duplicate"),
        pytest.param(b'[{"a":[{"b":1,"b":2}]}]', "a member stands twice", id="duplicate inside"),
        pytest.param(b'{"a":1,"\\u0061":2}', "a member stands twice", id="duplicate by escape"),
        pytest.param(b'{"a":1}x', "Extra data at character 7", id="43 trailing bytes"),
        pytest.param(b'{"a":1}{}', "Extra data at character 7", id="second object"),
        pytest.param(b'{"a":1}\0', "Extra data at character 7", id="trailing NUL"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', "Expecting value at character 0", id="44 BOM"),
        pytest.param('{"a":1}'.encode("utf-16-le"), None, id="45 UTF-16LE"),
        pytest.param('{"a":1}'.encode("utf-16-be"), None, id="45 UTF-16BE"),
        pytest.param('{"a":1}'.encode("utf-16"), "not UTF-8 at byte 0", id="45 UTF-16 with BOM"),
        pytest.param('{"a":1}'.encode("utf-32"), "not UTF-8 at byte 0", id="UTF-32"),
        pytest.param(b'{"a":"\xff"}', "not UTF-8 at byte 6", id="46 no UTF-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', "not UTF-8 at byte 6", id="46 overlong UTF-8"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', "not UTF-8 at byte 6", id="46 encoded surrogate"),
        pytest.param(b'{"a":"\\ud800"}', "half of a surrogate pair", id="lone surrogate"),
        pytest.param(b'{"\\uDFff":1}', "half of a surrogate pair", id="lone surrogate as name"),
        pytest.param(b"[1]", "not an object", id="47 array"),
        pytest.param(b'"a"', "not an object", id="text"),
        pytest.param(b"null", "not an object", id="null"),
        pytest.param(b"", "Expecting value at character 0", id="nothing"),
        pytest.param(b'{"a":NaN}', "NaN is not JSON", id="49 NaN"),
        pytest.param(b'{"a":Infinity}', "Infinity is not JSON", id="50 Infinity"),
        pytest.param(b'{"a":-Infinity}', "-Infinity is not JSON", id="50 -Infinity"),
        pytest.param(b'{"a":1e400}', "a number beyond a double", id="51 1e400"),
        pytest.param(b'{"a":-1e400}', "a number beyond a double", id="51 -1e400"),
        pytest.param(b'{"a":18446744073709551616}', "an integer beyond 64 bits", id="2**64"),
        pytest.param(b'{"a":-9223372036854775809}', "an integer beyond 64 bits", id="-2**63-1"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", "an integer beyond 64 bits", id="5000 digits"),
        pytest.param(b'{"a":01}', None, id="leading zero"),
        pytest.param(b'{"a":1,}', None, id="trailing comma"),
        pytest.param(b"{'a':1}", None, id="single quotes"),
        pytest.param(b'{"a":"\n"}', None, id="raw control character"),
        pytest.param(b'{"a":1/**/}', None, id="comment"),
        pytest.param(b'\xc2\xa0{"a":1}', None, id="no-break space"),
    ],
)
def test_parse_object_refuses_when_json_is_loose(raw: bytes, reason: str | None) -> None:
    """Each looseness is a ``ValueError``; the reason says which."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_object(raw, max_depth=DEPTH)

    assert type(caught.value) is ValueError
    assert reason in {None, str(caught.value)}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":' * 9 + b"1" + b"}" * 9,
        b'{"a":' + b"[" * 8 + b"]" * 8 + b"}",
        b'{"a":' + b"[" * 4_000 + b"]" * 4_000 + b"}",
        b'{"a":"\\"","b":' + b"[" * 8 + b"]" * 8 + b"}",
    ],
)
def test_parse_object_refuses_when_nesting_is_deeper_than_allowed(raw: bytes) -> None:
    """52: depth is bounded before the parser recurses, also behind an escaped quote."""
    with pytest.raises(ValueError, match="nested deeper than 8"):
        parse_object(raw, max_depth=DEPTH)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":[' + b",".join([b"0"] * 5_000) + b"]}",
        b'{"a":[' + b",".join([b"{}"] * 2_100) + b"]}",
        b"{" + b",".join(b'"k%d":1' % number for number in range(5_000)) + b"}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_parse_object_refuses_when_there_are_too_many_values(raw: bytes) -> None:
    """Many small values would keep the one thread busy that answers everybody."""
    with pytest.raises(ValueError, match="more than 4096 values"):
        parse_object(raw, max_depth=DEPTH)


def test_parse_object_counts_no_comma_inside_a_text() -> None:
    """A long text is one value, whatever is in it."""
    text = ",{[" * 5_000

    assert parse_object(b'{"a":"' + text.encode() + b'"}', max_depth=DEPTH) == {"a": text}


@pytest.mark.parametrize("tail", [b"", b"\\"])
def test_strings_are_found_in_one_pass_when_the_last_one_never_ends(tail: bytes) -> None:
    """Trying again at every quote inside it would take time by the square of its length."""
    assert len(strict_json._STRING.findall(b'"' + b'\\"' * 30_000 + tail)) == 1


@pytest.mark.parametrize(
    ("digits", "accepted"),
    [
        ("0.1", True),
        ("1e22", True),
        ("0.30000000000000004", True),
        ("-0.0", True),
        ("1000.00000000000001", False),
        ("3.14159265358979323846", False),
        ("1e-400", False),
    ],
)
def test_parse_object_refuses_when_a_number_is_finer_than_a_double(
    digits: str, *, accepted: bool
) -> None:
    """A tool that reads decimals must not hear another amount than the one that was judged."""
    raw = b'{"a":' + digits.encode() + b"}"
    if accepted:
        assert parse_object(raw, max_depth=DEPTH) == {"a": float(digits)}
        return
    with pytest.raises(ValueError, match="more precise than a double"):
        parse_object(raw, max_depth=DEPTH)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":' * 8 + b"1" + b"}" * 8,
        b'{"a":[' + b",".join([b"[]"] * 50) + b"]}",
        b'{"a":"' + b"[{" * 50 + b'"}',
        b'{"a":"\\"' + b"[" * 50 + b'"}',
        b'{"a":"\\\\","b":"' + b"[" * 50 + b'"}',
    ],
)
def test_parse_object_accepts_when_nesting_is_as_deep_as_allowed(raw: bytes) -> None:
    """Many brackets are not deep, and brackets inside of strings do not count."""
    assert parse_object(raw, max_depth=DEPTH) == json.loads(raw)


@pytest.mark.parametrize("raw", [b'{"a":"s3cret"', b'{"s3cret":1,"s3cret":2}', b'{"a":s3cret}'])
def test_parse_object_quotes_nothing_when_it_refuses(raw: bytes) -> None:
    """The reason may be logged: it repeats nothing of what was sent."""
    with pytest.raises(ValueError, match=r".") as caught:
        parse_object(raw, max_depth=DEPTH)

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 0, 1.5e300, -0.25])
def test_parse_object_accepts_when_number_fits(number: float) -> None:
    """64-bit integers and doubles are exact."""
    assert parse_object(json.dumps({"a": number}).encode(), max_depth=DEPTH) == {"a": number}
