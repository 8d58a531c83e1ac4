"""The real programs that tests run against: found, or the test fails and says how to get them."""

from __future__ import annotations

import os
import shutil
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
