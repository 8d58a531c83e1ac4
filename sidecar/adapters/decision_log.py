"""Decision records as JSON lines, written by a thread of their own.

A check never waits for whoever reads the log: when the queue is full, or a write fails, the record
is dropped and counted, and the count is a metric. What is queued is the line itself: the request
that it tells of, with its body, is not kept for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Full, Queue
from typing import Final

import msgspec
import structlog

from sidecar.core.record import record_of
from sidecar.observe import Observation

_QUEUE_LENGTH: Final = 10_000
_log: Final = structlog.get_logger(__name__)


class DecisionLog:
    """An ``observe.Observer``; ``write`` gets one complete line at a time, on the log's thread."""

    def __init__(
        self, write: Callable[[bytes], None], *, queue_length: int = _QUEUE_LENGTH
    ) -> None:
        self.dropped = 0
        self._write = write
        self._queue: Queue[bytes | None] = Queue(queue_length)
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)
        self._thread.start()

    def __call__(self, observation: Observation) -> None:
        """Hand over one record, or drop it."""
        try:
            self._queue.put_nowait(line_of(observation))
        except Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what is queued, then stop. Waits for the reader of the log at most 5 seconds."""
        try:
            self._queue.put(None, timeout=1)
        except Full:
            return
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while (line := self._queue.get()) is not None:
            try:
                self._write(line)
            except Exception as error:  # noqa: BLE001 - a full disk must not end the log for good
                self.dropped += 1
                if self.dropped == 1:
                    _log.error("decision_log_failed", error=type(error).__name__)


def line_of(observation: Observation) -> bytes:
    """One record as one line of JSON; control characters are escaped by JSON itself."""
    head = {
        "kind": "decision",
        "time": round(observation.at, 6),
        "decision_id": observation.decision_id,
        "seconds": round(observation.seconds, 6),
        "front_peer": observation.peer,
    }
    return msgspec.json.encode(head | record_of(observation.verdict)) + b"\n"
