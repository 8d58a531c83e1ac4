"""A real OPA for the demo: it loads the shipped policies and answers on a Unix socket.

Guarded as ``opa/`` guards it: one question, from who holds the token.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Final

import aiohttp

from examples.demo.program import DemoError, Program

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_SOCKET: Final = "opa.sock"
_BUNDLE: Final = "policies.tar.gz"
_TOKEN: Final = "opa-token"  # noqa: S105 - the name of a file


def opa_binary() -> str:
    """Stock OPA: ``$SCOPEGATE_OPA`` or on the ``PATH``; empty when there is none."""
    named = os.environ.get("SCOPEGATE_OPA", "")
    return str(Path(named).resolve()) if named else shutil.which("opa") or ""


def opa_program(directory: Path, binary: str) -> Program:
    """OPA, to be started by ``start_opa``."""
    return Program(
        directory, "opa", "run", "--server", f"--addr=unix://{_SOCKET}",
        "--authentication=token", "--authorization=basic", "--skip-version-check",
        f"--config-file={_ROOT / 'opa' / 'opa.yaml'}", "--log-level=error",
        "--bundle", _BUNDLE, str(_ROOT / "opa"),
        binary=binary, environment={"OPA_TOKEN": _token(directory) if binary else ""},
    )  # fmt: skip


def settings_for_opa(directory: Path) -> dict[str, str]:
    """The variables by which a sidecar asks this OPA instead of deciding by itself."""
    opa = {"address": f"unix:{_SOCKET}", "token_file": str(directory / _TOKEN)}
    return {
        "SCOPEGATE__POLICY__ENGINE": "opa",
        "SCOPEGATE__POLICY__PATHS": "[]",
        "SCOPEGATE__POLICY__OPA": json.dumps(opa),
    }


async def build_bundle(directory: Path, binary: str) -> None:
    """Make of the shipped policies what an OPA may load: nothing that talks to the world."""
    build = await asyncio.create_subprocess_exec(
        binary, "build", "--bundle", "--ignore", "*_test.rego", "--revision", "demo",
        "--capabilities", str(_ROOT / "opa" / "capabilities.json"),
        "--output", str(directory / _BUNDLE), str(_ROOT / "policies"),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, said = await build.communicate()
    if build.returncode:
        raise DemoError(f"opa build failed: {said.decode(errors='replace')}")


async def start_opa(opa: Program) -> None:
    """Start it, again after a kill too, and wait until it is healthy."""
    await opa.start()
    async with aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(str(opa.directory / _SOCKET))
    ) as http:

        async def healthy() -> bool:
            try:
                async with http.get("http://opa/health") as answer:
                    return answer.ok
            except aiohttp.ClientError:
                return False

        await opa.ready(healthy)


def _token(directory: Path) -> str:
    """A new token, in a file that the sidecar reads and nobody else."""
    path, token = directory / _TOKEN, secrets.token_urlsafe(32)
    path.touch(mode=0o600)
    path.write_text(token)
    return token
