"""The kinds of call that are sent: what is asked, by whom, and where a bad one is refused.

Shares are of 40 calls, so that at 200 a second a kind with share 2 comes ten times a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from sidecar.core.model import Access, Dependency
from sidecar.core.reasons import Reason

READ, SENSITIVE, WRITE = Access.READ, Access.SENSITIVE, Access.WRITE
REVOKED_AGENT: Final = "agent-9"
GUARD: Final = "guard: 401"
STRICT: Final = "strict: 403"
"""Envoy's word on a token that only scopegate can judge, while it is silent."""
"""What Envoy's own check of tokens says on the open lane."""


class Step(Enum):
    """The steps of the line at which something can be refused, in its order."""

    KEY = 3
    SIGNATURE = 4
    DENY_LIST = 5
    SCOPE = 6
    POLICY = 7
    CLAIM = 8


class Token(Enum):
    """Which token a call carries."""

    GOOD = "good"
    NEW = "new with every call"
    SINGLE = "new with every call, single-use by itself"
    FORGED = "signed by another key"
    REVOKED = "of a revoked agent"
    OTHER_SCOPE = "for another resource"
    USED = "used before"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of call; ``refused`` is the step and the reason at which a bad one ends."""

    name: str
    share: int
    method: str
    target: str
    route: str
    access: Access
    scope: str
    token: Token = Token.GOOD
    claim: Dependency | None = None
    """The row of the stance table for its claim, where it has one."""
    refused: tuple[Step, Reason] | None = None
    body: bytes = b""

    @property
    def good(self) -> bool:
        """Whether policy and everything else let it pass."""
        return self.refused is None


_CUSTOMER: Final = ("/customers/7", "customers")
_EXPORT: Final = ("/exports/q3", "exports")
_TOO_MUCH: Final = (
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call",'
    b'"params":{"name":"transfer","arguments":{"amount":5000}}}'
)
_READS: Final = "read:customers:7"
_WRITES: Final = "write:customers:7"
_BY_ROUTE: Final = Dependency.REPLAY
_BY_TOKEN: Final = Dependency.REPLAY_OF_SINGLE_USE_TOKEN

KINDS: Final = (
    Kind("read", 8, "GET", *_CUSTOMER, READ, _READS),
    Kind("sensitive read", 4, "GET", "/records/5", "records", SENSITIVE, "read:records:5"),
    Kind("write", 5, "PUT", *_CUSTOMER, WRITE, _WRITES, body=b"{}"),
    Kind("single-use read", 2, "GET", *_EXPORT, READ, "read:exports:q3", Token.NEW, _BY_ROUTE),
    Kind("single-use write", 3, "POST", *_EXPORT, WRITE, "write:exports:q3", Token.NEW, _BY_ROUTE),
    Kind("read, single-use token", 2, "GET", *_CUSTOMER, READ, _READS, Token.SINGLE, _BY_TOKEN),
    Kind("write, single-use token", 2, "PUT", *_CUSTOMER, WRITE, _WRITES, Token.SINGLE, _BY_TOKEN),
    Kind(
        "forged read", 2, "GET", *_CUSTOMER, READ, _READS, Token.FORGED,
        refused=(Step.SIGNATURE, Reason.SIGNATURE_INVALID),
    ),
    Kind(
        "forged write", 2, "PUT", *_CUSTOMER, WRITE, _WRITES, Token.FORGED,
        refused=(Step.SIGNATURE, Reason.SIGNATURE_INVALID),
    ),
    Kind(
        "revoked agent's read", 2, "GET", *_CUSTOMER, READ, _READS, Token.REVOKED,
        refused=(Step.DENY_LIST, Reason.REVOKED),
    ),
    Kind(
        "revoked agent's write", 2, "PUT", *_CUSTOMER, WRITE, _WRITES, Token.REVOKED,
        refused=(Step.DENY_LIST, Reason.REVOKED),
    ),
    Kind(
        "read out of scope", 2, "GET", *_CUSTOMER, READ, "read:customers:8", Token.OTHER_SCOPE,
        refused=(Step.SCOPE, Reason.INSUFFICIENT_SCOPE),
    ),
    Kind(
        "write that policy holds", 2, "POST", "/mcp", "payments", WRITE, "write:payments:transfer",
        refused=(Step.POLICY, Reason.APPROVAL_NEEDED), body=_TOO_MUCH,
    ),
    Kind(
        "replayed write", 2, "POST", *_EXPORT, WRITE, "write:exports:q3", Token.USED, _BY_ROUTE,
        refused=(Step.CLAIM, Reason.REPLAYED),
    ),
)  # fmt: skip
