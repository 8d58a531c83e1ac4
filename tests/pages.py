"""Pages of the manual whose tables are printed from the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping


def printed(page: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """``page`` with what stands between ``<!-- name -->`` and ``<!-- /name -->`` printed anew."""
    for name, table in tables.items():
        page = re.sub(
            f"<!-- {name} -->.*?<!-- /{name} -->",
            f"<!-- {name} -->\n{table()}\n<!-- /{name} -->",
            page,
            flags=re.DOTALL,
        )
    return page
