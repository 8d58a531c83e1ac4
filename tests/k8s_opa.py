"""The Pod's OPA as the Deployment runs it: its init containers, one after the other, then OPA."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp

from examples.demo.program import until
from tests.k8s_manifests import Pod
from tests.real_parts import opa_binary

BUILDERS: Final = ("policy-check", "policy-build", "guard-build")
"""The init containers that end before OPA starts, in their order."""

_NO_PLACE_ELSE: Final = {"TMPDIR": "/nonexistent", "HOME": "/nonexistent"}
"""A container that may write to its volumes only has neither."""


def build(pod: Pod, folder: Path) -> subprocess.CompletedProcess[str]:
    """Mount everything of OPA's below ``folder`` and run the init containers.

    Like the kubelet, stop at the first that fails; returned is the last that ran.
    """
    pod.mount(*BUILDERS, "opa", under=folder)
    check, *others = BUILDERS
    done = _run(pod, check, folder)
    for name in others:
        done = done if done.returncode else _run(pod, name, folder)
    return done


def _run(pod: Pod, container: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [opa_binary(), *pod.arguments(container, folder)],
        env={**_NO_PLACE_ELSE, **pod.environment(container)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def bundle(folder: Path, name: str) -> dict[str, bytes]:
    """What ``build`` left for OPA: content by file name, without folders."""
    with tarfile.open(folder / "var/lib/opa" / name) as archive:
        files = {one.name: archive.extractfile(one) for one in archive if one.isfile()}
        return {Path(path).name: file.read() for path, file in files.items() if file}


@dataclass(frozen=True, slots=True)
class Opa:
    """A running OPA; ``log`` is what its container would print."""

    api: Path
    probes: Path
    log: Path

    async def ask(
        self, method: str, path: str, *, token: str = "", on: Path | None = None, body: Any = None
    ) -> tuple[int, Any]:
        """Status and document of one request, over the socket of the API unless told."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connector = aiohttp.UnixConnector(str(on or self.api))
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
            session.request(method, f"http://opa{path}", json=body) as answer,
        ):
            text = await answer.text()
        return answer.status, json.loads(text) if text.startswith("{") else text


@asynccontextmanager
async def running_opa(
    pod: Pod, folder: Path, environ: dict[str, str] | None = None
) -> AsyncIterator[Opa]:
    """OPA with the container's arguments, mounts and variables, or with ``environ`` instead.

    Its probes are on a socket, not on a port.
    """
    built = build(pod, folder)
    assert built.returncode == 0, built.stdout + built.stderr
    opa = Opa(folder / "run/opa/opa.sock", folder / "probes.sock", folder / "log")
    arguments = [
        f"--diagnostic-addr=unix://{opa.probes}" if one.startswith("--diagnostic-addr=") else one
        for one in pod.arguments("opa", folder)
    ]
    variables = pod.environment("opa") if environ is None else environ
    with opa.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            opa_binary(), *arguments, env={**_NO_PLACE_ELSE, **variables}, stdout=log, stderr=log
        )

    async def healthy() -> bool:
        assert process.returncode is None, opa.log.read_text()
        try:
            return (await opa.ask("GET", "/health", on=opa.probes))[0] == 200
        except aiohttp.ClientError:
            return False

    try:
        await until(healthy, "OPA to be healthy")
        yield opa
    finally:
        process.terminate()
        await process.wait()
