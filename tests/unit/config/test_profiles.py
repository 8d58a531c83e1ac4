"""From an issuer's section to its profile, and what an operator is told of one that cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.config.build import Configuration, load_configuration
from sidecar.config.problem import ConfigurationError
from sidecar.config.profiles import PRESETS
from sidecar.core.delegation import Delegation
from sidecar.core.freshness import Limit
from sidecar.core.model import Access, Binding, Risk, Scope
from sidecar.core.profile import ClaimNames, Match

ROOT = Path(__file__).parents[3]
GOOD = ROOT / "tests" / "vectors" / "config_broken" / "good"
READ = Scope("read", "customers", "*")
ISSUER: dict[str, Any] = {
    "name": "other",
    "issuer": "https://other.example",
    "jwks": {"file": "keys.json"},
    "algorithms": ["ES256"],
    "tenants": ["globex"],
    "ceiling": ["read:customers:*"],
    "max_lifetime": 60,
}
CLOSED = {"when": "sidecar", "access": "read", "stance": "closed", "reason": "bound callers"}


def loaded(
    folder: Path,
    *,
    issuer: dict[str, Any] | None = None,
    route: dict[str, Any] | None = None,
    **settings: Any,
) -> Configuration:
    """The good configuration with another issuer, and with more on its first route."""
    catalogue = yaml.safe_load((GOOD / "catalogue.yaml").read_text())
    catalogue["routes"][0] |= route or {}
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(catalogue))
    data = yaml.safe_load((GOOD / "scopegate.yaml").read_text())
    data["issuers"].append(ISSUER | (issuer or {}))
    path = folder / "scopegate.yaml"
    path.write_text(yaml.safe_dump(data | settings))
    return load_configuration(path, {})


def told(folder: Path, **changes: Any) -> str:
    """What an operator reads of a configuration that cannot work."""
    with pytest.raises(ConfigurationError) as broken:
        loaded(folder, **changes)
    return str(broken.value)


NEEDED: dict[str, dict[str, Any]] = {
    "plain": {},
    "rfc9068": {},
    "agentwrit": {},
    "keycloak": {"scopes": {"customers": ["read:customers:*"]}},
    "spiffe": {
        "issuer": "spiffe://example.org",
        "grants": {"spiffe://example.org/agent": ["read:customers:*"]},
    },
    "kubernetes": {"grants": {"system:serviceaccount:a:b": ["read:customers:*"]}},
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_profile_says_what_its_issuers_tokens_look_like(name: str, tmp_path: Path) -> None:
    """Each preset arrives whole where the operator says nothing."""
    wanted = ISSUER | {"profile": name} | NEEDED[name]
    profile = loaded(tmp_path, issuer=wanted).issuers[wanted["issuer"]]
    preset = PRESETS[name]

    assert (profile.types, profile.claims) == (preset.types, preset.claims)
    assert (profile.required, profile.delegation) == (preset.required, preset.delegation)
    assert (profile.key_uses, profile.plain_header) == (preset.key_uses, preset.plain_header)


def test_every_key_of_an_issuer_is_stronger_than_its_profile(tmp_path: Path) -> None:
    """What the operator says arrives, and nothing else changes."""
    said = {
        "profile": "rfc9068",
        "types": ["JWT"],
        "claims": {"agent": "/client/name", "task": ""},
        "required": ["client_id"],
        "audience": "optional",
        "single_audience": True,
        "trust_domain": "spiffe://globex.example",
        "scopes": {"customers.read": ["read:customers:42", "read:customers:43"]},
        "delegation": ["delegation_chain"],
        "actor_issuers": ["https://issuer.example"],
        "max_depth": 2,
        "bind": ["certificate", "spiffe"],
        "policy_version": "require",
        "capability_hash": "off",
    }
    found = loaded(tmp_path, issuer=said, route={"outages": [CLOSED]}).issuers[ISSUER["issuer"]]

    assert found.types == frozenset({"jwt"})
    assert found.claims == ClaimNames(agent="/client/name", task="")
    assert found.required == frozenset({"client_id"})
    assert (found.audience_optional, found.single_audience) == (True, True)
    assert (found.trust_domain, found.issuer_optional) == ("spiffe://globex.example", False)
    words = (Scope("read", "customers", "42"), Scope("read", "customers", "43"))
    assert found.scope_words == {"customers.read": words}
    assert found.grants is None
    assert (found.delegation, found.max_depth) == (frozenset({Delegation.CHAIN}), 2)
    assert found.actor_issuers == frozenset({"https://issuer.example"})
    assert found.bind == frozenset({Binding.CERTIFICATE, Binding.SPIFFE})
    assert (found.policy_version, found.capability_hash) == (Match.REQUIRE, Match.OFF)


def test_a_trust_domain_is_an_issuer_of_tokens_without_iss(tmp_path: Path) -> None:
    """Its subjects are in it, and its name is the issuer's."""
    issuer = {"profile": "spiffe"} | NEEDED["spiffe"]
    found = loaded(tmp_path, issuer=issuer).issuers["spiffe://example.org"]

    assert found.issuer_optional
    assert found.trust_domain == "spiffe://example.org"
    assert found.grants == {"spiffe://example.org/agent": (READ,)}


def test_limits_tenants_and_callers_arrive(tmp_path: Path) -> None:
    """The sections on who calls and how old a token may be reach the core's values."""
    made = loaded(
        tmp_path,
        route={
            "bind": ["spiffe"],
            "session_header": "x-cart",
            "credentials": ["cookie"],
            "operations": {"GET": {"scope": "read:customers:*", "risk": "interactive"}},
        },
        lifetimes={"write": {"max_age": 60}, "high": {"max_age": 30, "max_lifetime": 40}},
        tenants={"globex": {"bind": ["certificate"]}},
        callers={"trusted_hops": ["spiffe://example.org/gateway"]},
        dpop={"origins": ["https://tools.example"], "max_age": 30, "leeway": 1},
    )
    limits, callers = made.settings.lifetimes.limits(), made.callers
    route = made.catalogue.routes["customers"]

    assert limits.by_access[Access.WRITE] == Limit(max_age=60)
    assert limits.by_risk[Risk.HIGH] == Limit(30, 40)
    assert limits.by_risk[Risk.INTERACTIVE] == Limit(max_age=900)
    assert callers.tenants == {"globex": frozenset({Binding.CERTIFICATE})}
    assert callers.trusted_hops == frozenset({"spiffe://example.org/gateway"})
    assert callers.dpop.origins == frozenset({"https://tools.example"})
    assert (callers.dpop.max_age, callers.dpop.leeway) == (30, 1)
    assert (route.bind, route.session_header) == (frozenset({Binding.SPIFFE}), "x-cart")
    assert route.credentials == frozenset({"cookie"})
    assert route.operations["GET"].risk is Risk.INTERACTIVE


def test_a_limit_of_high_risk_keeps_its_other_half_when_one_is_given(tmp_path: Path) -> None:
    """Who makes an operation stricter does not make it laxer."""
    limits = loaded(tmp_path, lifetimes={"high": {"max_age": 60}}).settings.lifetimes.limits()

    assert limits.by_risk[Risk.HIGH] == Limit(60, 300)


def test_every_route_pins_its_session_unless_told_otherwise(tmp_path: Path) -> None:
    """An agent must not ride another's session, by whichever way to the same tool."""
    routes = loaded(tmp_path, route={"session_header": "off"}).catalogue.routes

    assert routes["payments"].session_header == "mcp-session-id"
    assert routes["customers"].session_header == ""
    assert loaded(tmp_path).catalogue.routes["customers"].session_header == "mcp-session-id"


@pytest.mark.parametrize("name", ["authorization", "cookie", "dpop", "X-Cart"])
def test_a_session_is_named_by_no_credential(name: str, tmp_path: Path) -> None:
    """It would reach the tool as a session, and it would be kept as one."""
    assert "none that holds a credential" in told(tmp_path, route={"session_header": name})


@pytest.mark.parametrize(
    ("issuer", "where", "text"),
    [
        ({"profile": "okta"}, "profile", "must be"),
        ({"profile": "spiffe", "trust_domain": "spiffe://a.b"}, "grants", "carry no scopes"),
        (
            {"profile": "spiffe", "grants": {"s": ["read:customers:*"]}},
            "trust_domain",
            "is no trust domain",
        ),
        (
            {"profile": "spiffe", "algorithms": ["EdDSA"]} | {"trust_domain": "spiffe://a.b"},
            "algorithms",
            "must not hold EdDSA",
        ),
        ({"profile": "kubernetes"}, "grants", "is required"),
        ({"profile": "keycloak"}, "scopes", "words of its own"),
        ({"profile": "agentwrit", "tenants": ["globex", "acme"]}, "tenants", "must be one"),
        ({"claims": {"tenant": ""}, "tenants": ["globex", "acme"]}, "tenants", "must be one"),
        ({"claims": {"agent": "a b"}}, "claims.agent", "JSON pointer"),
        ({"scopes": {"w": ["admin:customers:1"]}}, "scopes.w", "above the ceiling"),
        ({"grants": {"s": ["admin:customers:1"]}}, "grants.s", "above the ceiling"),
        (
            {"scopes": {"w": ["read:customers:*"]}, "grants": {"s": ["read:customers:*"]}},
            "scopes",
            "one place",
        ),
        ({"trust_domain": "example.org"}, "trust_domain", "spiffe://example.org"),
        ({"max_depth": 6}, "max_depth", "5"),
        ({"max_depth": 0}, "max_depth", "1"),
        ({"delegation": ["impersonation"]}, "delegation[0]", "act"),
        ({"bind": ["token_binding"]}, "bind[0]", "certificate"),
        ({"policy_version": "maybe"}, "policy_version", "must be"),
        ({"audience": "any"}, "audience", "must be"),
        ({"issuer": "spiffe://example.org/path"}, "issuer", "whole trust domain"),
        ({"issuer": "spiffe://Example.org"}, "issuer", "whole trust domain"),
        ({"actor_issuers": ["https://nobody.example"]}, "actor_issuers", "no other trusted issuer"),
        ({"actor_issuers": ["https://other.example"]}, "actor_issuers", "no other trusted issuer"),
        (
            {"actor_issuers": ["https://issuer.example"], "tenants": ["globex", "initech"]},
            "actor_issuers",
            "the same tenants",
        ),
        ({"bind": ["dpop"]}, "bind", "dpop.origins"),
        ({"jwks": {"url": "https://a.b/k", "discovery": "https://a.b/d"}}, "jwks", "only one"),
        ({"jwks": {"discovery": "http://a.b/d"}}, "jwks.discovery", "https"),
        ({"jwks": {"file": "k.json", "ca": "ca.pem"}}, "jwks.ca", "not for a file"),
        ({"jwks": {"file": "k.json", "token_file": "t"}}, "jwks.token_file", "not for a file"),
        ({"jwks": {"url": "https://a.b/k", "hosts": ["c.d"]}}, "jwks.hosts", "for discovery"),
        ({"jwks": {"discovery": "https://a.b/d", "hosts": ["C.d"]}}, "jwks.hosts", "lower case"),
    ],
)
def test_an_issuer_that_cannot_work_is_told_at_its_line(
    issuer: dict[str, Any], where: str, text: str, tmp_path: Path
) -> None:
    """File, line and field, and what to do about it."""
    said = told(tmp_path, issuer=issuer)

    assert f"issuers[1].{where}" in said
    assert text in said
    assert "scopegate.yaml:" in said


@pytest.mark.parametrize(
    ("settings", "where", "text"),
    [
        ({"tenants": {"nobody": {"bind": ["dpop"]}}}, "tenants.nobody", "no issuer may speak for"),
        ({"tenants": {"globex": {"bind": []}}}, "tenants.globex.bind", "must not be empty"),
        ({"tenants": {"globex": {"bind": ["spiffe"]}}}, "tenants.globex.bind", "open lane"),
        ({"tenants": {"globex": {"bind": ["dpop"]}}}, "tenants.globex.bind", "dpop.origins"),
        ({"callers": {"trusted_hops": ["gateway"]}}, "callers.trusted_hops", "SPIFFE id"),
        ({"dpop": {"origins": ["https://a.b:443"]}}, "dpop.origins", "must be written https://a.b"),
        ({"dpop": {"origins": ["https://a.b/c"]}}, "dpop.origins", "must be an origin"),
        ({"dpop": {"leeway": 6}}, "dpop.leeway", "largest leeway of any issuer"),
        ({"dpop": {"max_age": 0}}, "dpop.max_age", "more than 0"),
        ({"lifetimes": {"high": {"max_age": 0}}}, "lifetimes.high.max_age", "more than 0"),
        ({"lifetimes": {"hihg": {}}}, "lifetimes.hihg", "did you mean"),
        ({"policy_headers": ["x-authz-marks"]}, "policy_headers", "scopegate's own"),
        ({"keys": {"max_skew": 0}}, "keys.max_skew", "or off"),
    ],
)
def test_a_section_that_cannot_work_is_told_at_its_line(
    settings: dict[str, Any], where: str, text: str, tmp_path: Path
) -> None:
    """The same for the sections beside the issuers."""
    said = told(tmp_path, **settings)

    assert where in said
    assert text in said


def test_a_bound_issuer_is_refused_while_a_route_has_an_open_lane(tmp_path: Path) -> None:
    """Once the sidecar is dead nobody compares a certificate: the lane would give it up."""
    bound = {"bind": ["certificate"]}

    assert "open lane of route 'customers'" in told(tmp_path, issuer=bound)
    loaded(tmp_path, issuer=bound, route={"outages": [CLOSED]})
    loaded(tmp_path, issuer=bound, route={"bind": ["spiffe"]})


def test_proofs_may_be_as_far_ahead_as_tokens_when_nothing_is_said(tmp_path: Path) -> None:
    """A ledger that began anew looks back so far and no further."""
    assert loaded(tmp_path, issuer={"leeway": 7}).callers.dpop.leeway == 7


def test_max_skew_can_be_off(tmp_path: Path) -> None:
    """An issuer behind a cache that lies about the time can be lived with, knowingly."""
    assert loaded(tmp_path, keys={"max_skew": "off"}).settings.keys.max_skew is None
    assert loaded(tmp_path).settings.keys.max_skew == 5
