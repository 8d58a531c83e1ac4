"""What has to be known of a server to measure it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Server:
    """A gRPC server of ``envoy.service.auth.v3.Authorization``, not started yet."""

    key: str
    """Its name in the JSON."""
    name: str
    """Its name for people."""
    command: tuple[str, ...]
    directory: Path
    """Its own, empty but for its files; it runs there and logs there, each time it is measured."""
    port: int
    """On 127.0.0.1."""
    fault: Callable[[bytes], str | None]
    """What is wrong with its answer to a call that passes."""
    judges: bool = True
    """False for one that does no work and so refuses nothing."""
