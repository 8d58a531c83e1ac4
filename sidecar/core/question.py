"""(7) Call + Agent -> Question: the one JSON document that policy is asked about.

This is contract version 1 (``policies/schema/input.json``, ``docs/policy.md``); whatever policy may
know stands here, so that a record of it can be asked again. Credentials do not: policies, their
logs and our records see no header that could be one.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from sidecar.core.credentials import is_credential_parameter, is_withheld
from sidecar.core.model import Agent, Ancestor, Call, Question, Request, ToolCall

CONTRACT_VERSION: Final = 1

_UNASKABLE: Final = Question(b"")
"""No JSON, so that every engine refuses it: what cannot be written down is not let through."""

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
            "risk": None if call.risk is None else call.risk.value,
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
        "ancestors": [_ancestor(ancestor, agent) for ancestor in agent.ancestors],
        "actor": {"id": agent.actor, "issuer": agent.actor_issuer or agent.issuer},
        "bindings": sorted(binding.value for binding in agent.bindings),
        "policy_version": agent.policy_version,
        "capability_hash": agent.capability_hash,
        "marks": agent.marks,
    }


def _ancestor(ancestor: Ancestor, agent: Agent) -> dict[str, Any]:
    scopes, at = ancestor.scopes, ancestor.delegated_at
    return {
        "id": ancestor.agent,
        "issuer": ancestor.issuer or agent.issuer,
        "scopes": None if scopes is None else [str(scope) for scope in scopes],
        "delegated_at": None if at is None else int(at),
    }


def _request(request: Request, access: str) -> dict[str, Any]:
    query: dict[str, list[str]] = {}
    for name, value in request.query:
        if not is_credential_parameter(name):  # listed by the route, or refused
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
            # pseudo headers are members of the request
            if name[:1] != ":" and not is_withheld(name)
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
