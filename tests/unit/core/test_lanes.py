"""(1) Which requests pass when the sidecar is dead, and how Envoy proves that it agrees."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.catalogue import Catalogue, Route
from sidecar.core.lanes import (
    Lane,
    accepted_marker,
    lane_digest,
    lanes_of,
    markers_of,
    may_be_open,
)
from sidecar.core.model import (
    Access,
    Dependency,
    Protocol,
    Rewrite,
    Stance,
    StanceException,
)
from tests.requests import make_catalogue, make_mcp_route, make_operation, make_route

NO_LANE = StanceException(Dependency.SIDECAR, Access.READ, Stance.CLOSED, None, "feeds a payment")
OTHERS = (
    StanceException(Dependency.POLICY, Access.READ, Stance.CLOSED, None, "why"),
    StanceException(Dependency.DENY_LIST, Access.READ, Stance.CLOSED, 2e9),
    StanceException(Dependency.POLICY, Access.SENSITIVE, Stance.OPEN, 2e9),
)


@pytest.mark.parametrize(
    ("route", "method", "is_open"),
    [
        pytest.param(make_route(), "GET", True, id="read"),
        pytest.param(make_route(), "HEAD", True, id="HEAD of a read"),
        pytest.param(make_route(), "POST", False, id="write"),
        pytest.param(make_route(), "DELETE", False, id="another write"),
        pytest.param(make_route(), "PUT", False, id="not offered"),
        pytest.param(make_route(), "get", False, id="another case"),
        pytest.param(make_route(operations={}), "GET", False, id="nothing offered"),
        pytest.param(
            make_route(operations={"POST": make_operation(access=Access.READ)}),
            "POST",
            False,
            id="read by POST",
        ),
        pytest.param(
            make_route(operations={"OPTIONS": make_operation()}), "OPTIONS", False, id="OPTIONS"
        ),
        pytest.param(make_route(access=Access.READ), "GET", True, id="floor that changes nothing"),
        pytest.param(make_route(access=Access.SENSITIVE), "GET", False, id="sensitive route"),
        pytest.param(make_route(access=Access.WRITE), "GET", False, id="route of writes"),
        pytest.param(make_route(single_use=True), "GET", False, id="single-use route"),
        pytest.param(make_route(tenant="acme"), "GET", False, id="route of one tenant"),
        pytest.param(
            make_route(operations={"GET": make_operation(access=Access.SENSITIVE)}),
            "GET",
            False,
            id="sensitive operation",
        ),
        pytest.param(
            make_route(operations={"GET": make_operation(access=Access.WRITE)}),
            "HEAD",
            False,
            id="HEAD of a GET that writes",
        ),
        pytest.param(
            make_route(operations={"GET": make_operation(single_use=True)}),
            "GET",
            False,
            id="single-use operation",
        ),
        pytest.param(
            make_route(path=("{id}", "GraphQL")), "GET", False, id="GraphQL, which writes by GET"
        ),
        pytest.param(make_route(outages=(NO_LANE,)), "GET", False, id="lane closed by exception"),
        pytest.param(make_route(outages=(*OTHERS, NO_LANE)), "HEAD", False, id="HEAD likewise"),
        pytest.param(make_route(outages=OTHERS), "GET", True, id="exceptions for other parts"),
        pytest.param(
            make_route(access=Access.SENSITIVE, outages=OTHERS), "GET", False, id="opened elsewhere"
        ),
        pytest.param(make_mcp_route(), "GET", False, id="MCP"),
        pytest.param(make_mcp_route(), "POST", False, id="MCP's POST"),
    ],
)
def test_open_lane_is_for_plain_reads_only(
    route: Route,
    method: str,
    is_open: bool,  # noqa: FBT001 - a row of a table
) -> None:
    """What passes without us is a GET or HEAD that the stance table lets pass, and nothing else."""
    assert may_be_open(route, method) is is_open


@pytest.mark.parametrize(
    ("route", "lanes"),
    [
        (make_route(), (Lane.OPEN, Lane.CLOSED)),
        (make_route(operations={"POST": make_operation()}), (Lane.CLOSED,)),
        (make_route(access=Access.SENSITIVE), (Lane.CLOSED,)),
        (make_mcp_route(), (Lane.CLOSED,)),
        (make_route(outages=(NO_LANE,)), (Lane.CLOSED,)),
        (make_route(outages=OTHERS), (Lane.OPEN, Lane.CLOSED)),
    ],
)
def test_route_has_an_open_lane_when_a_method_may_use_it(
    route: Route, lanes: tuple[Lane, ...]
) -> None:
    """Envoy is never told of an open lane that nothing may use."""
    assert lanes_of(route) == lanes


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"access": Access.SENSITIVE},
        {"access": Access.READ},
        {"single_use": True},
        {"rewrite": Rewrite.TRANSFORM},
        {"forward_token": True},
        {"audience": "https://other.example"},
        {"tenant": "acme"},
        {"tenant": "null"},
        {"tenant": ""},
        {"protocol": Protocol.MCP, "operations": {}, "server": "crm"},
        {"outages": (NO_LANE,)},
    ],
)
@pytest.mark.parametrize("lane", list(Lane))
def test_digest_changes_with_each_field_of_the_lane(lane: Lane, change: dict[str, Any]) -> None:
    """An Envoy that was generated before the change is found out."""
    assert lane_digest(make_route(), lane) != lane_digest(replace(make_route(), **change), lane)


def test_digest_differs_between_lanes() -> None:
    """A marker of the closed lane is none of the open one."""
    assert lane_digest(make_route(), Lane.OPEN) != lane_digest(make_route(), Lane.CLOSED)


def test_digest_keeps_its_fields_apart() -> None:
    """Text cannot move from one field into the next."""
    one = make_route(audience="a", tenant='b","x":"')
    other = make_route(audience='a","tenant":"b', tenant='x":"')

    assert lane_digest(one, Lane.OPEN) != lane_digest(other, Lane.OPEN)


def test_digest_stays_what_running_envoys_send() -> None:
    """Whoever changes the digest's form raises its format: every Envoy must be set up again."""
    assert lane_digest(make_route(), Lane.OPEN) == "689a810cb79e0892"


@pytest.mark.parametrize("lane", list(Lane))
def test_digest_stays_when_no_lane_changes(lane: Lane) -> None:
    """What only the sidecar does is no reason to set up Envoy again; nor is another wording."""
    reworded = replace(NO_LANE, reason="feeds two payments")
    closed = lane_digest(make_route(outages=(NO_LANE,)), lane)

    assert lane_digest(make_route(outages=OTHERS), lane) == lane_digest(make_route(), lane)
    assert lane_digest(make_route(outages=(*OTHERS, reworded)), lane) == closed


def test_an_envoy_with_an_open_lane_is_refused_when_the_lane_was_closed() -> None:
    """None of the markers that it sends for the route is accepted any more."""
    before, after = make_route(), make_route(outages=(NO_LANE,))

    assert markers_of(make_catalogue(before)).isdisjoint(markers_of(make_catalogue(after)))
    assert len(markers_of(make_catalogue(after))) == 1


def test_markers_are_those_of_every_lane() -> None:
    """Each route is accepted in its own lanes, each with its own digest."""
    data, tools = make_route(), make_mcp_route()

    assert markers_of(make_catalogue(data, tools)) == {
        f"data/open/{lane_digest(data, Lane.OPEN)}",
        f"data/closed/{lane_digest(data, Lane.CLOSED)}",
        f"tools/closed/{lane_digest(tools, Lane.CLOSED)}",
    }


def test_markers_keep_routes_apart_when_names_hold_slashes() -> None:
    """A route's name cannot make its marker another route's."""
    forms = {
        accepted_marker(route, lane, digest)
        for route in ("a", "a/open", "a/open/0", "a/closed/0")
        for lane in Lane
        for digest in ("0", "1")
    }

    assert len(forms) == 16


def test_markers_are_none_when_the_catalogue_is_empty() -> None:
    """Nothing is accepted from nothing."""
    assert markers_of(Catalogue({}, {}, {})) == frozenset()
