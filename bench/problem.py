"""What keeps a measurement from being made, or from meaning anything."""

from __future__ import annotations


class BenchError(Exception):
    """A server did not come up, died, or answered wrongly; the text says which and how."""
