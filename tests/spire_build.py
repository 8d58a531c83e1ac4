"""Builds SPIRE's server from its Go module: ``python -m tests.spire_build VERSION TARGET``.

Most of SPIRE is plugins for the clouds, which no test here uses. They are left out of the catalogue
of built-in plugins: that spares compiling the clouds' libraries, one of which (as of 1.15.3) cannot
be had from the public module proxy. What mints tokens is untouched.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

_MODULE: Final = "github.com/spiffe/spire"
_PLUGIN: Final = re.compile(rf'\t(?:(\w+) )?"{_MODULE}/pkg/server/plugin/\w+/(\w+)"\n')
_KEPT: Final = frozenset({"jointoken", "memory", "disk", "uniqueid"})


def build(version: str, target: Path) -> None:
    """Build ``spire-server`` as ``target``; Go checks the module against its checksum database."""
    answer = _go("mod", "download", "-json", f"{_MODULE}@{version}", cwd=target.anchor)
    module = Path(json.loads(answer)["Dir"])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        source = Path(folder, "spire")
        shutil.copytree(module, source, copy_function=shutil.copyfile)
        for directory, _, _ in os.walk(source):
            Path(directory).chmod(0o755)  # Go's cache is read-only
        for catalogue in source.glob("pkg/server/catalog/*.go"):
            catalogue.write_text(without_clouds(catalogue.read_text()))
        built = Path(folder, target.name)
        _go("build", "-trimpath", "-ldflags=-s -w", "-o", built, "./cmd/spire-server", cwd=source)
        built.replace(target)


def without_clouds(catalogue: str) -> str:
    """One of SPIRE's catalogues with no built-in plugin but those that tests use."""
    for line in _PLUGIN.finditer(catalogue):
        alias, name = line.groups()
        if name not in _KEPT:
            catalogue = catalogue.replace(line[0], "")
            catalogue = catalogue.replace(f"\t\t{alias or name}.BuiltIn(),\n", "")
    return catalogue


def _go(*arguments: str | Path, cwd: str | Path) -> str:
    # SQLite is one huge file of C; how fast it runs matters to no test.
    environment = os.environ | {"CGO_CFLAGS": "-O0", "GOWORK": "off"}
    command = ["go", *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode()


if __name__ == "__main__":
    build(sys.argv[1], Path(sys.argv[2]).absolute())
