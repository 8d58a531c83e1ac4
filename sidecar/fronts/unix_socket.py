"""Unix sockets that belong to their owner alone, and to one sidecar at a time.

Binding replaces whatever file is there: after a crash that is what one wants, but a second sidecar
would silently take the first one's place, and its deny list and used tokens with it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Generator
from pathlib import Path
from typing import Final

_OWNER_ONLY: Final = 0o177


@contextlib.contextmanager
def private(path: Path) -> Generator[None]:
    """Bind ``path`` inside this context. Raises ``OSError`` when somebody listens there already."""
    if _is_served(path):
        raise OSError(f"cannot listen on {path}: another process does")
    before = os.umask(_OWNER_ONLY)
    try:
        yield
    finally:
        os.umask(before)


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
