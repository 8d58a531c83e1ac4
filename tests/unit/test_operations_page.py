"""``docs/operations.md`` says what the code does; ``--write`` prints its tables again."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from prometheus_client import generate_latest

from sidecar.adapters.metrics import Metrics
from sidecar.core.reasons import Reason
from sidecar.core.record import record_of
from tests.pages import printed
from tests.values import full_verdict

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "operations.md"


def reasons_table() -> str:
    lines = ["| reason | status | the caller reads |", "|---|---|---|"]
    lines += [f"| `{r.word}` | {r.http_status} | {r.sentence} |" for r in Reason]
    return "\n".join(lines)


TABLES = {"reasons": reasons_table}


def with_tables(page: str) -> str:
    return printed(page, TABLES)


def test_tables_are_printed_from_the_code() -> None:
    """Reasons in the manual are those that are answered."""
    page = PAGE.read_text()

    assert page == with_tables(page)
    assert "| `replayed` |" in page


def test_every_metric_is_described() -> None:
    """No metric without a row, and no row without a metric."""
    described = set(re.findall(r"`(scopegate_[a-z_]+?)(?:_total)?`", PAGE.read_text()))
    source = "".join(
        (ROOT / "sidecar" / name).read_text()
        for name in ("assembly/measures.py", "assembly/__init__.py", "adapters/metrics.py")
    )

    assert described == set(re.findall(r'"(scopegate_[a-z_]+)"', source))
    assert "scopegate_decisions" in generate_latest(Metrics().registry).decode()


def test_every_field_of_a_record_is_described() -> None:
    """What a record can hold is what the manual says."""
    section = PAGE.read_text().split("## Decision records")[1].split("## Metrics")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    described = {field for row in rows for field in re.findall(r"`([a-z_]+)`", row)}
    written: set[str] = {"kind", "time", "decision_id", "seconds", "front_peer"}
    for verdict in full_verdict():
        written |= record_of(verdict).keys()

    assert described == written


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    PAGE.write_text(with_tables(PAGE.read_text()))
