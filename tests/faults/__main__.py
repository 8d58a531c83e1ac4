"""``python -m tests.faults``, part of ``make soak``: the long form, into ``docs/outages.md``.

The exit status is 1 when a call went otherwise than the stance table says.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.faults import FAULTS
from tests.faults.page import page
from tests.faults.play import Calm, Lengths, Played, running
from tests.real_parts import ROOT

LONG = Lengths(calm=10, down=8, around=3)
PAGE = ROOT / "docs" / "outages.md"


async def _played() -> tuple[Calm, list[Played]]:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        async with running(Path(folder), LONG) as run:
            calm = await run.calm()
            return calm, [await run.play(fault) for fault in FAULTS]


def _version() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def main() -> int:
    """Play every fault and write the page."""
    calm, played = asyncio.run(_played())
    PAGE.write_text(page(calm, played, _version()))
    wrong = [f"{one.fault.name}: {line}" for one in played for line in one.wrong]
    sys.stdout.write("".join(f"{line}\n" for line in wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
