"""Facts about profiles that only these tests show."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sidecar.config.issuer_section import IssuerSettings
from sidecar.config.profiles import profile_of

ISSUER: dict[str, Any] = {
    "name": "test",
    "issuer": "https://issuer.test",
    "jwks": {"url": "https://issuer.test/keys"},
    "algorithms": ["ES256"],
    "tenants": ["acme"],
    "ceiling": ["read:orders:*"],
    "max_lifetime": 60,
}


def settings(said: dict[str, Any]) -> IssuerSettings:
    return IssuerSettings.model_validate_json(json.dumps(ISSUER | said))


@pytest.mark.parametrize(
    ("said", "optional"),
    [({}, False), ({"audience": "required"}, False), ({"audience": "optional"}, True)],
)
def test_audience_is_optional_only_when_the_operator_says_so(
    said: dict[str, Any],
    optional: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """By itself, a token that names no audience is nobody's."""
    profile = profile_of(settings(said))

    assert profile.audience_optional is optional


def test_lifetime_and_leeway_are_the_operators_when_a_profile_is_made() -> None:
    """No profile lengthens them."""
    profile = profile_of(settings({"leeway": 1}))

    assert (profile.max_lifetime, profile.leeway) == (60, 1)
