"""The work: one tool call, and the calls that must not pass.

Every server gets the same: directly the bytes of the ``CheckRequest`` with which Envoy describes
the call, through Envoy the call itself. The calls to refuse are made once each, before a server is
measured and after it: one that skips a check of signature, issuer, audience, date, scope or amount
would be fast for the wrong reason.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bench.issuer import Issuer
from sidecar.envoy_api.generated import ext_authz_pb2 as pb

TOOL: Final = "transfer"
PATH: Final = "/mcp"
AMOUNT_LIMIT: Final = 1000
"""As in the policy library's own data (``data.limits.transfer.default``)."""

_AMOUNT: Final = 250
_HOST: Final = "tools.bench.example"
_ADDED_BY_ENVOY: Final = {
    ":authority": _HOST,
    ":method": "POST",
    ":path": PATH,
    ":scheme": "https",
    "x-forwarded-proto": "https",
    "x-request-id": "0f3c8a52-6d0e-4f7b-9c55-1d2a7b9e6f10",
}


@dataclass(frozen=True, slots=True)
class Call:
    """A POST to ``PATH`` as an MCP client sends it."""

    token: str = field(repr=False)
    body: bytes

    def headers(self) -> dict[str, str]:
        """All but the host."""
        return {
            "accept": "application/json, text/event-stream",
            "authorization": f"Bearer {self.token}",
            "content-length": str(len(self.body)),
            "content-type": "application/json",
            "mcp-protocol-version": "2025-06-18",
            "user-agent": "bench/1",
        }

    def as_http(self) -> bytes:
        """The whole request (RFC 9112), which leaves its connection open."""
        headers = {"host": _HOST, **self.headers()}
        lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Work:
    """The calls, and how Envoy asks about them."""

    def __init__(self, issuer: Issuer, marker: Mapping[str, str]) -> None:
        """``marker`` is what Envoy's route says of itself (``context_extensions``)."""
        self._issuer = issuer
        self.marker: Final = marker
        token, body = issuer.mint(), _body(_AMOUNT)
        self.call: Final = Call(token, body)
        """Allowed; the same every time, so that its token is one seen before."""
        self.check: Final = self.check_of(self.call)
        self.refused: Final[Mapping[str, Call]] = {
            "a forged token": Call(issuer.mint(forged=True), body),
            "another issuer's token": Call(issuer.mint(iss="https://other.example"), body),
            "a token for another audience": Call(issuer.mint(aud="ledger"), body),
            "an expired token": Call(issuer.mint_expired(), body),
            "a token without the scope": Call(issuer.mint(scope=["read:payments:balance"]), body),
            "an amount over the limit": Call(token, _body(AMOUNT_LIMIT + 1)),
        }

    def unseen(self, count: int) -> list[bytes]:
        """``count`` allowed checks, each with a token that nobody has seen before."""
        return [self.check_of(Call(self._issuer.mint(), self.call.body)) for _ in range(count)]

    def check_of(self, call: Call) -> bytes:
        """The serialised ``CheckRequest`` about ``call``."""
        request = pb.CheckRequest()
        http = request.attributes.request.http
        http.id, http.method, http.path = b"7184217308114", b"POST", PATH.encode()
        http.host, http.scheme, http.raw_body = _HOST.encode(), b"https", call.body
        for name, value in (_ADDED_BY_ENVOY | call.headers()).items():
            http.headers[name] = value.encode()
        request.attributes.source.address.socket_address.address = b"192.0.2.7"
        for name, value in self.marker.items():
            request.attributes.context_extensions[name] = value.encode()
        return request.SerializeToString(deterministic=True)


def _body(amount: int) -> bytes:
    arguments = {"to": "acct-47", "amount": amount, "currency": "EUR"}
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": TOOL, "arguments": arguments},
    }
    return json.dumps(call, separators=(",", ":")).encode()
