"""The machine's clocks: the one place that reads them."""

from __future__ import annotations

import time


class SystemClock:
    """``ports.Clock`` of a running sidecar."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
