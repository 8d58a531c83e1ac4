"""``scopegate catalogue hash``: the very hash that the gate compares, for whoever mints."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.config.build import load_configuration
from sidecar.core.capabilities import capability_hash
from sidecar.core.model import Scope

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "scopegate.yaml"
CUSTOMERS = "read:customers:*"
PAY = "write:payments:transfer"


def catalogue_hash(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    ran = CliRunner().invoke(app, ["catalogue", "hash", *map(str, arguments)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.stdout, ran.stderr


def of_scopes(*scopes: str, tenant: str = "acme", config: Path = DEMO) -> tuple[str, ...]:
    options = (part for scope in scopes for part in ("--scope", scope))
    return ("--config", str(config), "--tenant", tenant, *options)


def test_hash_is_the_one_that_the_gate_compares() -> None:
    """One line of 43 characters, the same as the core's own, in whatever order the scopes are."""
    catalogue = load_configuration(DEMO, {}).catalogue
    held = (Scope("read", "customers", "*"), Scope("write", "payments", "transfer"))
    status, out, err = catalogue_hash(*of_scopes(CUSTOMERS, PAY))

    assert (status, err) == (0, "")
    assert out == f"{capability_hash(catalogue, 'acme', held)}\n"
    assert catalogue_hash(*of_scopes(PAY, CUSTOMERS))[1] == out
    assert catalogue_hash(*of_scopes(CUSTOMERS))[1] != out


def test_hash_lists_the_operations_that_it_covers() -> None:
    """``--list``: route, operation and scope, of this tenant only."""
    scopes = (CUSTOMERS, PAY, "read:items:*", "read:items:1")
    _, out, _ = catalogue_hash(*of_scopes(*scopes), "--list")
    _, globex, _ = catalogue_hash(*of_scopes(*scopes, tenant="globex"), "--list")

    assert out.splitlines()[1:] == [
        "customers GET read:customers:{customer}",
        "acme-only GET read:items:{item}",
        "search GET read:customers:search",
        "payments tool transfer write:payments:transfer",
    ]
    assert "acme-only GET read:items:{item}" not in globex
    assert out.splitlines()[0] != globex.splitlines()[0]


def test_hash_says_so_when_the_scopes_reach_nothing() -> None:
    """The hash of nothing is one too, but hardly what was meant."""
    status, out, err = catalogue_hash(*of_scopes("read:customer:*"), "--list")

    assert (status, len(out.splitlines())) == (0, 1)
    assert "these scopes reach nothing in that tenant" in err


def test_hash_changes_when_an_operation_in_reach_changes(tmp_path: Path) -> None:
    """And does not when one out of reach does."""
    for name in ("scopegate.yaml", "catalogue.yaml"):
        text = (DEMO.parent / name).read_text()
        (tmp_path / name).write_text(
            text.replace("../../policies", str(DEMO.parents[2] / "policies"))
        )
    ask = of_scopes(CUSTOMERS, config=tmp_path / "scopegate.yaml")
    _, before, _ = catalogue_hash(*ask)
    listed = tmp_path / "catalogue.yaml"
    text = listed.read_text()
    listed.write_text(
        text.replace(
            '{scope: "read:payments:balance", access: read}',
            '{scope: "read:payments:balance", access: sensitive}',
        )
    )
    assert catalogue_hash(*ask)[1] == before
    listed.write_text(
        text.replace(
            '{scope: "read:customers:{customer}"}',
            '{scope: "read:customers:{customer}", risk: high}',
        )
    )
    assert catalogue_hash(*ask)[1] != before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (of_scopes("read:customers"), "--scope: must be action:resource:identifier"),
        (of_scopes("read:customers:a*"), "--scope: must be action:resource:identifier"),
        (of_scopes(CUSTOMERS, tenant="acmee"), "--tenant: is not known; did you mean 'acme'?"),
        (of_scopes(CUSTOMERS, config=DEMO.with_name("none.yaml")), "none.yaml: cannot be read"),
        (("--config", str(DEMO), "--tenant", "acme"), "Missing option '--scope'"),
    ],
)
def test_hash_says_what_is_wrong_with_the_command(arguments: tuple[str, ...], says: str) -> None:
    """No hash of something that was not meant; exit status 2."""
    status, out, err = catalogue_hash(*arguments)

    assert (status, out) == (2, "")
    assert says in " ".join(err.split())
