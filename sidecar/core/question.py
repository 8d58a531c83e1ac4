"""(7) Call + Agent -> Question: the one JSON document that policy is asked about.

This is contract version 1 (``policies/schema/input.json``, ``docs/policy.md``); whatever policy may
know stands here, so that a record of it can be asked again. Credentials do not: policies, their
logs and our records see no header that could be one.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sidecar.core.model import Agent, Call, Question, Request, ToolCall

CONTRACT_VERSION: Final = 1

_UNASKABLE: Final = Question(b"")
"""No JSON, so that every engine refuses it: what cannot be written down is not let through."""

# A header is withheld when one of its name's words stands here. That takes a few harmless ones
# along (Idempotency-Key); a list of known credentials would miss the next vendor's.
_CREDENTIAL_WORDS: Final = frozenset(
    {
        "accesstoken", "apikey", "apitoken", "assertion", "auth", "authentication",
        "authorization", "authtoken", "bearer", "cookie", "cookie2", "credential", "credentials",
        "dpop", "idtoken", "jwt", "key", "passphrase", "passwd", "password", "secret", "session",
        "token", "tokens",
    }
)  # fmt: skip
_NO_CREDENTIALS: Final = frozenset({"mcp-session-id"})  # MCP, Security Best Practices: no proof

_encode: Final = msgspec.json.Encoder().encode


def question_of(call: Call, agent: Agent, *, now: float, revision: str) -> Question:
    """Write down everything that policy may know of one call; never raises.

    ``now`` is in seconds since the epoch, ``revision`` names the loaded policies. Values that no
    JSON text can hold (a lone surrogate, an integer of thousands of digits, too much nesting, an
    infinite time) make an empty document, which every engine refuses as ``POLICY_ERROR``.
    """
    try:
        return Question(_encode(_document(call, agent, now, revision)))
    except (ValueError, OverflowError, RecursionError, TypeError):
        return _UNASKABLE


def _document(call: Call, agent: Agent, now: float, revision: str) -> dict[str, Any]:
    peer = call.request.peer
    return {
        "version": CONTRACT_VERSION,
        "now": int(now),
        "agent": _agent(agent),
        "request": _request(call.request, call.access.value),
        "tool": None if call.tool is None else _tool(call.tool, call.server),
        "route": {
            "name": call.route,
            "protocol": call.protocol.value,
            "audience": call.audience,
            "params": call.params,
        },
        "source": {"address": peer.address, "principal": peer.principal},
        "policy": {"revision": revision},
    }


def _agent(agent: Agent) -> dict[str, Any]:
    return {
        "issuer": agent.issuer,
        "tenant": agent.tenant,
        "subject": agent.subject,
        "id": agent.agent,
        "task": agent.task,
        "session": agent.session,
        "scopes": [str(scope) for scope in agent.scopes],
        "issued_at": None if agent.issued_at is None else int(agent.issued_at),
        "expires_at": int(agent.expires_at),
        "ancestors": [{"id": ancestor.agent} for ancestor in agent.ancestors],
    }


def _request(request: Request, access: str) -> dict[str, Any]:
    query: dict[str, list[str]] = {}
    for name, value in request.query:
        query.setdefault(name, []).append(value)
    return {
        "id": request.id,
        "method": request.method,
        "scheme": request.scheme,
        "host": request.host,
        "path": request.path,
        "segments": request.segments,
        "query": query,
        "headers": {
            name: [value.decode("utf-8", "backslashreplace") for value in values]
            for name, values in request.headers.items()
            if _may_be_told(name)
        },
        "access": access,
        "body_bytes": len(request.body),
    }


def _tool(tool: ToolCall, server: str) -> dict[str, Any]:
    return {
        "server": server,
        "method": tool.method,
        "name": tool.name,
        "arguments": tool.arguments,
    }


def _may_be_told(name: str) -> bool:
    if name[:1] == ":":
        return False  # pseudo headers are members of the request
    words = (name.replace("_", "-") if "_" in name else name).split("-")
    return _CREDENTIAL_WORDS.isdisjoint(words) or name in _NO_CREDENTIALS
