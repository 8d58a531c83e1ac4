"""Records as JSON lines that nobody has to wait for."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import replace

from sidecar.adapters.decision_log import DecisionLog, line_of
from sidecar.core.model import Allowed, Refused, Verdict
from sidecar.core.reasons import Reason
from sidecar.observe import Observation
from tests.values import AGENT, NOW, REQUEST

SEEN = Observation("d-1", NOW, 0.00012345678, "unix:", Verdict(Refused(Reason.TOKEN_MISSING)))


def test_line_is_one_json_object() -> None:
    """A record is one line, with time and duration beside the decision."""
    line = line_of(SEEN)

    assert line.endswith(b"\n")
    assert json.loads(line) == {
        "kind": "decision",
        "time": NOW,
        "decision_id": "d-1",
        "seconds": 0.000123,
        "front_peer": "unix:",
        "decision": "deny",
        "reason": "token_missing",
    }


def test_line_escapes_what_could_break_out_of_it() -> None:
    """Line ends, escape sequences and quotes stay inside their string."""
    odd = 'a\n{"kind":"decision"}\x1b[2J"\u2028'
    verdict = Verdict(Allowed((), ()), agent=replace(AGENT, task=odd), request=REQUEST)
    line = line_of(replace(SEEN, verdict=verdict))

    assert line.count(b"\n") == 1
    assert b"\x1b" not in line
    assert json.loads(line)["task"] == odd


def test_log_writes_every_record_before_it_closes() -> None:
    """Closing writes what is queued."""
    lines: list[bytes] = []
    log = DecisionLog(lines.append)
    for _ in range(100):
        log(SEEN)
    log.close()

    assert len(lines) == 100
    assert log.dropped == 0


def test_log_goes_on_after_a_write_that_failed() -> None:
    """A disk that was full for a moment costs the records of that moment, counted."""
    lines: list[bytes] = []

    def fails_at_first(line: bytes) -> None:
        if not failed:
            failed.append(line)
            raise OSError(28, "No space left on device")
        lines.append(line)

    failed: list[bytes] = []
    log = DecisionLog(fails_at_first)
    for _ in range(50):
        log(SEEN)
    log.close()

    assert (len(failed), len(lines), log.dropped) == (1, 49, 1)


def test_log_keeps_no_request_for_a_slow_reader() -> None:
    """A queued record is its line: a flood of large bodies does not fill the memory."""
    go, started = threading.Event(), threading.Event()

    def slow(_: bytes) -> None:
        started.set()
        go.wait()

    log = DecisionLog(slow)
    log(SEEN)
    started.wait()
    request = replace(REQUEST, body=b"x" * 65_536)
    held = request.body
    before = sys.getrefcount(held)
    log(replace(SEEN, verdict=Verdict(Refused(Reason.TOKEN_MISSING), request=request)))

    assert sys.getrefcount(held) == before
    go.set()
    log.close()


def test_log_drops_and_counts_when_its_reader_is_slow() -> None:
    """A check never waits for the log."""
    go = threading.Event()
    started = threading.Event()

    def slow(_: bytes) -> None:
        started.set()
        go.wait()

    log = DecisionLog(slow, queue_length=2)
    log(SEEN)
    started.wait()
    for _ in range(5):
        log(SEEN)

    assert log.dropped == 3
    go.set()
    log.close()
