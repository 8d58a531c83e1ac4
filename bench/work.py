"""The work: one tool call as Envoy describes it, and the calls that must not pass.

Every server gets the same bytes. The calls to refuse are asked once each, before anything is
measured: a server that skips a check of signature, issuer, audience, date, scope or amount would
be fast for the wrong reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from bench.issuer import Issuer
from sidecar.envoy_api.generated import ext_authz_pb2 as pb

TOOL: Final = "transfer"
AMOUNT_LIMIT: Final = 1000
"""As in the policy library's own data (``data.limits.transfer.default``)."""

_AMOUNT: Final = 250
_HOST: Final = "tools.bench.example"


class Work:
    """Serialised ``CheckRequest`` messages."""

    def __init__(self, issuer: Issuer, marker: Mapping[str, str]) -> None:
        """``marker`` is what Envoy's route says of itself (``context_extensions``)."""
        self._issuer = issuer
        self._marker = marker
        token = issuer.mint()
        self.check: Final = self._request(token)
        """Allowed; the same bytes every time, so that its token is one seen before."""
        self.refused: Final[Mapping[str, bytes]] = {
            "a forged token": self._request(issuer.mint(forged=True)),
            "another issuer's token": self._request(issuer.mint(iss="https://other.example")),
            "a token for another audience": self._request(issuer.mint(aud="ledger")),
            "an expired token": self._request(issuer.mint_expired()),
            "a token without the scope": self._request(
                issuer.mint(scope=["read:payments:balance"])
            ),
            "an amount over the limit": self._request(token, amount=AMOUNT_LIMIT + 1),
        }

    def unseen(self, count: int) -> list[bytes]:
        """``count`` allowed checks, each with a token that nobody has seen before."""
        return [self._request(self._issuer.mint()) for _ in range(count)]

    def _request(self, token: str, amount: int = _AMOUNT) -> bytes:
        body = _body(amount)
        request = pb.CheckRequest()
        http = request.attributes.request.http
        http.id, http.method, http.path = b"7184217308114", b"POST", b"/mcp"
        http.host, http.scheme, http.raw_body = _HOST.encode(), b"https", body
        for name, value in _headers(token, len(body)).items():
            http.headers[name] = value.encode()
        request.attributes.source.address.socket_address.address = b"192.0.2.7"
        for name, value in self._marker.items():
            request.attributes.context_extensions[name] = value.encode()
        return request.SerializeToString(deterministic=True)


def _headers(token: str, length: int) -> dict[str, str]:
    """What an MCP client and Envoy send along."""
    return {
        ":authority": _HOST,
        ":method": "POST",
        ":path": "/mcp",
        ":scheme": "https",
        "accept": "application/json, text/event-stream",
        "authorization": f"Bearer {token}",
        "content-length": str(length),
        "content-type": "application/json",
        "mcp-protocol-version": "2025-06-18",
        "user-agent": "bench/1",
        "x-forwarded-proto": "https",
        "x-request-id": "0f3c8a52-6d0e-4f7b-9c55-1d2a7b9e6f10",
    }


def _body(amount: int) -> bytes:
    arguments = {"to": "acct-47", "amount": amount, "currency": "EUR"}
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": TOOL, "arguments": arguments},
    }
    return json.dumps(call, separators=(",", ":")).encode()
