"""The issuer's JWK Set as a process of its own: ``python -m tests.faults.issuer FILE PORT``.

It only publishes what the file holds; whoever made the file mints the tokens.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Final

from aiohttp import web

from examples.demo.issuer import JWKS_PATH
from examples.demo.listening import Listening

_CACHE_CONTROL: Final = "public, max-age=3"


class PublishedKeys(Listening):
    """Serves one JWK Set on ``/jwks.json``."""

    def __init__(self, port: int, document: bytes) -> None:
        super().__init__(port)
        self._document = document
        self._etag = hashlib.sha256(document).hexdigest()[:16]

    def routes(self) -> list[web.RouteDef]:
        return [web.get(JWKS_PATH, self._jwks)]

    async def _jwks(self, request: web.Request) -> web.Response:
        known = {tag.value for tag in request.if_none_match or ()}
        if self._etag in known:
            answer = web.Response(status=304)
        else:
            answer = web.Response(body=self._document, content_type="application/json")
        answer.etag = self._etag
        answer.headers["Cache-Control"] = _CACHE_CONTROL
        return answer


async def _serve(document: bytes, port: int) -> None:
    await PublishedKeys(port, document).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]).read_bytes(), int(sys.argv[2])))
