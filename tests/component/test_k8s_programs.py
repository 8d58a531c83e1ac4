"""The Pod's other programs, run as the Deployment runs them: real OPA, and the tool's stand-in."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import aiohttp
import pytest
import pytest_asyncio

from examples.demo.program import until
from tests.k8s_manifests import SECRETS, Pod
from tests.k8s_opa import Opa, running_opa

POD = Pod()
TOKEN: Final = SECRETS["opa-token"]["token"]
RULING: Final = "/v1/data/scopegate/ruling"
SECRET: Final = "only-the-caller-knows"
QUESTION: Final = {"input": {"request": {"access": "read", "query": {"q": [SECRET]}}}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opa(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opa]:
    """With the Secret."""
    async with running_opa(POD, tmp_path_factory.mktemp("opa")) as opa:
        yield opa


@pytest.mark.asyncio(loop_scope="module")
async def test_opa_serves_the_policies_to_who_holds_the_token(opa: Opa) -> None:
    """It is what OPA loaded, and all that it loaded."""
    status, answer = await opa.ask("POST", RULING, token=TOKEN, body=QUESTION)

    assert (status, answer["result"]["action"]) == (200, "allow")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("token", ["", "another", TOKEN + "x", TOKEN[:-1]])
async def test_opa_answers_nobody_else(opa: Opa, token: str) -> None:
    """The socket alone is not enough."""
    status, answer = await opa.ask("POST", RULING, token=token, body=QUESTION)

    assert (status, answer["code"]) == (401, "unauthorized")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/data"),
        ("GET", "/v1/data/system/authz/token"),
        ("POST", "/v1/data"),
        ("POST", "/v1/data/system/authz/token"),
        ("GET", RULING),
        ("POST", RULING + "/action"),
        ("PUT", "/v1/data/limits"),
        ("PATCH", "/v1/data/limits"),
        ("GET", "/v1/policies"),
        ("PUT", "/v1/policies/mine"),
        ("DELETE", "/v1/policies/mine"),
        ("POST", "/v1/query"),
        ("POST", "/v1/compile"),
        ("GET", "/v1/config"),
        ("POST", "/"),
    ],
)
async def test_opa_answers_nothing_else(opa: Opa, method: str, path: str) -> None:
    """Not even with the token: no policy is put, no data read, no other query run."""
    status, answer = await opa.ask(method, path, token=TOKEN, body={})

    assert (status, answer["code"]) == (401, "unauthorized")


@pytest.mark.asyncio(loop_scope="module")
async def test_opa_shows_strangers_its_health_only(opa: Opa) -> None:
    """The port of the probes has no API behind it."""
    assert (await opa.ask("GET", "/health", on=opa.probes))[0] == 200
    assert (await opa.ask("POST", RULING, token=TOKEN, on=opa.probes, body=QUESTION))[0] != 200


@pytest.mark.asyncio(loop_scope="module")
async def test_opa_opens_its_socket_to_its_group(opa: Opa) -> None:
    """Of which scopegate is, and the tool is not."""
    groups = {
        name: POD.containers[name]["securityContext"]["runAsGroup"]
        for name in ("opa", "scopegate", "tool")
    }

    assert stat.S_IMODE(opa.api.stat().st_mode) == 0o660
    assert groups["opa"] == groups["scopegate"] != groups["tool"]


async def test_opa_records_decisions_without_the_question(tmp_path: Path) -> None:
    """What the caller said is in no record; that there was a decision is."""
    async with running_opa(POD, tmp_path) as opa:
        await opa.ask("POST", RULING, token=TOKEN, body=QUESTION)

    lines = [json.loads(line) for line in opa.log.read_text().splitlines()]
    (record,) = [line for line in lines if line["msg"] == "Decision Log"]
    assert record["path"] == "scopegate/ruling"
    assert record["result"]["action"] == "allow"
    assert SECRET not in opa.log.read_text()
    assert TOKEN not in opa.log.read_text()


@pytest.mark.parametrize("environ", [{}, {"OPA_TOKEN": ""}])
async def test_opa_answers_nobody_without_the_secret(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """No token is no key that fits."""
    async with running_opa(POD, tmp_path, environ) as opa:
        for token in ("", " ", TOKEN):
            assert (await opa.ask("POST", RULING, token=token, body=QUESTION))[0] == 401


async def test_stand_in_tells_what_reached_it_and_ends_when_asked(tmp_path: Path) -> None:
    """On the address that it is given and no other; SIGTERM ends even a container's process 1."""
    POD.mount("tool", under=tmp_path)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _, *arguments, _ = POD.arguments("tool", tmp_path)
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, str(port), stderr=asyncio.subprocess.DEVNULL
    )
    async with aiohttp.ClientSession() as session:

        async def listening() -> bool:
            try:
                return (await session.get(f"http://127.0.0.1:{port}/")).status == 200
            except aiohttp.ClientError:
                return False

        try:
            await until(listening, "the stand-in to listen")
            url = f"http://127.0.0.1:{port}/customers/7?a=b"
            async with session.put(url, data=b"{}", headers={"x-agent-id": "a"}) as answer:
                seen = await answer.json()
            with pytest.raises(aiohttp.ClientError):
                await session.get(f"http://127.0.0.2:{port}/")
        finally:
            process.terminate()
            status = await process.wait()

    assert (seen["method"], seen["path"]) == ("PUT", "/customers/7?a=b")
    assert seen["headers"]["x-agent-id"] == "a"
    assert status == 0
