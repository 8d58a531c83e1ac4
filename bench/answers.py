"""What an answer must be; every answer of a measurement is looked at.

Both servers that do the work must set the same five headers and remove the token. What Envoy does
with an answer is decided by ``status.code`` (0 passes), so that comes first.

Through Envoy, the route says in a response header what a tool would have been sent: a call that
was let through is told by it, and whether it was let through by a server that did the work.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from google.protobuf.message import DecodeError

from bench.issuer import AGENT, SCOPES, TASK, TENANT
from sidecar.envoy_api.generated import ext_authz_pb2 as pb

IDENTITY: Final = {
    "x-agent-id": AGENT,
    "x-agent-tenant": TENANT,
    "x-agent-scopes": " ".join(SCOPES),
    "x-agent-task": TASK,
}
DECISION: Final = "x-authz-decision-id"
REMOVED: Final = ("authorization", "x-authz-marks", "x-authz-skipped")

SENT: Final = "bench-sent"
"""The response header of Envoy's route; it stands in no answer that Envoy was told to refuse."""
SENT_FORMAT: Final = "|".join(f"%REQ({name})%" for name in IDENTITY) + "|%REQ(authorization):6%"
"""Its value (Envoy's command operators): the identity headers, and how the token begins."""
SENT_BY_WORK: Final = "|".join(IDENTITY.values()) + "|"
"""What it says behind a server that does the work: the whole identity, and no token."""
SENT_BY_FLOOR: Final = "|" * len(IDENTITY) + "Bearer"
"""What it says behind one that does none: the call as it came."""

_REFUSED: Final = (401, 403)
"""A server that fails, or is too late, refuses as well, but with Envoy's own 503."""


def fault_of_allow(raw: bytes) -> str | None:
    """What is wrong with the answer to a call that passes, or None."""
    answer = _parsed(raw)
    if answer is None:
        return "no CheckResponse"
    if answer.status.code != 0 or not answer.HasField("ok_response"):
        return f"refused ({answer.status.code} {answer.status.message!r})"
    headers = {
        option.header.key.decode(): (option.header.value or option.header.raw_value).decode()
        for option in answer.ok_response.headers
    }
    if len(headers) != len(answer.ok_response.headers):
        return "a header is set twice"
    if not headers.pop(DECISION, "") or headers != IDENTITY:
        return "allowed without the identity headers"
    if sorted(answer.ok_response.headers_to_remove) != [name.encode() for name in REMOVED]:
        return f"allowed without removing exactly {', '.join(REMOVED)}"
    return None


def fault_of_refusal(raw: bytes) -> str | None:
    """What is wrong with the answer to a call that must not pass, or None."""
    answer = _parsed(raw)
    if answer is None:
        return "no CheckResponse"
    return "let through" if answer.status.code == 0 else None


def fault_of_floor(raw: bytes) -> str | None:
    """What is wrong with the answer of a server that does no work, or None."""
    answer = _parsed(raw)
    return None if answer is not None and answer.status.code == 0 else "no empty OK"


def fault_of_sent(status: int, sent: str | None, wanted: str) -> str | None:
    """What is wrong with Envoy's answer to a call that passes, or None.

    ``sent`` is the value of ``SENT`` if it is there, ``wanted`` what it has to be.
    """
    if status == HTTPStatus.OK and sent == wanted:
        return None
    return f"status {status}, {SENT}: {sent}"


def fault_of_blocked(status: int, sent: str | None) -> str | None:
    """What is wrong with Envoy's answer to a call that must not pass, or None."""
    if sent is not None:
        return "let through"
    return None if status in _REFUSED else f"status {status}, not one of {_REFUSED}"


def _parsed(raw: bytes) -> pb.CheckResponse | None:
    try:
        return pb.CheckResponse.FromString(raw)
    except DecodeError:
        return None
