"""Scopes: the grammar, the ceiling and the floor."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.model import Refused, Scope
from sidecar.core.reasons import Reason
from sidecar.core.scope import MAX_SCOPE_CHARACTERS, covered, parse_scope, scope_floor
from tests.values import make_agent, make_call

READ_ALL = Scope("read", "data", "*")
READ_X = Scope("read", "data", "x")


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("read:data:x", READ_X),
        ("read:data:*", READ_ALL),
        ("read:data:arn:aws:s3", Scope("read", "data", "arn:aws:s3")),
        ("read:data::", Scope("read", "data", ":")),
        ("tools.call:mcp_files-1:/srv/[a]?b=c%20'd'", None),
        ("tools.call:mcp_files-1:/srv/[a]?b=c%20~", None),
    ],
)
def test_parse_scope_splits_at_the_first_two_colons_when_well_formed(
    text: str, scope: Scope | None
) -> None:
    """Whatever follows the second colon is the identifier, colons included."""
    parsed = parse_scope(text)

    assert parsed == (scope or Scope(*text.split(":", 2)))
    assert str(parsed) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "read",
        "read:data",
        "::",
        ":data:x",
        "read::x",
        "read:data:",
        "*:data:x",
        "read:*:x",
        "*:*:*",
        "rea*:data:x",
        "read:data:x*",
        "read:data:**",
        "read:data:*:x",
        "read:data:a b",
        " read:data:x",
        "read:data:x ",
        "read:data:x\n",
        "read:data:x\r\nx-agent-id: root",
        "read:data:\0",
        'read:data:"x"',
        "read:data:a\\b",
        "read:data:a,b",
        "read:data:\u00e9",
        "r\u00e9ad:data:x",
        "read:data:\u0661",
        "re/ad:data:x",
        "read:da ta:x",
        "read:data:" + "x" * (MAX_SCOPE_CHARACTERS - 9),
    ],
)
def test_parse_scope_returns_nothing_when_text_is_not_of_the_grammar(text: str) -> None:
    """82: no part is empty, only a whole identifier is a wildcard, all is visible ASCII."""
    assert parse_scope(text) is None


def test_parse_scope_returns_scope_when_text_is_as_long_as_allowed() -> None:
    """The limit itself is allowed."""
    assert parse_scope("read:data:" + "x" * (MAX_SCOPE_CHARACTERS - 10)) is not None


@settings(deadline=None)
@given(text=st.text(max_size=30) | st.text(st.sampled_from("ab:*-. "), max_size=12))
def test_parse_scope_returns_what_it_reads_when_it_reads_anything(text: str) -> None:
    """A scope spells itself back, and fits into a header as it is."""
    scope = parse_scope(text)

    assert scope is None or (str(scope) == text and text.isascii() and text.isprintable())


@pytest.mark.parametrize(
    ("scope", "ceiling", "is_covered"),
    [
        (READ_X, (READ_X,), True),
        (READ_X, (READ_ALL,), True),
        (READ_ALL, (READ_ALL,), True),
        (READ_X, (Scope("write", "data", "*"), READ_ALL), True),
        (READ_ALL, (READ_X,), False),
        (READ_X, (Scope("read", "data", "y"),), False),
        (READ_X, (Scope("write", "data", "*"),), False),
        (READ_X, (Scope("read", "other", "*"),), False),
        (READ_X, (Scope("*", "*", "*"),), False),
        (Scope("read", "data", "x:y"), (READ_X,), False),
        (READ_X, (Scope("read", "data", "X"),), False),
        (READ_X, (), False),
    ],
)
def test_covered_compares_exactly_when_ceiling_has_no_wildcard(
    scope: Scope, ceiling: tuple[Scope, ...], *, is_covered: bool
) -> None:
    """Only ``*`` covers ``*``; an action and a resource are never wildcards; case counts."""
    assert covered(scope, ceiling) is is_covered


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ((READ_X,), READ_X),
        ((READ_ALL,), READ_X),
        ((READ_ALL,), READ_ALL),
        ((Scope("write", "data", "x"), READ_X), READ_X),
    ],
)
def test_scope_floor_passes_when_one_scope_covers_the_call(
    held: tuple[Scope, ...], wanted: Scope
) -> None:
    """One covering scope is enough."""
    assert scope_floor(make_agent(scopes=held), make_call(scope=wanted)) is None


@pytest.mark.parametrize(
    ("held", "wanted"),
    [
        ((), READ_X),
        ((Scope("write", "data", "x"),), READ_X),
        ((Scope("read", "other", "x"),), READ_X),
        ((Scope("read", "data", "y"),), READ_X),
        ((READ_X,), READ_ALL),
    ],
)
def test_scope_floor_refuses_when_no_scope_covers_the_call(
    held: tuple[Scope, ...], wanted: Scope
) -> None:
    """The record names what the call wanted; the caller is not told more than the reason."""
    expected = Refused(Reason.INSUFFICIENT_SCOPE, f"wants {wanted}")

    assert scope_floor(make_agent(scopes=held), make_call(scope=wanted)) == expected
