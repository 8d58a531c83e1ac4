"""From files to the values of the core."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config.build import Configuration, load_configuration
from sidecar.config.problem import ConfigurationError
from sidecar.core.catalogue import Operation, ScopeTemplate
from sidecar.core.delegation import Delegation
from sidecar.core.lanes import may_be_open
from sidecar.core.model import Access, Protocol, Rewrite, Scope
from sidecar.core.profile import ClaimNames, IssuerProfile
from sidecar.core.settle import Outgoing

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "examples" / "demo" / "scopegate.yaml"
GOOD = ROOT / "tests" / "vectors" / "config_broken" / "good"


@pytest.fixture(scope="module")
def demo() -> Configuration:
    return load_configuration(DEMO, {})


def write(folder: Path, settings: str = "", **catalogue: str) -> Path:
    """The good configuration with more settings, and with parts of its catalogue replaced."""
    text = (GOOD / "catalogue.yaml").read_text()
    for old, new in catalogue.items():
        text = text.replace(f"{old}:", new, 1)
    (folder / "catalogue.yaml").write_text(text)
    path = folder / "scopegate.yaml"
    path.write_text((GOOD / "scopegate.yaml").read_text() + settings)
    return path


def test_the_demo_offers_what_it_shows(demo: Configuration) -> None:
    """The demo's routes and tools are there under their names."""
    names = {"customers", "records", "exports", "search", "payments", "acme-only"}

    assert set(demo.catalogue.routes) == names
    assert set(demo.catalogue.servers["payments"]) == {"balance", "transfer"}
    assert "tools/list" in demo.catalogue.methods["payments"]


def test_the_demo_routes_are_what_their_lanes_need(demo: Configuration) -> None:
    """Plain reads may be open when the sidecar is dead; one tenant's and sensitive ones may not."""
    routes = demo.catalogue.routes
    may_open = {name for name, route in routes.items() if may_be_open(route, "GET")}

    assert may_open == {"customers", "search"}
    assert routes["records"].access is Access.SENSITIVE
    assert routes["exports"].operations["POST"].single_use
    assert routes["acme-only"].tenant == "acme"


def test_an_issuer_becomes_its_profile(tmp_path: Path) -> None:
    """Every setting of an issuer arrives, and types are compared without case and prefix."""
    more = """
  - name: other
    issuer: https://other.example
    jwks: {file: keys.json}
    algorithms: [ES256, PS256]
    types: [AT+JWT, application/JWT, ""]
    tenants: [globex]
    ceiling: ["read:customers:42", "write:a:b:c"]
    max_lifetime: 60
    leeway: 0.5
    claims: {agent: client_id, tenant: org, scope: scp, task: t, session: s, single_use: once}
"""
    configuration = load_configuration(write(tmp_path, more), {})

    assert configuration.issuers["https://other.example"] == IssuerProfile(
        name="other",
        issuer="https://other.example",
        algorithms=frozenset({"ES256", "PS256"}),
        types=frozenset({"at+jwt", "jwt", ""}),
        tenants=frozenset({"globex"}),
        ceiling=(Scope("read", "customers", "42"), Scope("write", "a", "b:c")),
        max_lifetime=60,
        leeway=0.5,
        claims=ClaimNames("client_id", "org", "scp", "t", "s", "once"),
        delegation=frozenset({Delegation.ACT}),
    )


def test_a_route_becomes_the_cores_route(tmp_path: Path) -> None:
    """Every key of a route and of an operation arrives."""
    keys = """
    tenant: acme
    access: sensitive
    single_use: true
    forward_token: true
    rewrite: ext_proc
    operations:"""
    configuration = load_configuration(write(tmp_path, operations=keys, GET="GET:"), {})
    route = configuration.catalogue.routes["customers"]

    assert route.operations["GET"] == Operation(ScopeTemplate("read", "customers", "{customer}"))
    assert (route.protocol, route.path) == (Protocol.HTTP, ("customers", "{customer}"))
    assert (route.tenant, route.access) == ("acme", Access.SENSITIVE)
    assert (route.single_use, route.forward_token) == (True, True)
    assert (route.rewrite, route.audience) == (Rewrite.EXT_PROC, "tools")


def test_header_names_become_what_is_sent(tmp_path: Path) -> None:
    """Names of headers arrive, and those of policy beside them."""
    more = "identity_headers: {agent: x-agent-a, task: x-agent-t}\npolicy_headers: [x-authz-risk]\n"
    configuration = load_configuration(write(tmp_path, more), {})

    assert configuration.outgoing == Outgoing(
        agent="x-agent-a", task="x-agent-t", policy_headers=frozenset({"x-authz-risk"})
    )


def test_paths_are_relative_to_the_settings_file(demo: Configuration) -> None:
    """Where the command was started does not matter to what is loaded."""
    assert [path.resolve() for path in demo.policy_paths] == [ROOT / "policies"]


def test_a_parameter_is_grantable_when_a_ceiling_names_one_value(tmp_path: Path) -> None:
    """A route is not dead when only one of its values can be granted."""
    path = write(tmp_path)
    path.write_text(path.read_text().replace("read:customers:*", "read:customers:42"))

    assert load_configuration(path, {}).issuers


def test_a_scope_of_everything_is_dead_when_a_ceiling_names_one_value(tmp_path: Path) -> None:
    """To hold ``*`` a token needs a ceiling of ``*``."""
    path = write(tmp_path, GET='POST: {scope: "read:customers:*"}\n      GET:')
    assert load_configuration(path, {}).issuers
    path.write_text(path.read_text().replace("read:customers:*", "read:customers:42"))

    with pytest.raises(ConfigurationError, match=r"operations\.POST\.scope: is above every"):
        load_configuration(path, {})


@pytest.mark.parametrize("floor", ["sensitive", "write"])
def test_a_read_by_post_needs_no_reason_under_a_floor(tmp_path: Path, floor: str) -> None:
    """What never passes during an outage is no exception from the stance."""
    post = 'POST: {scope: "read:customers:*", access: read}\n      GET:'
    path = write(tmp_path, operations=f"access: {floor}\n    operations:", GET=post)

    operations = load_configuration(path, {}).catalogue.routes["customers"].operations
    assert operations["POST"].access is Access.READ


def test_a_read_by_post_passes_when_its_reason_is_given(tmp_path: Path) -> None:
    """An operator may open a POST during outages, in words that stay in the file."""
    post = 'POST: {scope: "read:customers:*", access: read, reason: a search}\n      GET:'
    configuration = load_configuration(write(tmp_path, GET=post), {})

    operation = configuration.catalogue.routes["customers"].operations["POST"]
    assert operation.access is Access.READ


def test_load_tells_when_the_settings_file_is_missing(tmp_path: Path) -> None:
    """The file is named as the operator named it; it has no line."""
    path = tmp_path / "gone.yaml"

    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path, {})

    assert str(caught.value) == f"{path}: cannot be read: No such file or directory"
