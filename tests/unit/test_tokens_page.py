"""docs/tokens.md says what the code says; run with ``--write`` to print its tables again."""

from __future__ import annotations

import sys
from pathlib import Path

from sidecar.config.lifetime_section import LifetimeSettings
from sidecar.config.profiles import PRESETS, Preset
from tests.pages import printed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tokens.md"


def _list(words: frozenset[str]) -> str:
    return ", ".join(f"`{word}`" if word else "none" for word in sorted(words)) or "-"


def _claim(name: str) -> str:
    return f"`{name}`" if name else "-"


def profiles_table() -> str:
    names = tuple(PRESETS)
    rows: tuple[tuple[str, list[str]], ...] = (
        ("`typ`", [_list(one.types) for one in PRESETS.values()]),
        ("agent", [_claim(one.claims.agent) for one in PRESETS.values()]),
        ("tenant", [_claim(one.claims.tenant) or "its only one" for one in PRESETS.values()]),
        ("scopes", [_scopes(one) for one in PRESETS.values()]),
        ("task", [_claim(one.claims.task) for one in PRESETS.values()]),
        ("session", [_claim(one.claims.session) for one in PRESETS.values()]),
        ("required", [_list(one.required) for one in PRESETS.values()]),
        ("delegation", [_list(frozenset(d.value for d in p.delegation)) for p in PRESETS.values()]),
    )
    lines = [f"| | {' | '.join(names)} |", "|---|" + "---|" * len(names)]
    lines += [f"| {what} | {' | '.join(cells)} |" for what, cells in rows]
    return "\n".join(lines)


def _scopes(preset: Preset) -> str:
    if preset.wants:
        return f"by `{preset.wants}`"
    return _claim(preset.claims.scope)


def lifetimes_table() -> str:
    limits = LifetimeSettings().limits()
    lines = ["| calls | `max_age` | `max_lifetime` |", "|---|---|---|"]
    for kind, limit in (*limits.by_access.items(), *limits.by_risk.items()):
        cells = [f"{s:g} s" if s is not None else "-" for s in (limit.max_age, limit.max_lifetime)]
        lines.append(f"| `{kind.value}` | {' | '.join(cells)} |")
    return "\n".join(lines)


TABLES = {"profiles": profiles_table, "lifetimes": lifetimes_table}


def with_tables(page: str) -> str:
    return printed(page, TABLES)


def test_the_page_is_what_the_code_says() -> None:
    """The tables are printed from the presets and the defaults."""
    page = PAGE.read_text()

    assert page == with_tables(page)
    assert "| `high` | 300 s | 300 s |" in page


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(with_tables(PAGE.read_text()))
