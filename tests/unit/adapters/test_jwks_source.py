"""What a source of keys, and the limits of asking it, may not be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.adapters.jwks_source import KeyLimits, KeySource, private_url

EDDSA = frozenset({"EdDSA"})
URL = "https://issuer.test/keys"


@pytest.mark.parametrize(
    "places",
    [
        pytest.param({}, id="none"),
        pytest.param({"url": URL, "file": Path("keys")}, id="url and file"),
        pytest.param({"url": URL, "discovery": URL}, id="url and discovery"),
    ],
)
def test_source_is_refused_when_it_is_not_in_one_place(places: dict[str, Any]) -> None:
    """Nobody would know whose keys count."""
    with pytest.raises(ValueError, match="either a url, file or discovery"):
        KeySource("https://issuer.test", "test", EDDSA, **places)


@pytest.mark.parametrize("name", ["refresh_s", "timeout_s", "cooldown_s", "max_bytes"])
@pytest.mark.parametrize("value", [0, -1])
def test_limits_are_refused_when_one_is_not_above_zero(name: str, value: int) -> None:
    """Without one of them, asking would never end, or never begin."""
    limits: dict[str, Any] = {name: value}

    with pytest.raises(ValueError, match="must be above zero"):
        KeyLimits(**limits)


def test_limits_are_refused_when_keys_would_expire_while_in_order() -> None:
    """As old as the next refresh is too old."""
    with pytest.raises(ValueError, match="max_age_s"):
        KeyLimits(refresh_s=60, max_age_s=60)


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_are_refused_when_no_clock_could_meet_them(limit: float) -> None:
    """None is how an operator says that clocks may differ."""
    with pytest.raises(ValueError, match="max_skew_s"):
        KeyLimits(max_skew_s=limit)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://issuer.test/keys",
        "//issuer.test/keys",
        "https:///keys",
        "https://user@issuer.test/keys",
        "https://:secret@issuer.test/keys",
        "https://issuer.test/keys#",
        "http://issuer.test/keys",
        "http://localhost/keys",
        "http://192.0.2.1/keys",
    ],
)
def test_url_is_refused_when_others_could_change_what_comes_back(url: str) -> None:
    """Also a name for ourselves: whoever answers for it decides who that is."""
    with pytest.raises(ValueError, match="URL"):
        private_url(url)
