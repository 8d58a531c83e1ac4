"""How the deny commands speak with a socket: a sidecar's, or a relay's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, UnixConnector

REFUSED: Final = 1
UNREACHABLE: Final = 3
_LIMIT_S: Final = 10
_NOT_FOUND: Final = 404


class DenyFailed(Exception):  # noqa: N818 - it says what happened to the command
    """It is not known to have been done; the text says why. After silence it may have been."""

    def __init__(
        self, why: str, status: int = REFUSED, answer: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(why)
        self.status = status
        """The exit status."""
        self.answer = answer or {}


async def call(socket: Path, method: str, path: str = "/deny", **request: Any) -> Any:
    """The answer's JSON. Raises ``DenyFailed``."""
    connector, limit = UnixConnector(str(socket)), ClientTimeout(total=_LIMIT_S)
    async with ClientSession(connector=connector, timeout=limit) as session:
        try:
            async with session.request(method, f"http://admin{path}", **request) as response:
                return await _read(response, path)
        except (ClientError, TimeoutError, OSError):
            raise DenyFailed(f"no sidecar or relay answers on {socket}", UNREACHABLE) from None


async def _read(response: ClientResponse, path: str) -> Any:
    # What aiohttp refuses before our handlers see it, it refuses in plain text.
    if response.content_type != "application/json":
        if path != "/deny" and response.status == _NOT_FOUND:
            raise DenyFailed("a sidecar takes one entry at a time; only a relay takes a file")
        said = f"the answer was {response.status} {response.reason}; is it too long?"
        raise DenyFailed(said)
    answer = await response.json()
    if not response.ok:
        why = str(answer.get("error", "there was no such entry"))
        raise DenyFailed(why, answer=answer)
    return answer
