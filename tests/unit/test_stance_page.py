"""``docs/stance.md`` says what the code does; ``--write`` prints its tables again."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from sidecar.config.build import load_configuration
from sidecar.config.catalogue_file import OutageFile
from sidecar.core.catalogue import Route
from sidecar.core.lanes import may_be_open
from sidecar.core.model import Access, Binding, Dependency, Stance, StanceException
from sidecar.core.settle import Outgoing
from sidecar.core.stance import FIXED, FURTHEST_END_S, OUTAGE_REASON, STANCE, faults_of
from tests.pages import printed
from tests.requests import make_mcp_route, make_operation, make_route

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "stance.md"
GOOD = ROOT / "tests" / "vectors" / "config_broken" / "good"

NAMES = {
    Dependency.KEYS: "no usable keys of the token's issuer",
    Dependency.CLOCK: "the issuer's clock and ours differ",
    Dependency.DENY_LIST: "the deny list is older than its limit",
    Dependency.DENY_LIST_NEVER_LOADED: "the deny list was never loaded",
    Dependency.POLICY: "the policy engine is unreachable",
    Dependency.REPLAY: "the replay store, when route or ruling asked for single use, "
    "or pins a session",
    Dependency.REPLAY_OF_SINGLE_USE_TOKEN: "the replay store, when the token itself is single-use, "
    "or its proof or first peer has to be remembered",
    Dependency.SIDECAR: "the sidecar itself (Envoy's lanes, behind the guard)",
}
WORDS = {
    Dependency.KEYS: "Keys were never fetched, or are too old. Nothing of a token is proven.",
    Dependency.CLOCK: "By more than `keys.max_skew`. No date of its tokens means anything here.",
    Dependency.DENY_LIST: "The last known list still holds: whoever is on it is refused. What may "
    "be missing are the newest revocations.",
    Dependency.DENY_LIST_NEVER_LOADED: "There is no last known list to hold.",
    Dependency.POLICY: "The engine cannot be reached. Its errors are refusals, not outages.",
    Dependency.REPLAY: "Whether the token was used before cannot be told, nor be noted.",
    Dependency.REPLAY_OF_SINGLE_USE_TOKEN: "The same store; but here the token's own issuer said "
    "that it serves one call.",
    Dependency.SIDECAR: "Nobody is asked; Envoy decides, as said below.",
}
GIVEN_UP = (
    "the guard holds signature, issuer, audience, expiry and lifetime; deny list, tenant, scope "
    "and policy are given up, so a route that is sensitive, bound to its caller or single-use gets "
    "no open lane, and an operator may switch open lanes off"
)
"""The architecture's own words."""
ACCESSES = {Access.READ: "reads", Access.SENSITIVE: "sensitive reads", Access.WRITE: "writes"}
NO_LANE = StanceException(Dependency.SIDECAR, Access.READ, Stance.CLOSED, None, "why")
ROUTES = {
    "a plain route": make_route(),
    "`access: sensitive`, on the route or on GET": make_route(access=Access.SENSITIVE),
    "`access: write`": make_route(access=Access.WRITE),
    "`single_use: true`": make_route(single_use=True),
    "a `tenant`": make_route(tenant="acme"),
    "`bind`": make_route(bind=frozenset({Binding.CERTIFICATE})),
    "a path that ends in `graphql`": make_route(path=("{id}", "graphql")),
    "other methods declared as reads": make_route(
        operations={
            method: make_operation(access=Access.READ) for method in ("GET", "POST", "OPTIONS")
        }
    ),
    "`protocol: mcp`": make_mcp_route(),
    "an exception `when: sidecar`": make_route(outages=(NO_LANE,)),
}


def refused_as(dependency: Dependency) -> str:
    """The word of a refusal; with the sidecar dead Envoy has none."""
    reason = OUTAGE_REASON.get(dependency)
    return f"`{reason.word}`" if reason else "503 of Envoy"


def stance_table() -> str:
    lines = ["| word | when this is down | read | sensitive | write | refused as |"]
    lines.append("|---|---|---|---|---|---|")
    for dependency in Dependency:
        cells = " | ".join(STANCE[dependency, access].value for access in Access)
        row = f"`{dependency.value}` | {NAMES[dependency]} | {cells} | {refused_as(dependency)}"
        lines.append(f"| {row} |")
    return "\n".join(lines)


def words() -> str:
    return "\n".join(f"- `{one.value}`: {WORDS[one]} {_sentence(one)}" for one in Dependency)


def _sentence(dependency: Dependency) -> str:
    passing = [name for access, name in ACCESSES.items() if _is_open(dependency, access)]
    closed = [name for access, name in ACCESSES.items() if not _is_open(dependency, access)]
    refused = f"{_listed(closed)} are refused: {refused_as(dependency)}."
    return f"{_listed(passing).capitalize()} pass; {refused}" if passing else refused.capitalize()


def _is_open(dependency: Dependency, access: Access) -> bool:
    return STANCE[dependency, access] is Stance.OPEN


def _listed(names: list[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def exceptions_table() -> str:
    lines = ["| `when` | read | sensitive | write |", "|---|---|---|---|"]
    for dependency in Dependency:
        cells = " | ".join(_may_become(dependency, access) for access in Access)
        lines.append(f"| `{dependency.value}` | {cells} |")
    return "\n".join(lines)


def _may_become(dependency: Dependency, access: Access) -> str:
    """What an exception may make of a cell, and what it needs for that."""
    needs = {"`until`": (1.0, ""), "a `reason`": (None, "why")}
    for stance in Stance:
        enough = [
            name
            for name, (until, reason) in needs.items()
            if not list(faults_of([StanceException(dependency, access, stance, until, reason)]))
        ]
        if enough:
            return f"{stance.value}, with {' or '.join(enough)}"
    return "never"


def fixed_list() -> str:
    head = "Three rows have no exceptions:\n"
    return "\n".join((head, *(f"- `{one.value}`: {why}." for one, why in FIXED.items())))


def lanes_table() -> str:
    lines = ["| a route with | GET, HEAD | everything else |", "|---|---|---|"]
    for name, route in ROUTES.items():
        lines.append(f"| {name} | {_lane(route, ('GET', 'HEAD'))} | {_lane(route, _OTHERS)} |")
    return "\n".join(lines)


_OTHERS = ("OPTIONS", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE")


def _lane(route: Route, methods: Iterable[str]) -> str:
    [is_open] = {may_be_open(route, method) for method in methods}
    return "open" if is_open else "closed"


TABLES = {
    "table": stance_table,
    "words": words,
    "exceptions": exceptions_table,
    "fixed": fixed_list,
    "lanes": lanes_table,
}


def with_tables(page: str) -> str:
    return printed(page, TABLES)


def test_the_page_is_what_the_code_says() -> None:
    """Every table is printed from what decides."""
    page = PAGE.read_text()

    assert page == with_tables(page)
    assert all(f"<!-- {name} -->" in page for name in TABLES)
    assert "| open |" in page


def test_every_row_is_named_and_told() -> None:
    """A row that is added to the table is explained."""
    assert set(NAMES) == set(WORDS) == set(Dependency)


def test_the_page_says_what_is_given_up() -> None:
    """In the words of the design, whatever else the page says."""
    assert GIVEN_UP in " ".join(PAGE.read_text().split())


def at_start_of(year: int, month: int, day: int) -> float:
    return datetime(year, month, day, tzinfo=UTC).timestamp()


def test_the_page_says_how_far_ahead_an_opening_may_end() -> None:
    """The page, and the key's own line in the manual, have the limit that holds."""
    limit = f"at most {FURTHEST_END_S / 86400:g} days ahead"

    assert limit in " ".join(PAGE.read_text().split())
    assert limit in (OutageFile.model_fields["until"].description or "")


def test_the_page_names_every_key_and_mark() -> None:
    """The catalogue's keys, and the header that a tool sees."""
    page = PAGE.read_text()

    assert [name for name in OutageFile.model_fields if f"| `{name}` |" not in page] == []
    assert f"`{Outgoing().skipped}`" in page


def test_the_example_loads(tmp_path: Path) -> None:
    """As it stands on the page, on a day before its date; and it does what the page says."""
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    settings = (GOOD / "scopegate.yaml").read_text().replace("read:customers", "read:prices")
    (tmp_path / "scopegate.yaml").write_text(settings)
    (tmp_path / "catalogue.yaml").write_text(f"version: 1\n{example}")
    loaded = load_configuration(tmp_path / "scopegate.yaml", {}, now=at_start_of(2026, 12, 1))
    route = loaded.catalogue.routes["prices"]

    assert len(route.outages) == 3
    assert not may_be_open(route, "GET")
    assert may_be_open(replace(route, outages=()), "GET")


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(with_tables(PAGE.read_text()))
