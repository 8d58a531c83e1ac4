"""What an operator can get wrong: one broken configuration each, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config.build import load_configuration
from sidecar.config.problem import ConfigurationError

BROKEN = Path(__file__).parents[2] / "vectors" / "config_broken"

# What is broken, the line at fault, the field, and a part of the message.
EXPECTED = [
    # the file as YAML
    ("empty.yaml", 1, "", "is empty"),
    ("not_a_mapping.yaml", 1, "", "must be a mapping"),
    ("syntax.yaml", 6, "", "expected ',' or ']'"),
    ("indented_too_far.yaml", 3, "", "indented too far"),
    ("indented_too_little.yaml", 13, "", "indented like no line there"),
    ("indented_with_tab.yaml", 5, "", "is indented with a tab: use spaces"),
    ("list_item_among_keys.yaml", 14, "", "mixes keys with list items"),
    ("colon_missing.yaml", 3, "", "a colon and a space are missing"),
    ("two_documents.yaml", 14, "", "expected a single document"),
    ("not_utf8.yaml", 11, "", "is not UTF-8"),
    ("control_character.yaml", 11, "", "control character"),
    ("duplicate_key.yaml", 14, "listen", "is given twice, first in line 2"),
    ("tag.yaml", 11, "issuers[0].tenants", "tags are not read"),
    ("python_tag.yaml", 2, "listen", "tags are not read"),
    ("merge_key.yaml", 5, "policy", "merge keys"),
    ("key_is_no_text.yaml", 14, "", "a key is no text"),
    ("alias_bomb.yaml", 1, "", "once aliases are followed"),
    ("alias_cycle.yaml", 1, "", "once aliases are followed"),
    ("nested_too_deeply.yaml", 14, "", "deeper than 32"),
    ("word_on.yaml", 11, "issuers[0].tenants[1]", "'on' is no text here: put it in quotes"),
    ("word_y.yaml", 11, "issuers[0].tenants[1]", "put it in quotes"),
    ("number_octal.yaml", 13, "issuers[0].max_lifetime", "another number"),
    ("number_sexagesimal.yaml", 11, "issuers[0].tenants[1]", "another number"),
    ("date.yaml", 11, "issuers[0].tenants[1]", "read as a date"),
    ("half_a_character.yaml", 1, "", "half a character"),
    # the form of the settings
    ("unknown_key.yaml", 14, "kyes", "did you mean 'keys'?"),
    ("unknown_nested_key.yaml", 13, "issuers[0].max_lifetme", "did you mean 'max_lifetime'?"),
    ("number_for_text.yaml", 11, "issuers[0].tenants[1]", "must be text: put it in quotes"),
    ("text_for_number.yaml", 13, "issuers[0].max_lifetime", "must be a number of seconds"),
    ("number_with_unit.yaml", 13, "issuers[0].max_lifetime", "must be a number of seconds"),
    ("bytes_with_unit.yaml", 14, "limits.body_bytes", "must be a whole number of bytes"),
    ("missing_issuers.yaml", 1, "issuers", "is required"),
    ("no_issuers.yaml", 6, "issuers", "must not be empty"),
    ("no_algorithms.yaml", 10, "issuers[0].algorithms", "must not be empty"),
    ("version_unknown.yaml", 1, "version", "must be 1"),
    ("listen_on_all_interfaces.yaml", 2, "listen", "only the Envoy beside the sidecar"),
    ("listen_on_a_name.yaml", 2, "listen", "must be an IP address and a port"),
    ("socket_path_too_long.yaml", 2, "listen", "at most 107 bytes"),
    ("jwks_over_http.yaml", 9, "issuers[0].jwks.url", "must be https"),
    ("jwks_with_password.yaml", 9, "issuers[0].jwks.url", "must not hold a user or password"),
    ("jwks_url_and_file.yaml", 9, "issuers[0].jwks", "only one of them"),
    ("jwks_missing.yaml", 9, "issuers[0].jwks", "url, discovery or file"),
    ("algorithm_none.yaml", 10, "issuers[0].algorithms[1]", "must be Ed25519 or EdDSA"),
    ("tenant_wildcard.yaml", 11, "issuers[0].tenants[0]", "no * for anything"),
    ("ceiling_wildcard_action.yaml", 12, "issuers[0].ceiling[0]", "only the identifier may be *"),
    ("ceiling_with_parameter.yaml", 12, "issuers[0].ceiling[0]", "must not hold a {parameter}"),
    ("identity_header_reserved.yaml", 14, "identity_headers.agent", "must begin with x-agent-"),
    ("identity_header_invalid.yaml", 14, "identity_headers.agent", "header name in lower case"),
    ("identity_header_of_no_family.yaml", 14, "identity_headers.agent", "even when the sidecar is"),
    ("policy_header_reserved.yaml", 14, "policy_headers[0]", "must begin with x-agent-"),
    ("policy_header_of_no_family.yaml", 14, "policy_headers[0]", "Envoy removes these from every"),
    ("store_without_redis.yaml", 14, "stores.kind", "without a section redis"),
    ("redis_for_nothing.yaml", 14, "redis", "is used by nothing"),
    ("replicas_share_memory.yaml", 14, "replicas", "while deny_list.source is memory"),
    ("replicas_share_store.yaml", 14, "replicas", "while stores.kind is memory"),
    ("redis_address_without_port.yaml", 14, "redis.address", "must be a host and a port"),
    ("redis_port_zero.yaml", 14, "redis.address", "must be a host and a port"),
    ("redis_nowhere.yaml", 14, "redis", "address or sentinel, and not both"),
    ("redis_twice.yaml", 14, "redis", "address or sentinel, and not both"),
    ("redis_without_tls.yaml", 14, "redis", "must have tls"),
    ("redis_by_name_without_tls.yaml", 14, "redis", "must have tls"),
    ("redis_sentinel_without_tls.yaml", 14, "redis", "must have tls"),
    ("redis_sentinel_on_loopback_without_tls.yaml", 14, "redis", "must have tls"),
    ("redis_tls_and_plaintext.yaml", 14, "redis.plaintext", "contradicts tls"),
    ("redis_tls_on_socket.yaml", 14, "redis.tls", "not for a Unix socket"),
    ("redis_certificate_without_key.yaml", 14, "redis.tls", "certificate and key, or neither"),
    ("redis_user_without_password.yaml", 14, "redis.password_file", "required with username"),
    ("feed_without_keys.yaml", 14, "deny_list.keys", "nobody signed"),
    ("feed_keys_without_feed.yaml", 14, "deny_list.keys", "source: redis only"),
    ("stale_after_never.yaml", 14, "deny_list.stale_after", "above 0 and at most 86400, or off"),
    ("deny_list_file_with_control_character.yaml", 14, "deny_list.file", "path of a file"),
    ("opa_elsewhere.yaml", 6, "policy.opa.address", "it has to run beside the sidecar"),
    ("opa_nowhere.yaml", 4, "policy.opa", "asks a local OPA"),
    ("opa_with_paths.yaml", 5, "policy.paths", "OPA reads its own"),
    ("opa_unused.yaml", 6, "policy.opa", "engine: opa only"),
    ("policy_without_paths.yaml", 4, "policy.paths", "engine embedded reads policies"),
    ("entrypoint_is_no_rule.yaml", 6, "policy.entrypoint", "the path of a rule"),
    ("no_room_for_headers.yaml", 14, "limits.message_bytes", "by at least 65536"),
    ("keys_expire_before_refresh.yaml", 14, "keys.max_age", "must be more than refresh"),
    ("one_agent_fills_store.yaml", 14, "stores.single_use_per_agent", "must not exceed"),
    # parts of the settings that do not fit each other
    ("issuer_name_twice.yaml", 14, "issuers[1].name", "is the same as issuers[0].name"),
    ("issuer_twice.yaml", 15, "issuers[1].issuer", "is the same as issuers[0].issuer"),
    ("identity_header_twice.yaml", 14, "identity_headers.task", "same header as identity_headers"),
    ("policy_header_is_identity.yaml", 14, "policy_headers", "which is identity_headers.tenant"),
    ("policy_header_is_ours.yaml", 14, "policy_headers", "which is scopegate's own"),
    ("wait_outlasts_decision.yaml", 14, "keys.wait", "less than limits.decision_timeout"),
    ("catalogue_missing.yaml", 3, "catalogue", "cannot be read: No such file"),
    ("catalogue_with_control_character.yaml", 3, "catalogue", "no control characters"),
    # the form of the catalogue
    ("catalogue_unknown_key", 5, "routes[0].audiance", "did you mean 'audience'?"),
    ("protocol_unknown", 9, "routes[1].protocol", "must be 'http' or 'mcp'"),
    ("path_relative", 4, "routes[0].path", "starts with /"),
    ("path_with_dots", 4, "routes[0].path", "no . or .."),
    ("path_with_open_brace", 4, "routes[0].path", "of one {parameter}"),
    ("path_parameter_twice", 4, "routes[0].path", "a {parameter} twice"),
    ("method_in_lower_case", 7, "routes[0].operations.get", "in capitals"),
    ("method_connect", 7, "routes[0].operations.CONNECT", "never offered"),
    ("scope_with_two_parts", 7, "routes[0].operations.GET.scope", "action:resource:identifier"),
    ("scope_wildcard_resource", 7, "routes[0].operations.GET.scope", "only the identifier"),
    ("scope_with_partial_parameter", 7, "routes[0].operations.GET.scope", "{parameter} alone"),
    ("tools_call_as_method", 15, "servers.payments.methods.tools/call", "tool by tool"),
    # parts of the catalogue that do not fit each other, or the issuers
    ("route_name_twice", 8, "routes[1].name", "is the same as routes[0].name"),
    ("route_without_operations", 3, "routes[0].operations", "must offer a method"),
    ("http_route_with_server", 6, "routes[0].server", "for protocol: mcp only"),
    ("mcp_route_without_server", 8, "routes[1].server", "is required"),
    ("mcp_route_with_operations", 13, "routes[1].operations", "must be left out"),
    ("route_of_unknown_server", 12, "routes[1].server", "not a server of this catalogue"),
    ("tenant_of_no_issuer", 6, "routes[0].tenant", "no issuer may speak for"),
    ("scope_of_unknown_parameter", 7, "routes[0].operations.GET.scope", "not in the path"),
    ("scope_above_ceiling", 7, "routes[0].operations.GET.scope", "nobody could ever call"),
    ("scope_only_for_another_tenant", 8, "routes[0].operations.GET.scope", "nobody could ever"),
    ("tool_scope_above_ceiling", 16, "servers.payments.tools.balance.scope", "nobody could ever"),
    ("tool_scope_with_parameter", 16, "servers.payments.tools.balance.scope", "must be literal"),
    ("open_exception_without_reason", 7, "routes[0].operations.POST.access", "give a reason"),
    # exceptions to the stance table
    ("outage_of_keys", 9, "routes[0].outages[0].when", "nothing of its tokens can be verified"),
    ("outage_of_single_use_token", 9, "routes[0].outages[0].when", "it serves one call"),
    ("outage_of_unloaded_deny_list", 9, "routes[0].outages[0].when", "may miss every revocation"),
    ("outage_of_unknown_part", 9, "routes[0].outages[0].when", "must be deny_list or policy or"),
    ("outage_ends_on_no_day", 9, "routes[0].outages[0].until", "must be a date such as"),
    ("outage_ends_at_an_hour", 9, "routes[0].outages[0].until", "must be a date such as"),
    ("outage_end_without_quotes", 9, "routes[0].outages[0].until", "read as a date: put it"),
    ("outage_with_unknown_key", 9, "routes[0].outages[0].untill", "did you mean 'until'?"),
    ("outage_opens_write", 9, "routes[0].outages[0].stance", "a write is never opened"),
    ("outage_opens_lane", 9, "routes[0].outages[0].stance", "with the sidecar dead nobody asks"),
    ("outage_of_lane_with_end", 9, "routes[0].outages[0].until", "Envoy's lanes are static"),
    ("outage_of_lane_without_reason", 9, "routes[0].outages[0].reason", "required without until"),
    ("outage_as_in_table", 9, "routes[0].outages[0].stance", "is open in the table anyway"),
    ("outage_twice", 10, "routes[0].outages[1].when", "the same cell as outages[0]"),
    ("outage_opens_without_end", 9, "routes[0].outages[0].until", "must not stay open for good"),
    ("outage_without_end_and_reason", 9, "routes[0].outages[0].reason", "required without until"),
    ("outage_with_blank_reason", 9, "routes[0].outages[0].reason", "is required without until"),
    ("outage_of_access_not_there", 9, "routes[0].outages[0].access", "is never sensitive here"),
    ("outage_of_lane_not_there", 10, "routes[0].outages[0].when", "has no open lane anyway"),
    ("outage_ends_too_late", 9, "routes[0].outages[0].until", "is more than 366 days ahead"),
]

# A misspelt key is also a missing one where it is required.
ALSO_MISSING = {"unknown_nested_key.yaml", "catalogue_unknown_key"}


@pytest.mark.parametrize(("name", "line", "field", "fragment"), EXPECTED)
def test_load_names_the_fault_when_one_thing_is_broken(
    name: str, line: int, field: str, fragment: str
) -> None:
    """A fault is told with its file, line and field, and nothing else is."""
    is_file = name.endswith(".yaml")
    settings = BROKEN / name if is_file else BROKEN / name / "scopegate.yaml"
    at_fault = settings if is_file else BROKEN / name / "catalogue.yaml"

    with pytest.raises(ConfigurationError) as caught:
        load_configuration(settings, {})

    problems = caught.value.problems
    found = next(problem for problem in problems if problem.field == field)
    assert (str(at_fault), line) == (found.source, found.line)
    assert fragment in found.message
    assert len(problems) == (2 if name in ALSO_MISSING else 1)
    assert str(found) in str(caught.value).splitlines()


def test_every_broken_configuration_is_expected() -> None:
    """No vector lies around untested."""
    present = {path.name for path in BROKEN.iterdir()} - {"good"}

    assert present == {name for name, *_ in EXPECTED}


def test_the_good_configuration_loads() -> None:
    """What the vectors are broken copies of is not broken itself."""
    configuration = load_configuration(BROKEN / "good" / "scopegate.yaml", {})

    assert set(configuration.catalogue.routes) == {"customers", "payments"}


def test_no_secret_is_told_when_a_value_is_refused() -> None:
    """A password in a URL is refused, and stands in no message."""
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(BROKEN / "jwks_with_password.yaml", {})

    assert "hunter2" not in f"{caught.value} {caught.value!r} {caught.value.problems!r}"
