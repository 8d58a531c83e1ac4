"""What a token was minted for: the digest of its tools, and the policy of that day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.capabilities import (
    UNKNOWN,
    Capabilities,
    capability_hash,
    minted_for,
    minted_under,
)
from sidecar.core.catalogue import Catalogue, Operation, Route, ScopeTemplate
from sidecar.core.model import Access, Agent, Refused, Risk, Scope
from sidecar.core.profile import Match
from sidecar.core.reasons import Reason
from tests.gate import CATALOGUE, ORDERS, TOOLS
from tests.tokens import make_profile, reason_of
from tests.values import make_agent

READER = (Scope("read", "orders", "*"),)
ONE = (Scope("read", "orders", "o-1"),)


def with_route(route: Route) -> Catalogue:
    """The catalogue with one route more, or another of that name."""
    return replace(CATALOGUE, routes={**CATALOGUE.routes, route.name: route})


def hash_of(catalogue: Catalogue = CATALOGUE, scopes: tuple[Scope, ...] = READER) -> str:
    return capability_hash(catalogue, "acme", scopes)


def test_hash_is_the_one_on_record() -> None:
    """Issuers store it: another value for the same catalogue is a new format."""
    assert hash_of() == "Ij53k5zXVsPqBaX55fb0FMs0eGght989j022xignXCk"


def test_hash_says_nothing_of_order_and_of_scopes_that_reach_nothing() -> None:
    """What counts is what can be reached."""
    more = (Scope("admin", "nothing", "*"), *READER, *ONE)

    assert hash_of(scopes=more) == hash_of(scopes=more[::-1]) == hash_of()


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": "https://elsewhere.test"},
        {"path": ("orders", "{order}", "items")},
        {"single_use": True},
        {"operations": {"GET": Operation(ScopeTemplate("read", "orders", "o-9"))}},
        {"operations": {"GET": Operation(ORDERS.operations["GET"].scope, access=Access.WRITE)}},
        {"operations": {"GET": Operation(ORDERS.operations["GET"].scope, risk=Risk.HIGH)}},
        {"operations": {**ORDERS.operations, "HEAD": ORDERS.operations["GET"]}},
    ],
)
def test_hash_changes_when_what_the_token_reaches_does(changes: dict[str, Any]) -> None:
    """Every word of the catalogue on an operation within reach counts."""
    assert hash_of(with_route(replace(ORDERS, **changes))) != hash_of()


def test_hash_changes_when_a_tool_within_reach_joins() -> None:
    """MCP's tools and methods count as HTTP's methods do."""
    more = {"shop": {**CATALOGUE.servers["shop"], "peek": Operation(ScopeTemplate(*"ab*"))}}
    catalogue = replace(CATALOGUE, servers=more)

    assert hash_of(catalogue, (Scope("a", "b", "*"),)) != hash_of(scopes=(Scope("a", "b", "*"),))
    assert TOOLS.server in more


def test_hash_stays_when_something_out_of_reach_changes() -> None:
    """Another tool, another tenant's route: no token need be minted again for them."""
    put = Operation(ScopeTemplate("write", "orders", "o-7"))
    unreachable = replace(ORDERS, operations={**ORDERS.operations, "DELETE": put})
    foreign = replace(ORDERS, name="theirs", tenant="globex")

    assert hash_of(with_route(unreachable)) == hash_of()
    assert hash_of(with_route(foreign)) == hash_of()


def test_hash_asks_for_the_whole_of_a_scope_that_is_no_parameter() -> None:
    """Only an identifier that a path fills is reached by any of its values."""
    ping = replace(
        ORDERS, name="ping", operations={"GET": Operation(ScopeTemplate("read", "pings", "one"))}
    )
    catalogue = with_route(ping)
    nothing = hash_of(catalogue, ())

    assert hash_of(catalogue, (Scope("read", "pings", "other"),)) == nothing
    assert hash_of(catalogue, (Scope("read", "pings", "one"),)) != nothing
    assert hash_of(catalogue, (Scope("read", "pings", "*"),)) == hash_of(
        catalogue, (Scope("read", "pings", "one"),)
    )


def test_hash_is_of_the_tenant() -> None:
    """A route of one tenant is no other's tool."""
    theirs = with_route(replace(ORDERS, name="theirs", tenant="globex"))

    assert capability_hash(theirs, "globex", READER) != capability_hash(theirs, "acme", READER)


# --- minted_for --------------------------------------------------------------------------------


def compared(
    match: Match, *, revision: str = "r-1", said: str = "", tools: str = ""
) -> Agent | Any:
    """What becomes of a token that says these, under an issuer that wants both so."""
    agent = make_agent(scopes=READER, policy_version=said, capability_hash=tools)
    issuer = make_profile(policy_version=match, capability_hash=match)
    answer = minted_for(agent, issuer, revision, Capabilities(CATALOGUE))
    if isinstance(answer, Refused):
        return answer
    return minted_under(answer, issuer, revision) or answer


@pytest.mark.parametrize("match", Match)
def test_minted_for_passes_unmarked_when_both_agree(match: Match) -> None:
    """A token of today is one of today."""
    agent = compared(match, said="r-1", tools=hash_of())

    assert isinstance(agent, Agent)
    assert agent.marks == ()


def test_minted_for_refuses_when_agreement_is_required() -> None:
    """Row 4 of the mission: minted for r1, r2 is loaded; the catalogue changed."""
    stale_policy = compared(Match.REQUIRE, said="r-0", tools=hash_of())
    stale_tools = compared(Match.REQUIRE, said="r-1", tools="x" * 43)

    assert reason_of(stale_policy) is Reason.STALE_POLICY
    assert reason_of(stale_tools) is Reason.STALE_CAPABILITIES


def test_minted_for_refuses_when_a_required_word_is_missing() -> None:
    """Who leaves it out does not get around it."""
    assert reason_of(compared(Match.REQUIRE, tools=hash_of())) is Reason.STALE_POLICY
    assert reason_of(compared(Match.REQUIRE, said="r-1")) is Reason.STALE_CAPABILITIES


def test_minted_for_marks_when_told_so() -> None:
    """Both marks in their order; a token that does not say gets none."""
    agent = compared(Match.MARK, said="r-0", tools="x" * 43)

    assert agent.marks == ("stale_policy", "stale_capabilities")
    assert compared(Match.MARK).marks == ()
    assert compared(Match.OFF, said="r-0", tools="x" * 43).marks == ()


def test_minted_under_agrees_with_no_revision_that_nobody_knows() -> None:
    """No mark without a revision; where agreement is required, nobody agrees with none."""
    assert compared(Match.MARK, revision=UNKNOWN, said="r-0", tools=hash_of()).marks == ()
    for said in ("r-0", UNKNOWN, ""):
        stale = compared(Match.REQUIRE, revision=UNKNOWN, said=said, tools=hash_of())
        assert reason_of(stale) is Reason.STALE_POLICY
    assert reason_of(compared(Match.REQUIRE, revision=UNKNOWN, tools="x" * 43)) is (
        Reason.STALE_CAPABILITIES
    )
