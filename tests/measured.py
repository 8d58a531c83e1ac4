"""What tests measure: told by the fixture ``tell``, read out of pytest's ``--junitxml``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree as ET

Tell: TypeAlias = Callable[[str, object], None]
"""Takes a name and what was measured."""


def measured(report: Path, *names: str) -> str:
    """The measurements of these names, on one line; those that are not there are left out."""
    told = ET.parse(report).getroot().iter("property")
    values = {one.get("name", ""): one.get("value", "") for one in told}
    return "; ".join(f"{name} {values[name]}" for name in names if name in values)
