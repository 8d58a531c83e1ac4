"""One check as one flat record: an allow-list of fields, so that nothing else can get in.

Never in it: a token, a header's value, a query, a body, an argument. What a caller controls is cut
to a length, and anything shaped like a JWT is masked wherever it turns up.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.core.model import Agent, Refused, Stance, Verdict
from sidecar.core.stance import STANCE

_LONGEST: Final = 256
# A JOSE header begins with "{" and a quote, with or without white space between them; here in
# base64url. One without its signature is masked too: it was cut from a whole one.
_JWT: Final = re.compile(
    r"e(?:yJ|yAi|wog|woJ|w0K|wki)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?"
)


def record_of(verdict: Verdict) -> dict[str, str | list[str]]:
    """What is kept of a check; a field that does not apply is absent.

    ``decision`` is one of allow, sanitize, deny, approval_needed; ``reason`` is a code word of
    ``core.reasons``; ``skipped`` names the questions that an outage left unanswered, and ``stance``
    is ``exception`` when one of them was skipped by an exception of the route, not by the table.
    ``ancestors`` are those in whose name the agent acts, oldest first; ``marks`` is what was
    noticed of the token and let pass.
    """
    fields: dict[str, str] = {"decision": outcome(verdict)}
    if isinstance(verdict.decision, Refused):
        refused = verdict.decision
        fields |= {
            "reason": refused.reason.word,
            "detail": refused.detail,
            "approval_id": refused.approval_id,
        }
    if verdict.ruling is not None:
        fields |= {"policy_reason": verdict.ruling.reason, "policy_detail": verdict.ruling.detail}
    if _skipped_by_exception(verdict):
        fields["stance"] = "exception"
    fields |= _what(verdict) | _who(verdict)
    record: dict[str, str | list[str]] = {k: safe(v) for k, v in fields.items() if v}
    if verdict.agent is not None:
        lists = _lists_of(verdict.agent)
        record |= {k: [safe(one) for one in v] for k, v in lists.items() if v}
    if verdict.skipped:
        record["skipped"] = [dependency.value for dependency in verdict.skipped]
    return record


def outcome(verdict: Verdict) -> str:
    """The action's word, as in policy: allow, sanitize, deny or approval_needed."""
    decision = verdict.decision
    if isinstance(decision, Refused):
        return "approval_needed" if decision.approval_id else "deny"
    return "sanitize" if decision.sanitized else "allow"


def _skipped_by_exception(verdict: Verdict) -> bool:
    # What was skipped against the table was skipped by an exception: nothing else can open a cell.
    call = verdict.call
    return call is not None and any(
        STANCE[dependency, call.access] is Stance.CLOSED for dependency in verdict.skipped
    )


def _what(verdict: Verdict) -> dict[str, str]:
    fields: dict[str, str] = {}
    if verdict.request is not None:
        request = verdict.request
        fields |= {
            "request_id": request.id,
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "lane": request.marker.lane,
            "source": request.peer.principal or request.peer.address,
        }
    if verdict.call is not None:
        call = verdict.call
        fields |= {
            "route": call.route,
            "access": call.access.value,
            "scope": str(call.scope),
            "server": call.server,
        }
        if call.tool is not None:
            fields |= {"rpc_method": call.tool.method, "tool": call.tool.name}
    return fields


def _who(verdict: Verdict) -> dict[str, str]:
    agent = verdict.agent
    if agent is None:
        return {}
    return {
        "issuer": agent.issuer,
        "tenant": agent.tenant,
        "subject": agent.subject,
        "agent": agent.agent,
        "actor": agent.actor if agent.actor not in (agent.agent, agent.subject) else "",
        "task": agent.task,
        "session": agent.session,
        "jti": agent.jti,
        "kid": agent.kid or "",
    }


def _lists_of(agent: Agent) -> dict[str, list[str]]:
    return {
        "ancestors": [ancestor.agent for ancestor in agent.ancestors],
        "bindings": sorted(binding.value for binding in agent.bindings),
        "marks": list(agent.marks),
    }


def safe(text: str) -> str:
    """Cut a text that somebody else chose, with whatever looks like a token masked."""
    # Cut before and after: the mask must not be what takes the time, and it may make a text short.
    masked = _JWT.sub("[token]", text[: 4 * _LONGEST])
    return masked if len(masked) <= _LONGEST else masked[:_LONGEST] + "…"
