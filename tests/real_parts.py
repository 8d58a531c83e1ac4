"""The real programs that tests run against: found, or the test fails and says how to get them."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent


def opa_binary() -> Path:
    """Stock OPA: ``$SCOPEGATE_OPA``, on the ``PATH``, in ``make``'s cache or from ``go install``.

    Raises ``AssertionError`` when there is none: these tests are not skipped.
    """
    named, on_path = os.environ.get("SCOPEGATE_OPA"), shutil.which("opa")
    found = [
        *([Path(named)] if named else []),
        *([Path(on_path)] if on_path else []),
        ROOT / ".cache/go/bin/opa",
        *sorted((ROOT / ".cache/go").glob("opa-*/bin/opa"), reverse=True),
        Path.home() / "go/bin/opa",
    ]
    for binary in found:
        if os.access(binary, os.X_OK):
            return binary
    raise AssertionError("no OPA: run `make policies` once, or set SCOPEGATE_OPA to an opa binary")


def spire_server() -> Path:
    """SPIRE's server: ``$SCOPEGATE_SPIRE_SERVER``, on the ``PATH`` or in ``make``'s cache.

    Raises ``AssertionError`` when there is none: these tests are not skipped.
    """
    named, on_path = os.environ.get("SCOPEGATE_SPIRE_SERVER"), shutil.which("spire-server")
    found = [
        *([Path(named)] if named else []),
        *([Path(on_path)] if on_path else []),
        *sorted((ROOT / ".cache/go").glob("spire-*/bin/spire-server"), reverse=True),
    ]
    for binary in found:
        if os.access(binary, os.X_OK):
            return binary
    raise AssertionError("no SPIRE: run `make test` once, or set SCOPEGATE_SPIRE_SERVER")


def redis_server() -> Path:
    """Debian's ``redis-server``; see ``debian_program``."""
    return debian_program("redis-server", "redis-server")


def redis_sentinel() -> Path:
    """Debian's ``redis-sentinel``; see ``debian_program``."""
    return debian_program("redis-sentinel", "redis-sentinel")


def libfaketime() -> Path:
    """The library that Debian's ``faketime`` puts before a program's clock."""
    debian_program("faketime", "faketime")
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise AssertionError("faketime is there, its libfaketime.so.1 is not")
    return found[0]


@cache
def debian_program(name: str, package: str) -> Path:
    """A program on the ``PATH``; root gets its package installed once.

    Raises ``AssertionError`` when there is none: these tests are not skipped.
    """
    if shutil.which(name) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        for command in (["update"], ["install", "--yes", "--no-install-recommends", package]):
            subprocess.run(["apt-get", "-qq", *command], env=quiet, check=False, timeout=300)
    found = shutil.which(name)
    if found is None:
        raise AssertionError(f"no {name}: install the Debian package {package}")
    return Path(found)
