"""A catalogue's exceptions to the stance table: what arrives, and which dates are too far ahead."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.config.build import load_configuration
from sidecar.config.problem import ConfigurationError
from sidecar.core.model import Access, Dependency, Stance, StanceException

GOOD = Path(__file__).parents[2] / "vectors" / "config_broken" / "good"
OPENING = '{{when: policy, access: sensitive, stance: open, until: "{until}"}}'


def written(folder: Path, *outages: str, route: str = "") -> Path:
    """The good configuration; ``customers`` has a read and a sensitive read, and these exceptions.

    ``route`` is one more line of the route.
    """
    lines = "".join(f"      - {one}\n" for one in outages)
    more = (
        f"    {route}\n    outages:\n{lines}    operations:\n"
        '      OPTIONS: {access: sensitive, scope: "read:customers:{customer}"}'
    )
    text = (GOOD / "catalogue.yaml").read_text().replace("    operations:", more, 1)
    (folder / "catalogue.yaml").write_text(text)
    path = folder / "scopegate.yaml"
    path.write_text((GOOD / "scopegate.yaml").read_text())
    return path


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def problems_of(path: Path, now: float) -> list[tuple[str, str]]:
    """Field and message of each problem."""
    try:
        load_configuration(path, {}, now=now)
    except ConfigurationError as error:
        return [(problem.field, problem.message) for problem in error.problems]
    return []


def test_exceptions_become_the_cores(tmp_path: Path) -> None:
    """Every key arrives, in the order of the file; a date is the end of its day in UTC."""
    path = written(
        tmp_path,
        '{when: policy, access: sensitive, stance: open, until: "2028-02-29", reason: "trial"}',
        '{when: deny_list, access: read, stance: closed, reason: "answers feed a payment"}',
        '{when: replay, access: read, stance: closed, until: "2027-12-31"}',
        '{when: sidecar, access: read, stance: closed, reason: "no open lane"}',
    )
    route = load_configuration(path, {}, now=at("2027-06-01")).catalogue.routes["customers"]

    assert route.outages == (
        StanceException(
            Dependency.POLICY, Access.SENSITIVE, Stance.OPEN, at("2028-03-01"), "trial"
        ),
        StanceException(
            Dependency.DENY_LIST, Access.READ, Stance.CLOSED, None, "answers feed a payment"
        ),
        StanceException(Dependency.REPLAY, Access.READ, Stance.CLOSED, at("2028-01-01")),
        StanceException(Dependency.SIDECAR, Access.READ, Stance.CLOSED, None, "no open lane"),
    )


@pytest.mark.parametrize(
    ("until", "now", "too_late"),
    [
        ("2028-01-02", "2027-01-01T00:00", False),
        ("2028-01-02", "2027-01-01T23:59", False),
        ("2028-01-03", "2027-01-01T00:00", True),
        ("2028-01-03", "2027-01-01T23:59", True),
        ("2028-01-03", "2027-01-02T00:00", False),
        ("2026-12-31", "2027-01-01T00:00", False),
        ("0001-01-01", "2027-01-01T00:00", False),
        ("9999-12-31", "2027-01-01T00:00", True),
    ],
)
def test_an_opening_ends_within_366_days(
    tmp_path: Path, until: str, now: str, *, too_late: bool
) -> None:
    """Counted in whole days, the same all day long; one that has passed is no problem."""
    found = problems_of(written(tmp_path, OPENING.format(until=until)), at(now))

    assert [field for field, _ in found] == (["routes[0].outages[0].until"] if too_late else [])


def test_a_closing_may_end_whenever_it_wants(tmp_path: Path) -> None:
    """What closes asks nobody to come back and look."""
    closing = '{when: policy, access: read, stance: closed, until: "2999-12-31"}'

    assert problems_of(written(tmp_path, closing), at("2027-01-01")) == []


@pytest.mark.parametrize(
    "day", ["2027-1-31", "20270131", "2027-W05-1", "31.01.2027", "2027-01-32", "10000-01-01", ""]
)
def test_a_day_has_one_form(tmp_path: Path, day: str) -> None:
    """What readers could take for another day is no day."""
    [(field, message)] = problems_of(written(tmp_path, OPENING.format(until=day)), at("2027-01-01"))

    assert field == "routes[0].outages[0].until"
    assert message == "must be a date such as 2027-01-31, in quotes"


@pytest.mark.parametrize(
    "route", ["tenant: acme", "single_use: true", "access: sensitive", "access: write"]
)
def test_a_lane_that_is_closed_anyway_is_not_closed_again(tmp_path: Path, route: str) -> None:
    """Whoever believes to have closed it would be told nothing when its real reason goes."""
    closing = '{when: sidecar, access: read, stance: closed, reason: "why"}'

    assert len(problems_of(written(tmp_path, closing, route=route), at("2027-01-01"))) == 1


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    """Faults of several exceptions, each at its own."""
    path = written(
        tmp_path,
        "{when: policy, access: write, stance: open, reason: a}",
        "{when: policy, access: sensitive, stance: open, reason: a}",
        "{when: replay, access: read, stance: closed}",
    )

    assert [field for field, _ in problems_of(path, at("2027-01-01"))] == [
        "routes[0].outages[0].stance",
        "routes[0].outages[1].until",
        "routes[0].outages[2].reason",
    ]
