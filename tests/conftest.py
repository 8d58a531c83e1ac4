"""What all tests share: nothing but how long the long ones run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """``make soak`` raises these numbers; the defaults are CI's."""
    parser.addoption(
        "--broken-requests",
        type=int,
        default=20_000,
        help="how many broken requests the gate has to answer",
    )


@pytest.fixture(scope="session")
def broken_requests(pytestconfig: pytest.Config) -> int:
    """How many broken requests the gate has to answer."""
    count: int = pytestconfig.getoption("--broken-requests")
    return count
