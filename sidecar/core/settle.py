"""(9) Ruling -> decision: which headers and query parameters an allowed request carries.

Identity headers are set by overwriting every copy that a client sent; one for which the token
says nothing is removed, and so is every second credential. Envoy removes after it sets, so no name
stands in both lists. What cannot be rewritten with certainty is refused, not forwarded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from sidecar.core.model import (
    Action,
    Agent,
    Allowed,
    Call,
    Decision,
    Redaction,
    Refused,
    Request,
    Ruling,
)
from sidecar.core.reasons import Reason

# What would reroute, reframe or authenticate a request if a policy could touch it. Only a cookie
# may be taken away.
_NEVER_WRITTEN: Final = frozenset(
    {
        "authorization", "connection", "content-encoding", "content-length", "content-type",
        "cookie", "expect", "forwarded", "host", "keep-alive", "proxy-authenticate",
        "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
        "x-http-method", "x-http-method-override", "x-method-override", "x-real-ip", "x-request-id",
    }
)  # fmt: skip
_NEVER_WRITTEN_PREFIXES: Final = (":", "x-envoy-", "x-forwarded-")

# What Envoy writes into a request line when it validates mutations (seen on 1.40): it neither
# encodes nor takes what is encoded, and answers 500 to anything else.
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-._")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Names of the headers that scopegate writes; all lower-case."""

    agent: str = "x-agent-id"
    tenant: str = "x-agent-tenant"
    scopes: str = "x-agent-scopes"
    task: str = "x-agent-task"
    decision: str = "x-authz-decision-id"
    skipped: str = "x-authz-skipped"
    marks: str = "x-authz-marks"
    policy_headers: frozenset[str] = frozenset()
    """Names that a ruling may set besides these; a client's copies never reach the tool."""

    @property
    def identity(self) -> tuple[str, ...]:
        """The names that say who calls; a ruling may not touch them."""
        said = (self.agent, self.tenant, self.scopes, self.task, self.decision)
        return (*said, self.skipped, self.marks)


def settle(
    ruling: Ruling, call: Call, agent: Agent, outgoing: Outgoing, decision_id: str
) -> Decision:
    """What is done about a ruling; for ALLOW and SANITIZE, the changes to the request."""
    match ruling.action:
        case Action.DENY:
            return Refused(Reason.POLICY_DENIED, ruling.detail, ruling.reason)
        case Action.APPROVAL_NEEDED:
            approval_id = f"apr-{decision_id}"
            return Refused(Reason.APPROVAL_NEEDED, ruling.detail, ruling.reason, approval_id)
        case Action.ALLOW | Action.SANITIZE:
            return _pass(ruling, call, agent, outgoing, decision_id)


def withhold(decision: Decision, names: Iterable[str]) -> Decision:
    """Take these headers of the client's away as well, where a call passes.

    One that the decision sets is not the client's any more.
    """
    if not isinstance(decision, Allowed):
        return decision
    ours = {name for name, _ in decision.set_headers}
    removed = {*decision.remove_headers, *names} - ours
    return replace(decision, remove_headers=tuple(sorted(removed)))


def _pass(
    ruling: Ruling, call: Call, agent: Agent, outgoing: Outgoing, decision_id: str
) -> Decision:
    foreign = [name for name, _ in ruling.headers if name not in outgoing.policy_headers]
    if foreign:
        return Refused(Reason.POLICY_ERROR, f"ruling sets the header {foreign[0]!r}")
    headers = dict(ruling.headers)
    removed = set(outgoing.policy_headers)
    query = _redacted_query(call.request, _of(ruling.redact, "query"))
    if isinstance(query, Refused):
        return query
    for redaction in _of(ruling.redact, "header"):
        name = redaction.name
        if name in outgoing.identity or _is_never_written(name, redaction):
            return Refused(Reason.POLICY_ERROR, f"ruling redacts the header {name!r}")
        if redaction.replacement is None:
            headers.pop(name, None)
            removed.add(name)
        elif name in call.request.headers:
            headers[name] = redaction.replacement
    if any(_of(ruling.redact, "body")):
        return Refused(Reason.SANITIZE_IMPOSSIBLE, f"route {call.route} cannot rewrite bodies")
    headers |= _identity(agent, outgoing, decision_id)
    removed.update(outgoing.identity)
    removed.discard(outgoing.skipped)  # the encoder's: known only once every question was asked
    if not call.forward_token:
        removed.add("authorization")
    return Allowed(
        set_headers=tuple(headers.items()),
        remove_headers=tuple(sorted(removed - headers.keys())),
        set_query=query[0],
        remove_query=query[1],
        sanitized=ruling.action is Action.SANITIZE,
    )


def _is_never_written(name: str, redaction: Redaction) -> bool:
    if name == "cookie" and redaction.replacement is None:
        return False
    return name in _NEVER_WRITTEN or name.startswith(_NEVER_WRITTEN_PREFIXES)


def _identity(agent: Agent, outgoing: Outgoing, decision_id: str) -> dict[str, str]:
    headers = {
        outgoing.agent: agent.agent,
        outgoing.tenant: agent.tenant,
        outgoing.scopes: " ".join(map(str, agent.scopes)),
        outgoing.task: agent.task,
        outgoing.decision: decision_id,
        outgoing.marks: ",".join(agent.marks),
    }
    return {name: value for name, value in headers.items() if value}


def _of(redactions: Iterable[Redaction], place: str) -> tuple[Redaction, ...]:
    return tuple(redaction for redaction in redactions if redaction.place == place)


def _redacted_query(
    request: Request, redactions: tuple[Redaction, ...]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]] | Refused:
    """Parameters to set and to remove, by the names that Envoy will look for.

    Envoy compares names as they stand in the query, a tool compares them decoded: ``%65mail`` is
    ``email`` to one and not to the other. A query with such a name, or with ``;``, which some
    tools take for a separator, cannot be rewritten with certainty.
    """
    if not redactions:
        return (), ()
    spelled = [pair.partition("=")[0] for pair in request.raw_query.split("&") if pair]
    if ";" in request.raw_query or not all(map(_PLAIN.issuperset, spelled)):
        return Refused(Reason.SANITIZE_IMPOSSIBLE, "query holds an encoded name or a ';'")
    present = [redaction for redaction in redactions if redaction.name in spelled]
    if not all(_PLAIN.issuperset(redaction.replacement or "") for redaction in present):
        return Refused(Reason.SANITIZE_IMPOSSIBLE, "a replacement that Envoy would not write")
    return (
        tuple((r.name, r.replacement) for r in present if r.replacement is not None),
        tuple(r.name for r in present if r.replacement is None),
    )
