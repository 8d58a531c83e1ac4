"""Facts about fetching that only these tests show."""

from __future__ import annotations

import pytest

from tests.fakes_keys import jwks
from tests.jwks_client import at, client_of
from tests.jwks_server import JwksServer, status


@pytest.mark.parametrize(("etag", "failures"), [('"b"', 1), ('"a"', 0), ('W/"a"', 0)])
async def test_304_is_no_answer_when_it_confirms_another_version(etag: str, failures: int) -> None:
    """RFC 9111, section 4.3.4: it is about a document that we do not have."""
    async with JwksServer() as server:
        server.answer = status(200, jwks("a"), ETag='"a"')
        async with client_of(at(server)) as client:
            server.answer = status(304, ETag=etag)
            await client.time.advance(60)

            assert client.status.failures == failures
