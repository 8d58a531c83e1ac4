"""The routes of ``envoy/envoy.yaml`` say what the catalogue says: names, paths, lanes, markers."""

from __future__ import annotations

import re
from typing import Any

import pytest
from envoy_data_plane.envoy.config.route.v3 import Route as EnvoyRoute

from sidecar.config.build import Configuration
from sidecar.core.access import _METHOD_OVERRIDES, http_access
from sidecar.core.catalogue import Route
from sidecar.core.lanes import Lane, lane_digest, lanes_of, may_be_open
from sidecar.core.model import Access
from tests.e2e.envoy_file import EnvoyFile, extensions_on, lanes_on

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")


def test_every_forwarding_route_has_one_lane(file: EnvoyFile) -> None:
    """Two would ask twice; none would pass unchecked."""
    assert [len(lanes_on(route)) for route in file.forwarding] == [1] * len(file.forwarding)


def test_guard_and_strict_stand_around_the_open_lane_and_only_there(file: EnvoyFile) -> None:
    """No guard, no open lane; elsewhere refusals are scopegate's."""
    for route in file.forwarding:
        guarded = "guard" in route.typed_per_filter_config
        assert guarded is (lanes_on(route) == ["open"]), route.name
        assert guarded is ("strict" in route.typed_per_filter_config), route.name
        if guarded:
            setting: Any = route.typed_per_filter_config["guard"].unpack()
            assert setting.requirement_name in file.filters["guard"].requirement_map


def test_catch_all_answers_itself(file: EnvoyFile) -> None:
    """What no route names goes nowhere."""
    last = file.host.routes[-1]

    assert last.match.prefix == "/"
    assert last.direct_response.status == 404
    assert last.route is None


def test_envoy_and_catalogue_name_the_same_routes_and_lanes(
    file: EnvoyFile, configuration: Configuration
) -> None:
    """A route whose reads may pass has both lanes, every other the closed one."""
    in_envoy: dict[str, set[str]] = {}
    for route in file.forwarding:
        said = extensions_on(route)
        in_envoy.setdefault(said["route"], set()).add(said["lane"])
        assert [said["lane"]] == lanes_on(route)

    assert in_envoy == {
        name: {lane.value for lane in lanes_of(route)}
        for name, route in configuration.catalogue.routes.items()
    }


def test_markers_are_the_catalogues(file: EnvoyFile, configuration: Configuration) -> None:
    """Otherwise the sidecar refuses every check of the route."""
    for envoy_route in file.forwarding:
        said = extensions_on(envoy_route)
        route = configuration.catalogue.routes[said["route"]]

        assert said == {
            "route": route.name,
            "lane": said["lane"],
            "rewrite": route.rewrite.value,
            "marker": lane_digest(route, Lane(said["lane"])),
        }


def test_methods_take_the_lane_that_the_stance_gives_them(
    file: EnvoyFile, configuration: Configuration
) -> None:
    """Method by method: open where ``may_be_open`` says so, closed otherwise."""
    for name, route in configuration.catalogue.routes.items():
        lanes = {method: _lane_of(file, method, _path_of(route)) for method in METHODS}

        assert lanes == {
            method: "open" if may_be_open(route, method) else "closed" for method in METHODS
        }, name


def test_sensitive_reads_take_the_closed_lane(
    file: EnvoyFile, configuration: Configuration
) -> None:
    """There is such a route, and no table in between can lose it."""
    sensitive = [
        route
        for route in configuration.catalogue.routes.values()
        if any(
            http_access(route, operation, method) is Access.SENSITIVE
            for method, operation in route.operations.items()
        )
    ]

    assert sensitive
    assert {_lane_of(file, "GET", _path_of(route)) for route in sensitive} == {"closed"}


@pytest.mark.parametrize(
    "query",
    [
        "_method=DELETE", "a=1&_method=DELETE", "_METHOD=DELETE", "%5Fmethod=DELETE",
        "a=1&%5f%6dethod=PUT", "query=mutation{pay}", "a=1&query=%7Bpay%7D", "%71uery={pay}",
    ],
)  # fmt: skip
def test_disguised_writes_take_the_closed_lane(file: EnvoyFile, query: str) -> None:
    """A GET that a framework may take for another method waits for scopegate."""
    assert _lane_of(file, "GET", f"/search?{query}") == "closed"


@pytest.mark.parametrize("name", sorted(_METHOD_OVERRIDES))
def test_method_overrides_take_the_closed_lane(file: EnvoyFile, name: str) -> None:
    """Every name that scopegate knows: as query or path parameter, in any case, encoded."""
    encoded = f"%{ord(name[-1]):02x}".join((name[:-1], ""))
    spelt = (name, name.upper(), name.title(), encoded)
    queries = [f"{before}{one}=DELETE" for one in spelt for before in ("", "a=1&", "a=1;")]
    targets = [f"{path}?{query}" for path in ("/customers/7", "/search") for query in queries]
    targets.append(f"/customers/7;{name}=DELETE")

    assert {target: _lane_of(file, "GET", target) for target in targets} == dict.fromkeys(
        targets, "closed"
    )


@pytest.mark.parametrize(
    "target",
    [
        "/customers/7;a=1", "/customers/7?a=1;b=2", "/customers/graphql", "/customers/GraphQL",
        "/search?access_token=x", "/search?a=1&Access_Token=x", "/search?access%5Ftoken=x",
    ],
)  # fmt: skip
def test_what_scopegate_would_refuse_or_call_a_write_takes_the_closed_lane(
    file: EnvoyFile, target: str
) -> None:
    """Path parameters, GraphQL's usual path, a second token."""
    assert _lane_of(file, "GET", target) == "closed"


@pytest.mark.parametrize("query", ["q=shoes", "q=a%20b&email=ann%40example.com", "query=mutation"])
def test_ordinary_queries_take_the_open_lane(file: EnvoyFile, query: str) -> None:
    """Encoded values and common names are no disguise."""
    assert _lane_of(file, "GET", f"/search?{query}") == "open"


def test_routes_match_their_own_paths_only(file: EnvoyFile, configuration: Configuration) -> None:
    """A longer path would pass the open lane of a dead sidecar under another route's name."""
    for route in configuration.catalogue.routes.values():
        path = _path_of(route)

        assert _first(file, "GET", path) is not file.host.routes[-1]
        for other in (path + "/more", "/more" + path, path + "x/../y"):
            assert _first(file, "GET", other) is file.host.routes[-1], other


def test_tokens_end_at_envoy_unless_a_route_forwards_them(
    file: EnvoyFile, configuration: Configuration
) -> None:
    """The router removes them, so that a dead sidecar hands none to the tool."""
    for envoy_route in file.forwarding:
        route = configuration.catalogue.routes[extensions_on(envoy_route)["route"]]
        removed = (*file.host.request_headers_to_remove, *envoy_route.request_headers_to_remove)

        assert ("authorization" in removed) is not route.forward_token


def _path_of(route: Route) -> str:
    return "/" + "/".join("x1" if part.startswith("{") else part for part in route.path)


def _lane_of(file: EnvoyFile, method: str, target: str) -> str:
    (lane,) = lanes_on(_first(file, method, target))
    return lane


def _first(file: EnvoyFile, method: str, target: str) -> EnvoyRoute:
    """The route that Envoy takes: the first whose path and headers match."""
    found: EnvoyRoute = next(
        route for route in file.host.routes if _matches(route.match, method, target)
    )
    return found


def _matches(match: Any, method: str, target: str) -> bool:
    path = target.partition("?")[0]
    if match.safe_regex is not None:
        fits = re.fullmatch(match.safe_regex.regex, path) is not None
    else:
        fits = path == match.path if match.path is not None else path.startswith(match.prefix)
    pseudo = {":method": method, ":path": target}
    return fits and all(
        _says(header.string_match, pseudo[header.name]) is not header.invert_match
        for header in match.headers
    )


def _says(matcher: Any, value: str) -> bool:
    if matcher.safe_regex is not None:
        return re.fullmatch(matcher.safe_regex.regex, value) is not None
    wanted: str = matcher.contains
    return wanted.lower() in value.lower() if matcher.ignore_case else wanted in value
