"""The manual says what the models say."""

from __future__ import annotations

from pathlib import Path

from sidecar.config.environment import overrides_in
from sidecar.config.reference import manual

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"


def test_the_page_is_what_the_models_say() -> None:
    """The page in the repository is the one that the models print."""
    assert PAGE.read_text() == manual()


def test_every_setting_has_its_meaning_and_type() -> None:
    """No row of any table has an empty cell."""
    rows = [line for line in manual().splitlines() if line.startswith("| `")]

    assert len(rows) > 60
    assert [row for row in rows if "" in [cell.strip() for cell in row[1:-1].split("|")]] == []


def test_every_variable_of_the_page_exists() -> None:
    """Each variable that the page names is one that the environment may hold."""
    words = {word.strip("`") for word in manual().split() if word.startswith("`SCOPEGATE__")}
    names = words - {"SCOPEGATE__A__B", "SCOPEGATE__"}

    assert len(names) > 40
    assert overrides_in(dict.fromkeys(names, "{}")).problems == ()
