"""What the settings take for granted of Envoy, in the configurations that are shipped."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.build import load_configuration
from sidecar.config.grammar import HEADER_FAMILIES
from sidecar.config.yaml_source import read_yaml
from sidecar.core.access import http_access
from sidecar.core.catalogue import Catalogue
from sidecar.core.jws import _REFUSED_HEADERS
from sidecar.core.lanes import Lane, accepted_marker, lane_digest, lanes_of, markers_of
from sidecar.core.model import Access, Dependency, Stance, StanceException
from sidecar.core.profile import IssuerProfile
from sidecar.core.scope import parse_scope
from sidecar.core.signature import ALGORITHMS
from sidecar.core.stance import stance_of
from sidecar.core.verify import _OF_OTHER_TOKENS
from tests.strict_rules import NO, filter_in, regexes_in, rules_in

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "examples" / "demo" / "scopegate.yaml"
ENVOY = ROOT / "envoy" / "envoy.yaml"
K8S = ROOT / "k8s" / "config"
WITHOUT_OPA = {"SCOPEGATE__POLICY": '{"engine": "embedded", "opa": null, "paths": ["."]}'}
"""The token that OPA wants is in the cluster; lanes do not depend on it."""

DEPLOYMENTS = pytest.mark.parametrize(
    ("settings", "envoy"),
    [(DEMO, ENVOY), (K8S / "scopegate.yaml", K8S / "envoy.yaml")],
    ids=["demo", "k8s"],
)


def members(value: Any, name: str) -> Iterator[Any]:
    """Every value under this name, at any depth, in the order of the file."""
    if isinstance(value, dict):
        for key, member in value.items():
            if key == name:
                yield member
            yield from members(member, name)
    elif isinstance(value, list):
        for item in value:
            yield from members(item, name)


@DEPLOYMENTS
def test_envoy_sends_the_bodies_that_the_sidecar_has_room_for(settings: Path, envoy: Path) -> None:
    """Both lanes bound a body as ``limits.body_bytes`` does."""
    limit = load_configuration(settings, WITHOUT_OPA).settings.limits.body_bytes
    sent = list(members(read_yaml(envoy, envoy.name).data, "max_request_bytes"))

    assert sent == [limit, limit]


@DEPLOYMENTS
def test_envoy_takes_our_header_families_from_clients_first(settings: Path, envoy: Path) -> None:
    """Before any lane, open or closed, and by prefix: so no name of ours is left out."""
    del settings
    (filters,) = members(read_yaml(envoy, envoy.name).data, "http_filters")
    removed = [one["prefix"] for one in members(filters[0], "key_matcher")]

    assert set(HEADER_FAMILIES) <= set(removed)


def lanes_in(envoy: Path) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """What each lane of Envoy's routes says of itself, and the route's filters, in file order."""
    (config,) = members(read_yaml(envoy, envoy.name).data, "route_config")
    per_route = members(config, "typed_per_filter_config")
    return [(next(members(filters, "context_extensions")), filters) for filters in per_route]


def catalogue_of(settings: Path) -> Catalogue:
    return load_configuration(settings, WITHOUT_OPA).catalogue


@DEPLOYMENTS
def test_envoy_sends_each_lane_of_the_catalogue_and_its_marker(settings: Path, envoy: Path) -> None:
    """No lane is missing, none is too many, and every marker is one that the sidecar accepts."""
    catalogue, sent = catalogue_of(settings), [said for said, _ in lanes_in(envoy)]

    assert sorted((one["route"], one["lane"]) for one in sent) == sorted(
        (route.name, lane.value) for route in catalogue.routes.values() for lane in lanes_of(route)
    )
    assert {
        accepted_marker(one["route"], Lane(one["lane"]), one["marker"]) for one in sent
    } == markers_of(catalogue)


@DEPLOYMENTS
def test_envoy_opens_what_the_stance_opens(settings: Path, envoy: Path) -> None:
    """From the table itself: an open lane, guarded, is for a route with reads that may pass."""
    routes = catalogue_of(settings).routes
    opened = {said["route"] for said, filters in lanes_in(envoy) if "open" in filters}
    reads = {
        route.name
        for route in routes.values()
        for method, one in route.operations.items()
        if method == "GET"
        and stance_of(Dependency.SIDECAR, http_access(route, one, method), route.outages, 0.0)
        is Stance.OPEN
    }
    given_up = {one.name for one in routes.values() if one.tenant or one.single_use}

    assert opened == reads - given_up
    assert opened
    for said, filters in lanes_in(envoy):
        opens = said["lane"] == "open"
        assert ("guard" in filters) is ("strict" in filters) is ("open" in filters) is opens, said


@DEPLOYMENTS
def test_envoy_is_found_out_when_an_exception_closed_a_lane(settings: Path, envoy: Path) -> None:
    """As it stands it would open the lane: the sidecar accepts no marker of that route any more.

    Those of every other route, and of a route whose exceptions are the sidecar's own, stay.
    """
    catalogue = catalogue_of(settings)
    no_lane = StanceException(Dependency.SIDECAR, Access.READ, Stance.CLOSED, None, "why")
    no_policy = StanceException(Dependency.POLICY, Access.READ, Stance.CLOSED, None, "why")
    changed = {
        "search": replace(catalogue.routes["search"], outages=(no_lane,)),
        "customers": replace(catalogue.routes["customers"], outages=(no_policy,)),
    }
    after = markers_of(replace(catalogue, routes={**catalogue.routes, **changed}))
    sent = {
        accepted_marker(one["route"], Lane(one["lane"]), one["marker"])
        for one, _ in lanes_in(envoy)
    }

    assert {marker.split("/")[0] for marker in sent - after} == {"search"}
    assert after - sent == {
        accepted_marker("search", Lane.CLOSED, lane_digest(changed["search"], Lane.CLOSED))
    }


# --- strict --------------------------------------------------------------------------------------


def strict_in(envoy: Path) -> dict[str, Any]:
    """Each rule by its name."""
    rules = rules_in(read_yaml(envoy, envoy.name).data)
    return {name: rule for name, (_, rule) in rules.items()}


def profile_of(settings: Path) -> IssuerProfile:
    (profile,) = load_configuration(settings, WITHOUT_OPA).issuers.values()
    return profile


@DEPLOYMENTS
def test_envoy_alone_lets_nothing_pass_unless_a_policy_says_so(settings: Path, envoy: Path) -> None:
    """Scopegate's own judgement, or the plain form; nobody is excepted."""
    del settings
    rules = filter_in(read_yaml(envoy, envoy.name).data)["rules"]
    (judged,) = rules["policies"]["judged"]["permissions"]
    matcher = judged["sourced_metadata"]["metadata_matcher"]

    assert (rules["action"], set(rules["policies"])) == ("ALLOW", {"judged", "plain"})
    assert matcher == {
        "filter": "envoy.filters.http.ext_authz",
        "path": [{"key": "decision_id"}],
        "value": {"present_match": True},
    }


@DEPLOYMENTS
def test_envoy_alone_refuses_each_member_that_the_sidecar_would(
    settings: Path, envoy: Path
) -> None:
    """What no token may have, and what only the sidecar can judge."""
    judged = {"cnf", "act", "may_act", "delegation_chain", "chain_hash", "status"}
    refused = {name.removeprefix(NO) for name in strict_in(envoy) if name.startswith(NO)}
    scope = f"claims.{profile_of(settings).claims.scope}"

    assert refused - {"claims.aud", scope} == (
        {f"header.{name}" for name in _REFUSED_HEADERS}
        | {f"claims.{name}" for name in _OF_OTHER_TOKENS | judged}
    )


@DEPLOYMENTS
def test_envoy_alone_takes_the_tokens_of_the_issuers_profile(settings: Path, envoy: Path) -> None:
    """Its algorithms, types and tenants, the claims that it requires, and its names for claims."""
    rules, profile = strict_in(envoy), profile_of(settings)
    names = profile.claims
    (algorithms,), (types,) = regexes_in(rules["header.alg"]), regexes_in(rules["header.typ"])
    (tenants,) = regexes_in(rules[f"claims.{names.tenant}"])
    kinds = ("jwt", "at+jwt", "dpop+jwt", "wit+jwt", "secevent+jwt", "")

    assert {one for one in ALGORITHMS if re.fullmatch(algorithms, one)} == profile.algorithms
    for spelt in ("{}", "application/{}"):
        taken = {one for one in kinds if re.fullmatch(types, spelt.format(one).upper())}
        assert taken == profile.types
    assert set(tenants.split("|")) == profile.tenants
    for name in ("sub", "iat", *profile.required, names.agent, names.scope, names.single_use):
        assert f"claims.{name}" in rules


@DEPLOYMENTS
def test_envoy_alone_reads_scopes_as_the_sidecar_does(settings: Path, envoy: Path) -> None:
    """A list has a good one and no bad one; the two expressions are each other's opposite."""
    name = f"claims.{profile_of(settings).claims.scope}"
    rules = strict_in(envoy)
    text, good = (re.compile(one, re.ASCII) for one in regexes_in(rules[name]))
    (bad,) = (re.compile(one, re.ASCII) for one in regexes_in(rules[NO + name]))

    for length in range(8):
        for letters in itertools.product('a:*"\n', repeat=length):
            scope = "".join(letters)
            well_formed = parse_scope(scope) is not None
            assert bool(good.fullmatch(scope)) is well_formed is not bool(bad.fullmatch(scope))
            assert bool(text.fullmatch(f"r:s:t {scope}")) is well_formed
    for letter in map(chr, (*range(256), 0x20AC)):
        for scope in (f"{letter}:a:a", f"a:a:b{letter}"):
            assert (parse_scope(scope) is None) is bool(bad.fullmatch(scope))
