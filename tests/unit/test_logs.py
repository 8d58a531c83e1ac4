"""Operational logs: they tell type and place, never a caller's words, and never fail."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator

import pytest
import structlog

from sidecar.logs import configure

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.fixture(autouse=True)
def _configured() -> Iterator[None]:
    configure("info")
    yield
    structlog.reset_defaults()


def test_log_tells_type_and_place_of_an_exception(capsys: pytest.CaptureFixture[str]) -> None:
    """Its text may hold what a caller sent, and stays out."""
    try:
        int(TOKEN)  # its message quotes what it was given
    except ValueError:
        structlog.get_logger().exception("failed")
    line = json.loads(capsys.readouterr().err)

    assert line["event"] == "failed"
    assert line["error"] == "ValueError"
    assert line["at"].startswith("test_logs.py:")
    assert TOKEN not in json.dumps(line)


class Full(io.StringIO):
    """A standard error on a disk without room."""

    def write(self, _: str) -> int:
        raise OSError(28, "No space left on device")


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [Full(), closed()], ids=["full", "closed"])
def test_log_raises_nothing_when_it_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    """A check that ends in a bug is still answered, and keys are still kept fresh."""
    monkeypatch.setattr(sys, "stderr", stream)

    structlog.get_logger().error("lost")
