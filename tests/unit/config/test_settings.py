"""Settings that hold: addresses, URLs, names, and defaults."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.config.address import check_jwks_url, parse_listen, parse_tcp
from sidecar.config.explain import validated
from sidecar.config.grammar import read_path, read_scope, read_scope_template
from sidecar.config.problem import ConfigurationError, Origin
from sidecar.config.settings import Settings

MINIMAL: dict[str, Any] = {
    "version": 1,
    "catalogue": "catalogue.yaml",
    "policy": {"paths": ["policies"]},
    "issuers": [
        {
            "name": "demo",
            "issuer": "https://issuer.example",
            "jwks": {"file": "keys.json"},
            "algorithms": ["EdDSA"],
            "tenants": ["acme"],
            "ceiling": ["read:customers:*"],
            "max_lifetime": 900,
        }
    ],
}
ORIGIN = Origin("it.yaml", {(): 1})


def settings_with(**sections: object) -> Settings:
    return validated(Settings, MINIMAL | sections, ORIGIN)


def test_defaults_are_those_of_the_documented_file() -> None:
    """A file that leaves out what has a default means the same as one that writes it down."""
    written_down = settings_with(
        listen="unix:sidecar.sock",
        admin={"http": "127.0.0.1:10004", "socket": "admin.sock"},
        policy={
            "engine": "embedded",
            "paths": ["policies"],
            "entrypoint": "data.scopegate.ruling",
        },
        keys={
            "refresh": 60,
            "max_age": 3600,
            "timeout": 2,
            "cooldown": 10,
            "wait": 0.3,
            "max_bytes": 262144,
        },
        identity_headers={
            "agent": "x-agent-id",
            "tenant": "x-agent-tenant",
            "scopes": "x-agent-scopes",
            "task": "x-agent-task",
            "decision": "x-authz-decision-id",
        },
        policy_headers=[],
        stores={
            "kind": "memory",
            "single_use_capacity": 100000,
            "single_use_per_agent": 1000,
            "verified_tokens": 10000,
        },
        deny_list={
            "source": "memory",
            "file": "scopegate-state/deny-list",
            "feed": "scopegate:deny",
            "stale_after": 5,
            "capacity": 1000000,
        },
        replicas=1,
        limits={
            "message_bytes": 1048576,
            "body_bytes": 65536,
            "decision_timeout": 0.4,
            "concurrency": 512,
        },
        drain_timeout=10,
        log={"level": "info", "decisions": True},
    )

    assert settings_with() == written_down


@pytest.mark.parametrize(
    "text",
    ["unix:sidecar.sock", "unix:/run/scopegate/sidecar.sock", "127.0.0.1:9000", "[::1]:9000"],
)
def test_listen_takes_what_only_this_host_can_reach(text: str) -> None:
    """A Unix socket and the two loopback addresses are kept as they were written."""
    assert str(parse_listen(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "0.0.0.0:9000", "[::]:9000", "10.0.0.1:9000", "127.0.0.2:9000", "[::ffff:127.0.0.1]:9000",
        "localhost:9000", ":9000", "9000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
        "127.0.0.1:-1", "127.0.0.1:9 ", "127.1:9000", "0177.0.0.1:9000", "::1:9000", "[::1]",
        "[127.0.0.1]:9000", "[::1%lo]:9000", "unix:", "unix:a\0b", "http://127.0.0.1:9000", "",
        9000, ["127.0.0.1:9000"], None,
    ],
)  # fmt: skip
def test_listen_refuses_what_others_can_reach(text: object) -> None:
    """Whoever reaches the port can send checks with markers of his own: nobody else may."""
    with pytest.raises(ValueError, match="must"):
        parse_listen(text)


@pytest.mark.parametrize("text", ["0.0.0.0:10004", "[::]:10004", "10.1.2.3:1", "127.0.0.1:0"])
def test_the_admin_port_takes_every_address(text: str) -> None:
    """Probes and scrapers come from outside of a pod."""
    assert str(parse_tcp(text)) == text


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example/jwks.json",
        "https://issuer.example:8443/a?b=c",
        "http://127.0.0.1:10002/jwks.json",
        "http://[::1]:10002/jwks.json",
    ],
)
def test_jwks_url_takes_what_nobody_can_change_on_its_way(url: str) -> None:
    """TLS, or a way that does not leave the host."""
    assert check_jwks_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/", "http://localhost/", "http://10.0.0.1/", "http://0.0.0.0/",
        "http://127.0.0.1.example.com/", "http://127.0.0.1@issuer.example/", "http://2130706433/",
        "https://user:secret@issuer.example/", "https://user@issuer.example/", "https:///jwks",
        "https://issuer.example/#keys", "https://issuer.example\\.evil.example/",
        "https://issuer.example/a b", "https://issuer.example/\n", "https://issuer.example:0/",
        "https://issuer.example:99999/", "https://[::1/", "HTTPS", "file:///etc/passwd",
        "ftp://issuer.example/", "//issuer.example/", "issuer.example", "",
    ],
)  # fmt: skip
def test_jwks_url_refuses_what_somebody_could_change(url: str) -> None:
    """Who chooses the keys decides who is trusted; no spelling of a URL gets around that."""
    with pytest.raises(ValueError, match="must"):
        check_jwks_url(url)


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("/", ()),
        ("/customers/{customer}", ("customers", "{customer}")),
        ("/files/**", ("files", "**")),
        ("/a/", ("a", "")),
        ("/**", ("**",)),
    ],
)
def test_path_is_split_as_a_request_is(path: str, segments: tuple[str, ...]) -> None:
    """A template has the segments that ``core.target`` gives a request's path."""
    assert read_path(path) == segments


@pytest.mark.parametrize(
    "path",
    [
        "", "a", "//", "//a", "/a//b", "/./a", "/a/..", "/a%2fb", "/a?b", "/a#b", "/a b", "/a\\b",
        "/**/a", "/a*", "/*", "/{", "/}", "/{}", "/{a}b", "/b{a}", "/{a}/{a}", "/{1a}", "/..;a",
        "/\u00e9", 7,
    ],
)  # fmt: skip
def test_path_refuses_what_no_request_matches(path: object) -> None:
    """A template that could be read in two ways, or by no request at all, is refused."""
    with pytest.raises(ValueError, match="must"):
        read_path(path)


@pytest.mark.parametrize("text", ["read:customers:42", "read:customers:*", "read:db:arn:1:2"])
def test_scope_is_written_back_as_it_was_read(text: str) -> None:
    """Nothing is lost or added, colons in the identifier included."""
    assert str(read_scope(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "read", "read:customers", "read::42", ":customers:42", "read:customers:", "*:*:*",
        "*:customers:42", "read:*:42", "read:customers:4*", "read:customers:**",
        "read customers:4:2", "read:customers:4 2", "{a}:customers:42", "read:{a}:42",
        "read:customers:{a}b", "read:customers:{}", "read:customers:{a}{b}", 42,
    ],
)  # fmt: skip
def test_scope_template_refuses_what_is_no_scope(text: object) -> None:
    """Only an identifier may be a wildcard or a parameter, and only as a whole."""
    with pytest.raises(ValueError, match="must"):
        read_scope_template(text)


@pytest.mark.parametrize(
    "name",
    [
        "authorization", "host", "content-length", "transfer-encoding", "connection", "cookie",
        "te", "upgrade", "x-forwarded-for", "x-envoy-original-path", "x-http-method-override",
        ":path", ":authority", "Host", "X-Forwarded-For", "x a", "x:a", "x\u00e9", "", "x-A",
        "x-risk", "x-agent", "x-agent-", "x-authz-", "x-agents-id", "x-agent_id", "X-Agent-Id",
        "x-agent-Id", "x-agent-a b", "x-agent-a:b", "x-agent-\u00e9",
    ],
)  # fmt: skip
@pytest.mark.parametrize("section", ["identity_headers", "policy_headers"])
def test_a_header_that_does_more_than_inform_is_refused(section: str, name: str) -> None:
    """Nobody who writes our headers can route, frame or authenticate a request with them.

    Nor is one of ours what Envoy leaves to clients, who could then write it when nobody is asked.
    """
    value = {"agent": name} if section == "identity_headers" else [name]

    with pytest.raises(ConfigurationError):
        settings_with(**{section: value})


def test_settings_cannot_be_changed_once_they_hold() -> None:
    """What was checked is what is used."""
    settings = settings_with()

    with pytest.raises(ValueError, match="frozen"):
        settings.replicas = 2
