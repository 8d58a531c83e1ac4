"""``scopegate validate``: what only trying shows, and what an operator sees of it."""

from __future__ import annotations

import io
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.cli.validate import show
from sidecar.config.build import load_configuration
from sidecar.config.validate import Report, validate
from sidecar.core.lanes import lane_digest, lanes_of
from tests.fakes_keys import jwk, jwks
from tests.jwks_server import JwksServer, hang_up, status

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "examples" / "demo" / "scopegate.yaml"
BROKEN = ROOT / "tests" / "vectors" / "config_broken"
URL_LINE = 9
BROKEN_REGO_LINE = 7


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    """The good configuration, with a policy that loads."""
    (tmp_path / "catalogue.yaml").write_text((BROKEN / "good" / "catalogue.yaml").read_text())
    (tmp_path / "policies").mkdir()
    rego = 'package scopegate\n\nimport rego.v1\n\nruling := {"action": "deny"}\n'
    (tmp_path / "policies" / "ruling.rego").write_text(rego)
    path = tmp_path / "scopegate.yaml"
    path.write_text((BROKEN / "good" / "scopegate.yaml").read_text())
    return path


def fetch_from(path: Path, jwks_setting: str) -> None:
    """Take the issuer's keys from there."""
    text = path.read_text()
    path.write_text(text.replace('{url: "https://issuer.example/jwks.json"}', jwks_setting))


def break_policy(path: Path) -> Path:
    """Give the policy a line that is no rule."""
    rego = path.parent / "policies" / "ruling.rego"
    rego.write_text(rego.read_text() + "\n} no rule\n")
    return rego


def rule_by(path: Path, rego: str) -> None:
    """Have this policy instead, and the entry point written down."""
    (path.parent / "policies" / "ruling.rego").write_text(rego)
    paths = "  paths: [policies]\n"
    entrypoint = f"{paths}  entrypoint: data.scopegate.ruling\n"
    path.write_text(path.read_text().replace(paths, entrypoint))


def ask_an_opa(path: Path) -> None:
    """Let an OPA decide."""
    opa = "  engine: opa\n  opa: {address: unix:opa.sock}\n"
    path.write_text(path.read_text().replace("  paths: [policies]\n", opa))


def trust_another(path: Path) -> None:
    """Write the issuer down once more, under another name."""
    text = path.read_text()
    issuer = text.partition("issuers:\n")[2]
    other = issuer.replace("demo", "other").replace("issuer.example", "other.example")
    path.write_text(text + other)


async def report_on(path: Path, server: JwksServer) -> Report:
    fetch_from(path, f'{{url: "{server.url}"}}')
    return await validate(path, {})


async def test_validate_finds_the_keys_when_all_is_well(settings_file: Path) -> None:
    """Keys are fetched from their URL, once, and read as the sidecar will read them."""
    async with JwksServer(jwks(jwk("k1"))) as server:
        report = await report_on(settings_file, server)

    assert report.problems == ()
    assert set(report.keys["demo"].keys) == {"k1"}
    assert len(server.requests) == 1
    assert report.policy_revision


async def test_validate_reads_keys_from_a_file(settings_file: Path) -> None:
    """A file is named relative to the settings."""
    settings_file.with_name("keys.json").write_bytes(jwks(jwk("k1")))
    fetch_from(settings_file, "{file: keys.json}")

    report = await validate(settings_file, {})

    assert report.problems == ()
    assert set(report.keys["demo"].keys) == {"k1"}


async def test_validate_names_the_issuer_when_its_keys_cannot_be_had(settings_file: Path) -> None:
    """An issuer that hangs up is told at the line of its URL."""
    async with JwksServer() as server:
        server.answer = hang_up
        report = await report_on(settings_file, server)

    (problem,) = report.problems
    assert (problem.source, problem.line) == (str(settings_file), URL_LINE)
    assert problem.field == "issuers[0].jwks.url"
    assert problem.message.startswith("the keys of demo cannot be had: ")


@pytest.mark.parametrize(
    ("document", "fragment"),
    [
        (b"<html>", "not a JSON object"),
        (b'{"keys": []}', "the set is empty"),
        (jwks({**jwk("k1"), "d": "AAAA"}), "private member 'd'"),
        (b" " * 262_145, "more than 262144 bytes"),
    ],
)
async def test_validate_refuses_keys_that_the_sidecar_would_refuse(
    settings_file: Path, document: bytes, fragment: str
) -> None:
    """The document is judged by the sidecar's own rules and limits."""
    async with JwksServer(document) as server:
        report = await report_on(settings_file, server)

    (problem,) = report.problems
    assert fragment in problem.message
    assert problem.line == URL_LINE


async def test_validate_follows_no_redirect(settings_file: Path) -> None:
    """Whoever answers does not choose where the keys come from."""
    async with JwksServer(jwks(jwk("k1"))) as other, JwksServer() as server:
        server.answer = status(302, Location=other.url)
        report = await report_on(settings_file, server)

    assert len(report.problems) == 1
    assert other.requests == []


async def test_validate_tells_all_issuers_that_fail(settings_file: Path) -> None:
    """One issuer that is down does not hide the next."""
    fetch_from(settings_file, "{file: gone.json}")
    trust_another(settings_file)

    report = await validate(settings_file, {})

    fields = [problem.field for problem in report.problems]
    assert fields == ["issuers[0].jwks.file", "issuers[1].jwks.file"]


async def test_validate_asks_nobody_when_offline(settings_file: Path) -> None:
    """Offline, no key is fetched, and none is missed."""
    async with JwksServer() as server:
        fetch_from(settings_file, f'{{url: "{server.url}"}}')
        report = await validate(settings_file, {}, offline=True)

    assert report.problems == ()
    assert server.requests == []


async def test_validate_names_the_line_when_a_policy_does_not_load(settings_file: Path) -> None:
    """A policy that does not parse is told at its own line."""
    rego = break_policy(settings_file)

    report = await validate(settings_file, {}, offline=True)

    (problem,) = report.problems
    assert (problem.source, problem.line) == (str(rego), BROKEN_REGO_LINE)
    assert "\n" not in str(problem)


async def test_validate_names_the_setting_when_there_are_no_policies(settings_file: Path) -> None:
    """A path that leads nowhere is told at the line that holds it."""
    report = await validate(settings_file, {"SCOPEGATE__POLICY__PATHS": '["gone"]'}, offline=True)

    (problem,) = report.problems
    assert (problem.source, problem.field) == ("SCOPEGATE__POLICY__PATHS", "policy.paths")
    assert "no such file or directory" in problem.message


@pytest.mark.parametrize(
    ("rego", "fragment"),
    [
        ("package other\n\nx := 1\n", "entry point data.scopegate.ruling is no rule"),
        ("package scopegate\n\nruling := 5\n", "fails on a call without anything"),
    ],
)
async def test_validate_names_the_entrypoint_when_it_does_not_rule(
    settings_file: Path, rego: str, fragment: str
) -> None:
    """Policies that load are not to blame: the line that names the rule is."""
    rule_by(settings_file, rego)

    report = await validate(settings_file, {}, offline=True)

    (problem,) = report.problems
    assert (problem.source, problem.line) == (str(settings_file), 6)
    assert problem.field == "policy.entrypoint"
    assert fragment in problem.message


async def test_validate_leaves_the_policies_to_opa_when_it_decides(settings_file: Path) -> None:
    """OPA checks its own when it loads them; here nothing is loaded, and none is claimed."""
    ask_an_opa(settings_file)
    report = await validate(settings_file, {}, offline=True)

    assert (report.problems, report.policy_revision) == ((), "")
    assert report.configuration is not None
    out = io.StringIO()
    show(report, report.configuration, Console(file=out, width=200), now=0)
    assert "the policies are OPA's" in out.getvalue()


async def test_validate_fetches_nothing_when_the_files_are_broken(settings_file: Path) -> None:
    """Nothing is asked on behalf of a configuration that does not hold."""
    async with JwksServer() as server:
        fetch_from(settings_file, f'{{url: "{server.url}"}}')
        report = await validate(settings_file, {"SCOPEGATE__REPLICAS": "0"})

    assert [problem.field for problem in report.problems] == ["replicas"]
    assert server.requests == []


def test_the_command_prints_each_problem_on_a_line() -> None:
    """``file:line: field: message`` for every problem, and exit status 2."""
    path = BROKEN / "unknown_nested_key.yaml"
    result = CliRunner().invoke(app, ["validate", "--config", str(path)])

    assert result.exit_code == 2
    assert result.stdout.splitlines() == [
        f"{path}:7: issuers[0].max_lifetime: is required",
        f"{path}:13: issuers[0].max_lifetme: is not known; did you mean 'max_lifetime'?",
    ]


@pytest.mark.parametrize("broken", ["unknown_nested_key.yaml", "entrypoint"])
def test_the_sidecar_says_what_validate_says(settings_file: Path, broken: str) -> None:
    """The same fault has one message and one exit status, whoever finds it."""
    rule_by(settings_file, "package other\n\nx := 1\n")
    path = settings_file if broken == "entrypoint" else BROKEN / broken
    validated = CliRunner().invoke(app, ["validate", "--offline", "--config", str(path)])
    started = CliRunner().invoke(app, ["sidecar", "--config", str(path)])

    assert (started.exit_code, started.stderr) == (validated.exit_code, validated.stdout)
    assert started.exit_code == 2


def test_version_is_the_packages() -> None:
    """What a bug report needs first, without a configuration."""
    result = CliRunner().invoke(app, ["--version"])

    assert (result.exit_code, result.stdout) == (0, f"scopegate {version('scopegate')}\n")


def test_the_demo_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo passes offline, and its routes are shown with their lanes and markers."""
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(app, ["validate", "--offline", "--config", str(DEMO)])

    assert (result.exit_code, result.stderr) == (0, "")
    rows = [row.split() for row in result.stdout.replace("│", " ").splitlines()]
    assert ["search", "/search", "open", "GET", "HEAD"] in [row[:5] for row in rows]
    assert ["search", "/search", "closed", "none"] in [row[:4] for row in rows]
    assert ["records", "/records/{record}", "closed", "GET", "HEAD"] in [row[:5] for row in rows]
    assert ["payments", "/mcp", "closed", "POST"] in [row[:4] for row in rows]
    assert "offline: whether the issuers' keys can be had was not checked" in result.stdout


def test_the_command_shows_keys_and_markers_when_all_is_well(
    settings_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Envoy must send is printed whole, also where the terminal is narrow."""
    monkeypatch.setenv("COLUMNS", "60")
    settings_file.with_name("keys.json").write_bytes(jwks(jwk("k1")))
    fetch_from(settings_file, "{file: keys.json}")
    routes = load_configuration(settings_file, {}).catalogue.routes.values()

    result = CliRunner().invoke(app, ["validate", "--config", str(settings_file)])

    assert result.exit_code == 0
    assert "EdDSA k1" in result.stdout
    assert "offline" not in result.stdout
    for marker in [lane_digest(route, lane) for route in routes for lane in lanes_of(route)]:
        assert marker in result.stdout
