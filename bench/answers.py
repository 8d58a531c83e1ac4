"""What an answer must be. Every answer of a measurement is looked at, after the clock has stopped.

Both servers that do the work must set the same five headers and remove the token. What Envoy does
with an answer is decided by ``status.code`` (0 passes), so that comes first.
"""

from __future__ import annotations

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
REMOVED: Final = ("authorization", "x-authz-skipped")


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


def _parsed(raw: bytes) -> pb.CheckResponse | None:
    try:
        return pb.CheckResponse.FromString(raw)
    except DecodeError:
        return None
