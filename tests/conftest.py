"""What all tests share: how long the long ones run, and how they say what they measured."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.measured import Tell


def pytest_addoption(parser: pytest.Parser) -> None:
    """``make soak`` raises these numbers; the defaults are CI's."""
    parser.addoption(
        "--broken-requests",
        type=int,
        default=20_000,
        help="how many broken requests the gate has to answer",
    )
    parser.addoption(
        "--single-use-runs",
        type=int,
        default=100,
        help="how often fifty parallel uses of a token are tried",
    )
    parser.addoption(
        "--revocations",
        type=int,
        default=40,
        help="how many revocations are timed",
    )
    parser.addoption(
        "--revoked",
        type=int,
        default=20_000,
        help="how many entries are revoked while Redis is killed",
    )


@pytest.fixture(scope="session")
def broken_requests(pytestconfig: pytest.Config) -> int:
    """How many broken requests the gate has to answer."""
    count: int = pytestconfig.getoption("--broken-requests")
    return count


@pytest.fixture(scope="session")
def single_use_runs(pytestconfig: pytest.Config) -> int:
    """How often fifty parallel uses of a token are tried."""
    count: int = pytestconfig.getoption("--single-use-runs")
    return count


@pytest.fixture(scope="session")
def revocations(pytestconfig: pytest.Config) -> int:
    """How many revocations are timed."""
    count: int = pytestconfig.getoption("--revocations")
    return count


@pytest.fixture(scope="session")
def revoked(pytestconfig: pytest.Config) -> int:
    """How many entries are revoked while Redis is killed."""
    count: int = pytestconfig.getoption("--revoked")
    return count


@pytest.fixture
def tell(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Tell:
    """Print what was measured (``pytest -s``), and put it into the report (``--junitxml``)."""

    def told(name: str, value: object) -> None:
        record_property(name, value)
        sys.stdout.write(f"\n{request.node.name}: {name}: {value}")

    return told
