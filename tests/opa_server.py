"""A real OPA for tests, guarded as ``opa/`` guards it: it can be killed, stopped and come back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import aiohttp

from examples.demo.program import until
from tests.real_parts import ROOT

GUARD: Final = ROOT / "opa"
REVISION: Final = "0123456789abcdef"
RULING: Final = "/v1/data/scopegate/ruling"


class OpaProcess:
    """``async with OpaProcess(command, token, socket) as opa``: any OPA that listens there.

    ``log`` is all that it prints.
    """

    def __init__(
        self, command: Sequence[str | Path], token: str, socket: Path, *, cwd: Path | None = None
    ) -> None:
        self.socket = socket
        self.log = socket.with_suffix(".log")
        self._command = command
        self._token = token
        self._cwd = cwd
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    async def start(self) -> None:
        """Start, or start again after ``kill``, and wait until it is healthy."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - it belongs to no event loop
                self._command,
                env={"OPA_TOKEN": self._token},
                stdout=log,
                stderr=log,
                cwd=self._cwd,
            )
        try:
            await until(self._healthy, "OPA to be healthy")
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """``kill -9``, and wait for its end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """``SIGSTOP``, and wait until it stands: it keeps its sockets and answers nothing."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        os.waitpid(self._process.pid, os.WUNTRACED)

    def cont(self) -> None:
        """``SIGCONT``: it goes on where it stood."""
        self._signal(signal.SIGCONT)

    async def ask(
        self, method: str, path: str, *, token: str = "", body: object = None
    ) -> tuple[int, str]:
        """Status and text of one request over the socket."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
            session.request(method, f"http://opa{path}", json=body) as answer,
        ):
            return answer.status, await answer.text()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    async def _healthy(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return (await self.ask("GET", "/health"))[0] == 200
        except aiohttp.ClientError:
            return False


class OpaServer(OpaProcess):
    """``async with OpaServer(binary, policies, token, socket) as opa``.

    ``policies`` is a folder as the embedded engine takes it; tests in it are left out. It is loaded
    as a bundle of revision ``REVISION`` beside the guard. ``port`` above 0 makes it listen on
    127.0.0.1 too.
    """

    def __init__(
        self, binary: Path, policies: Path, token: str, socket: Path, *, port: int = 0
    ) -> None:
        bundle = socket.with_suffix(".bundle")
        shutil.copytree(policies, bundle, ignore=_unused)
        roots = {"scopegate", *_data_of(policies)}
        manifest = {"roots": sorted(roots), "revision": REVISION}
        (bundle / ".manifest").write_text(json.dumps(manifest))
        addresses = [f"unix://{socket}", *([f"127.0.0.1:{port}"] if port else [])]
        command: list[str | Path] = [
            *(binary, "run", "--server", "--authentication=token", "--authorization=basic"),
            *(f"--addr={address}" for address in addresses),
            f"--config-file={GUARD / 'opa.yaml'}",
            "--skip-version-check",
            *("--bundle", bundle, GUARD),
        ]
        super().__init__(command, token, socket)


def _unused(_: str, names: list[str]) -> set[str]:
    return {name for name in names if name.startswith(".") or name.endswith("_test.rego")}


def _data_of(policies: Path) -> list[str]:
    document = policies / "data.json"
    return list(json.loads(document.read_text())) if document.exists() else []
