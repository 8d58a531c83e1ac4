"""(8) What a call uses up."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.core.model import (
    Action,
    Agent,
    Allowed,
    Call,
    Conflict,
    Decision,
    Dependency,
    Effects,
    Refused,
    Ruling,
)
from sidecar.core.reasons import Reason
from sidecar.core.single_use import CONFLICT_REASON, effects_of, hash_tag
from tests.values import NOW, make_agent, make_call

PASSES = Allowed((), ())
ALLOW = Ruling(Action.ALLOW)


def effects(*, agent: dict[str, Any] | None = None, **call: Any) -> Effects:
    return _effects(PASSES, ALLOW, make_call(**call), make_agent(**agent or {}))


def _effects(decision: Decision, ruling: Ruling, call: Call, agent: Agent) -> Effects:
    found = effects_of(decision, ruling, call, agent, now=NOW)
    assert isinstance(found, Effects)
    return found


def test_effects_are_none_for_an_ordinary_token() -> None:
    """A token normally serves many calls."""
    assert not effects()


def test_effects_are_none_when_the_call_does_not_pass() -> None:
    """A refused call burns nothing, whoever asked for single use."""
    refused = Refused(Reason.POLICY_DENIED)

    assert not _effects(refused, ALLOW, make_call(single_use=True), make_agent(single_use=True))


@pytest.mark.parametrize(
    ("agent", "call", "ruling", "dependency"),
    [
        ({"single_use": True}, {}, ALLOW, Dependency.REPLAY_OF_SINGLE_USE_TOKEN),
        ({}, {"single_use": True}, ALLOW, Dependency.REPLAY),
        ({}, {}, Ruling(Action.ALLOW, single_use=True), Dependency.REPLAY),
        ({"single_use": True}, {"single_use": True}, ALLOW, Dependency.REPLAY_OF_SINGLE_USE_TOKEN),
    ],
)
def test_effects_claim_the_token_when_token_route_or_ruling_says_so(
    agent: dict[str, Any], call: dict[str, Any], ruling: Ruling, dependency: Dependency
) -> None:
    """Only a token's own word makes silence a refusal for reads too."""
    found = _effects(PASSES, ruling, make_call(**call), make_agent(**agent))

    assert [claim.dependency for claim in found.claims] == [dependency]
    assert found.claims[0].until == make_agent().usable_until


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "t", "b:c"), ("a:b", "t", "c")),
        (("x", "ya", "yj"), ("xy", "a", "j")),  # the same when written one after the other
    ],
)
def test_effects_keep_issuers_tenants_and_jtis_apart(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    """Two tokens never share a key, however their names are cut."""
    keys = {
        effects(agent={"issuer": issuer, "tenant": tenant, "jti": jti, "single_use": True})
        .claims[0]
        .key
        for issuer, tenant, jti in (one, other)
    }

    assert len(keys) == 2


def test_effects_share_a_hash_tag_within_a_tenant() -> None:
    """All keys of an issuer's tenant live on one node of a cluster."""
    claim = effects(agent={"single_use": True}).claims[0]

    assert claim.key.split("}")[0] == claim.owner.split("}")[0]


def test_hash_tag_is_what_the_keys_of_a_tenant_start_with() -> None:
    """Who keeps an issuer's tenant knows all its keys by it; another tenant has another."""
    claim = effects(agent={"issuer": "i", "tenant": "t", "single_use": True}).claims[0]

    assert claim.key.startswith(f"{hash_tag('i', 't')}:jti:")
    assert claim.owner.startswith(f"{hash_tag('i', 't')}:agent:")
    assert hash_tag("i", "t") != hash_tag("it", "")


def test_every_conflict_has_its_own_reason() -> None:
    """A conflict without a row would be an error of ours at the worst moment."""
    assert set(CONFLICT_REASON) == set(Conflict)
    assert len(set(CONFLICT_REASON.values())) == len(Conflict)
    assert CONFLICT_REASON[Conflict.OVERLOADED] is Reason.OVERLOADED
