"""(1) What a request target may look like, and everything that hides something in one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.model import Refused
from sidecar.core.reasons import Reason
from sidecar.core.target import Target, parse_target, split_path


@pytest.mark.parametrize(
    ("raw", "segments", "query"),
    [
        (b"/", (), ()),
        (b"/data/1", ("data", "1"), ()),
        (b"/data/", ("data", ""), ()),
        (b"/data%20x/caf%C3%A9", ("data x", "café"), ()),
        (b"/a%3Fb%23c/%25", ("a?b#c", "%"), ()),
        (b"/a;v=1/b", ("a;v=1", "b"), ()),
        (b"/...", ("...",), ()),
        (b"/a?", ("a",), ()),
        (b"/a?b=1&b=2&a=3", ("a",), (("b", "1"), ("b", "2"), ("a", "3"))),
        (b"/a?b", ("a",), (("b", ""),)),
        (b"/a?=1", ("a",), (("", "1"),)),
        (b"/a?b=c=d&&", ("a",), (("b", "c=d"),)),
        (b"/a?x+y=%2B%26+%3B", ("a",), (("x y", "+& ;"),)),
        (b"/a?q=/../?\\", ("a",), (("q", "/../?\\"),)),
    ],
)
def test_target_is_split_and_decoded_once(
    raw: bytes, segments: tuple[str, ...], query: tuple[tuple[str, str], ...]
) -> None:
    """Segments and pairs are split first and decoded then; path and query stay as they travel."""
    path, _, raw_query = raw.decode().partition("?")

    assert parse_target(raw) == Target(path, segments, raw_query, query)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"*", id="asterisk form"),
        pytest.param(b"https://data.example/a", id="absolute form"),
        pytest.param(b"data.example:443", id="authority form"),
        pytest.param(b"a/b", id="relative"),
        pytest.param(b"?a=1", id="query only"),
        pytest.param(b"//admin", id="empty first segment"),
        pytest.param(b"/a//b", id="empty segment"),
        pytest.param(b"/a//", id="empty segments at the end"),
        pytest.param(b"/a/../b", id="dots"),
        pytest.param(b"/a/..", id="dots at the end"),
        pytest.param(b"/./a", id="one dot"),
        pytest.param(b"/a/%2e%2e/b", id="escaped dots"),
        pytest.param(b"/a/.%2E/b", id="half escaped dots"),
        pytest.param(b"/a/..;/b", id="dots with a path parameter"),
        pytest.param(b"/a/..%3Bx/b", id="dots with an escaped path parameter"),
        pytest.param(b"/a%2Fb", id="escaped slash"),
        pytest.param(b"/a%2fb", id="escaped slash, lower-case"),
        pytest.param(b"/a\\b", id="backslash"),
        pytest.param(b"/a%5Cb", id="escaped backslash"),
        pytest.param(b"/a%00", id="NUL"),
        pytest.param(b"/a%0d%0aX:1", id="line break"),
        pytest.param(b"/a%7f", id="DEL"),
        pytest.param(b"/a%C2%85", id="C1 control"),
        pytest.param(b"/a#b", id="fragment"),
        pytest.param(b"/a b", id="space"),
        pytest.param(b"/a\n", id="bare line feed"),
        pytest.param(b"/a\x00", id="bare NUL"),
        pytest.param("/café".encode(), id="UTF-8 without escapes"),
        pytest.param(b"/a%", id="escape without digits"),
        pytest.param(b"/a%4", id="escape with one digit"),
        pytest.param(b"/a%zz", id="escape with other letters"),
        pytest.param(b"/a%u0041", id="escape of another kind"),
        pytest.param(b"/a%FF", id="no UTF-8"),
        pytest.param(b"/%C0%AE%C0%AE/b", id="overlong dots"),
        pytest.param(b"/a%C0%AFb", id="overlong slash"),
        pytest.param(b"/a%ED%A0%80", id="surrogate"),
        pytest.param(b"/caf%C3/%A9", id="UTF-8 across segments"),
    ],
)
def test_path_is_refused_when_it_could_be_read_in_two_ways(raw: bytes) -> None:
    """Whatever Envoy's normalisation should have removed is an attack, never repaired."""
    assert _refusal(raw) is Reason.PATH_MALFORMED


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(b"a=1 2", id="space"),
        pytest.param(b"a=1\r\nx:1", id="line break"),
        pytest.param(b"a=\xc3\xa9", id="UTF-8 without escapes"),
        pytest.param(b"a=1#b", id="fragment"),
        pytest.param(b"a=%", id="escape without digits"),
        pytest.param(b"a=%4&b", id="escape with one digit"),
        pytest.param(b"a=%FF", id="no UTF-8 in a value"),
        pytest.param(b"%C0%AF=1", id="overlong name"),
        pytest.param(b"a=%C3&%A9", id="UTF-8 across pairs"),
        pytest.param(b"a=1;_method=DELETE", id="another separator"),
        pytest.param(b"&" * 256, id="more than 256 pairs"),
        pytest.param(b"a=" + b"1" * 8191, id="more than 8 KiB"),
    ],
)
def test_query_is_refused_when_it_could_be_read_in_two_ways(query: bytes) -> None:
    """Nobody guesses what a query says."""
    assert _refusal(b"/a?" + query) is Reason.QUERY_MALFORMED


def test_query_passes_at_its_limits() -> None:
    """256 pairs and 8 KiB are the last that pass."""
    pairs = parse_target(b"/a?" + b"&".join([b"a"] * 256))
    long = parse_target(b"/a?a=" + b"1" * 8190)

    assert isinstance(pairs, Target)
    assert len(pairs.query) == 256
    assert isinstance(long, Target)
    assert len(long.raw_query) == 8192


@pytest.mark.parametrize(
    ("path", "segments"),
    [("/", ()), ("/a", ("a",)), ("/a/", ("a", "")), ("/{x}/**", ("{x}", "**"))],
)
def test_split_path_keeps_a_trailing_slash(path: str, segments: tuple[str, ...]) -> None:
    """``/a`` and ``/a/`` are two paths; the root has no segment."""
    assert split_path(path) == segments


@settings(deadline=None)
@given(st.one_of(st.binary(), st.text(alphabet="/.%2eEfFcC5;?&=+aé\\\0#").map(str.encode)))
def test_parse_target_never_raises(raw: bytes) -> None:
    """Any bytes are a target or a refusal; no target holds what a refusal is for."""
    target = parse_target(raw)

    if isinstance(target, Refused):
        assert target.reason in (Reason.PATH_MALFORMED, Reason.QUERY_MALFORMED)
    else:
        assert raw.decode() in (target.path, f"{target.path}?{target.raw_query}")
        assert not {".", ".."}.intersection(target.segments)
        assert "" not in target.segments[:-1]
        assert not any(set("/\\\0") & set(segment) for segment in target.segments)


def _refusal(raw: bytes) -> Reason | None:
    target = parse_target(raw)
    return target.reason if isinstance(target, Refused) else None
