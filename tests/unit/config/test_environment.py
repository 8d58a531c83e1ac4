"""Environment variables over the settings file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sidecar.config.build import load_configuration
from sidecar.config.problem import ConfigurationError, Problem
from sidecar.config.settings import Settings

GOOD = Path(__file__).parents[2] / "vectors" / "config_broken" / "good"
MORE = "keys: {refresh: 30, timeout: 3}\nlog: {level: info}\n"
ISSUERS = (
    '[{"name": "other", "issuer": "https://other.example", "jwks": {"file": "keys.json"}, '
    '"algorithms": ["ES256"], "tenants": ["acme"], "max_lifetime": 60, '
    '"ceiling": ["read:customers:*", "read:payments:*"]}]'
)


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """The good configuration, with values for the environment to win over."""
    (tmp_path / "catalogue.yaml").write_text((GOOD / "catalogue.yaml").read_text())
    path = tmp_path / "scopegate.yaml"
    path.write_text((GOOD / "scopegate.yaml").read_text() + MORE)
    return path


def load(path: Path, **environ: str) -> Settings:
    return load_configuration(path, environ).settings


def problems_of(path: Path, **environ: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigurationError) as caught:
        load_configuration(path, environ)
    return caught.value.problems


def test_environment_wins_over_file_over_default(settings_file: Path) -> None:
    """Each value comes from the strongest place that has it, key by key."""
    keys = load(settings_file, SCOPEGATE__KEYS__REFRESH="15").keys

    assert (keys.refresh, keys.timeout, keys.cooldown) == (15, 3, 10)


@pytest.mark.parametrize(
    ("name", "value", "path", "expected"),
    [
        ("SCOPEGATE__LISTEN", "127.0.0.1:9000", "listen", "127.0.0.1:9000"),
        ("SCOPEGATE__DRAIN_TIMEOUT", "2.5", "drain_timeout", "2.5"),
        ("SCOPEGATE__LIMITS__CONCURRENCY", "7", "limits.concurrency", "7"),
        ("SCOPEGATE__LOG__DECISIONS", "false", "log.decisions", "False"),
        ("SCOPEGATE__LOG", '{"level": "debug"}', "log.level", "debug"),
        ("SCOPEGATE__ADMIN__HTTP", "0.0.0.0:1", "admin.http", "0.0.0.0:1"),
        ("SCOPEGATE__ADMIN__SOCKET", "a.sock", "admin.socket", "a.sock"),
        ("SCOPEGATE__DENY_LIST__FILE", "state/denied", "deny_list.file", "state/denied"),
        ("SCOPEGATE__DENY_LIST__STALE_AFTER", "2.5", "deny_list.stale_after", "2.5"),
        ("SCOPEGATE__DENY_LIST__STALE_AFTER", "off", "deny_list.stale_after", "None"),
        ("SCOPEGATE__POLICY__PATHS", '["a", "b"]', "policy.paths", "('a', 'b')"),
        (
            "SCOPEGATE__POLICY_HEADERS",
            '["x-agent-a"]',
            "policy_headers",
            "frozenset({'x-agent-a'})",
        ),
    ],
)
def test_environment_sets_values_of_every_kind(
    settings_file: Path, name: str, value: str, path: str, expected: str
) -> None:
    """A single value is read as what the setting is; a list or a section as JSON."""
    found: Any = load(settings_file, **{name: value})
    for part in path.split("."):
        found = getattr(found, part)

    assert str(found) == expected


def test_environment_replaces_a_list_whole(settings_file: Path) -> None:
    """A list from the environment does not mix with the file's."""
    issuers = load(settings_file, SCOPEGATE__ISSUERS=ISSUERS).issuers

    assert [issuer.name for issuer in issuers] == ["other"]


@pytest.mark.parametrize(
    ("name", "value", "field", "fragment"),
    [
        ("SCOPEGATE__KYES__REFRESH", "1", "kyes.refresh", "did you mean 'keys'?"),
        ("SCOPEGATE__KEYS__REFRSH", "1", "keys.refrsh", "did you mean 'refresh'?"),
        ("SCOPEGATE__KEYS__REFRESH", "soon", "keys.refresh", "must be a number of seconds"),
        ("SCOPEGATE__KEYS__REFRESH", "-1", "keys.refresh", "must be more than 0"),
        ("SCOPEGATE__KEYS__REFRESH", "nan", "keys.refresh", "must be 86400 or less"),
        ("SCOPEGATE__KEYS__REFRESH", "inf", "keys.refresh", "must be 86400 or less"),
        ("SCOPEGATE__KEYS__REFRESH__X", "1", "keys.refresh.x", "keys.refresh is a single value"),
        ("SCOPEGATE__KEYS__MAX_AGE", "20", "keys.max_age", "must be more than refresh"),
        ("SCOPEGATE__LIMITS__CONCURRENCY", "1.5", "limits.concurrency", "must be a whole number"),
        ("SCOPEGATE__LISTEN", "0.0.0.0:1", "listen", "only the Envoy beside"),
        ("SCOPEGATE__LOG", "debug", "log", "must be JSON"),
        ("SCOPEGATE__LOG", '{"level": "loud"}', "log.level", "must be 'debug'"),
        ("SCOPEGATE__LOG", '{"levle": "debug"}', "log.levle", "did you mean 'level'?"),
        ("SCOPEGATE__ISSUERS", "{", "issuers", "must be JSON"),
        ("SCOPEGATE__ISSUERS", "[]", "issuers", "must not be empty"),
        ("SCOPEGATE__ISSUERS__0__NAME", "x", "issuers.0.name", "as a whole, in JSON, by SCOPE"),
        ("SCOPEGATE__CATALOGUE", "gone.yaml", "catalogue", "cannot be read: No such file"),
        ("SCOPEGATE__", "1", "", "is not known"),
        ("SCOPEGATE_KEYS__REFRESH", "1", "", "did you mean SCOPEGATE__KEYS__REFRESH?"),
        ("SCOPEGATE_LOG_LEVEL", "debug", "", "did you mean SCOPEGATE__LOG__LEVEL?"),
        ("SCOPEGATE_LOG_LEVLE", "debug", "", "did you mean SCOPEGATE__LOG__LEVEL?"),
        ("scopegate_replicas", "1", "", "did you mean SCOPEGATE__REPLICAS?"),
        ("SCOPEGATE_ANYTHING", "1", "", "is not known"),
        ("SCOPEGATE_SERVICE_HOSTS", "1", "", "is not known"),
        ("scopegate__keys__refresh", "1", "keys.refresh", "must be written in capitals"),
    ],
)
def test_a_problem_names_the_variable_when_it_is_the_environments(
    settings_file: Path, name: str, value: str, field: str, fragment: str
) -> None:
    """A wrong variable is named as it was set, and is never silently without effect."""
    (problem,) = problems_of(settings_file, **{name: value})

    assert (name, None, field) == (problem.source, problem.line, problem.field)
    assert fragment in problem.message
    assert str(problem).startswith(f"{name}: ")


def test_problems_of_file_and_environment_are_told_together(settings_file: Path) -> None:
    """One run tells what is wrong in the variables, in the settings and in the catalogue."""
    settings_file.write_text(settings_file.read_text() + "replicas: 0\n")
    catalogue = settings_file.with_name("catalogue.yaml")
    catalogue.write_text(catalogue.read_text().replace("path: /mcp", "path: mcp"))

    problems = problems_of(settings_file, SCOPEGATE__KEYS__WIAT="1")

    sources = ["SCOPEGATE__KEYS__WIAT", str(settings_file), str(catalogue)]
    assert sources == [problem.source for problem in problems]


def test_other_variables_are_left_alone(settings_file: Path) -> None:
    """Others' names, those of our tests, and those that Kubernetes makes of a Service."""
    names = (
        *("SCOPEGATE", "SCOPEGATES_X", "PATH", "SCOPEGATE_OPA", "SCOPEGATE_PORT"),
        *("SCOPEGATE_SERVICE_HOST", "SCOPEGATE_SERVICE_PORT", "SCOPEGATE_SERVICE_PORT_GRPC"),
        *("SCOPEGATE_PORT_80_TCP", "SCOPEGATE_PORT_80_TCP_ADDR", "SCOPEGATE_ADMIN_SERVICE_HOST"),
    )
    settings = load(settings_file, **dict.fromkeys(names, "x"))

    assert settings.keys.refresh == 30


def test_no_value_is_told_when_a_variable_is_wrong(settings_file: Path) -> None:
    """What was put into a variable stands in no message, since it may be a secret."""
    (problem,) = problems_of(settings_file, SCOPEGATE__LISTEN="hunter2")

    assert "hunter2" not in repr(problem)
