"""Names for what is stored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.digest import digest, hash_tag

PARTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=4), max_size=4).map(tuple)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a:b", "c"), ("a", "b:c")),
        (("ab", "c"), ("a", "bc")),
        (("a", ""), ("a",)),
        (("", "a"), ("a", "")),
        (("a\0b",), ("a", "b")),
        (("é",), ("e\u0301",)),
    ],
)
def test_digest_differs_when_the_parts_do(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """However names are cut, no two things share a key."""
    assert digest(*one) != digest(*other)


@given(one=PARTS, other=PARTS)
def test_digest_is_the_same_only_for_the_same_parts(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    """The same, for whatever names there are."""
    assert (digest(*one) == digest(*other)) == (one == other)


def test_digest_of_known_parts_stays_what_it_is() -> None:
    """What is stored in Redis is found by the next version too."""
    assert digest("https://issuer.example", "acme") == "f408b7d9994e4d618f008f15c326267c"
    assert hash_tag("https://issuer.example", "acme") == "{f408b7d9994e4d618f008f15c326267c}"
