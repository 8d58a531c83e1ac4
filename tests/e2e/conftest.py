"""The real parts: Envoy, the sidecar as its command starts it, an issuer and a tool.

They are found or the test fails with what to install; nothing here skips. One stage serves a
module: the ports are fixed, so that two stages cannot stand at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import pytest
import pytest_asyncio

from examples.demo.client import Answer, call
from examples.demo.processes import SIDECAR_CONFIG, Stage
from examples.demo.program import program
from sidecar.config.build import Configuration, load_configuration
from tests.e2e.envoy_file import EnvoyFile

Ask: TypeAlias = Callable[..., Awaitable[Answer]]


@pytest.fixture(scope="session")
def envoy() -> str:
    """The path of the real Envoy; raises with the way to install it when there is none."""
    return program("envoy")


@pytest.fixture(scope="session")
def file() -> EnvoyFile:
    return EnvoyFile()


@pytest.fixture(scope="session")
def configuration() -> Configuration:
    return load_configuration(SIDECAR_CONFIG, {})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    """Everything up and healthy."""
    # A short path: a Unix socket's may have 107 bytes.
    async with Stage(tmp_path_factory.mktemp("e2e")) as stage:
        yield stage


@pytest.fixture
def ask(stage: Stage) -> Ask:
    """``call`` on this stage."""

    async def asking(method: str, target: str, token: str | None = None, **more: Any) -> Answer:
        return await call(stage.http, method, target, token, **more)

    return asking
