"""(8) What belongs to whoever used it first: a tool's session, a token without a proof of its own.

A pin is no proof of identity. Who comes first holds it, and a store that forgot it gives it to
whoever comes next: it turns a stolen session's or token's second user away while the store
remembers, and nothing more. A binding to a key (``cnf``) is what outlives that.
"""

from __future__ import annotations

import re
from typing import Final

from sidecar.core.digest import digest, hash_tag
from sidecar.core.model import (
    Agent,
    Binding,
    Call,
    Claim,
    Conflict,
    Dependency,
    Effects,
    Pin,
    Refused,
)
from sidecar.core.reasons import Reason
from sidecar.core.stance import FIXED

SESSION_S: Final = 86_400.0
"""How long after its last use a session stays its agent's, in seconds."""
PROOFS_PER_AGENT: Final = 10_000
"""Most DPoP proofs of one agent that may be remembered at once."""
PINS_PER_AGENT: Final = 1_000
"""Most sessions and tokens with a first peer that may be one agent's at once."""

# MCP 2025-11-25, Session Management: visible ASCII only. No comma: it is how Envoy and proxies join
# headers of one name, and a tool may read the first of what looks like one value here.
_SESSION: Final = re.compile(rb"[!-+\--~]{1,256}")


def pins_of(call: Call, agent: Agent, *, now: float) -> tuple[Pin, ...] | Refused:
    """What the call may use only if it is its caller's; ``now`` in seconds since the epoch.

    The token's pin stands before the session's: who may not use the token takes no session.
    Refused as ``BINDING_REFUSED`` when a first peer is wanted and nobody names one, and as
    ``SESSION_REFUSED`` unless a session is named once, by 1 to 256 visible ASCII characters
    without a comma.
    """
    peer = _first_peer_pin(agent)
    if isinstance(peer, Refused):
        return peer
    session = _session_pin(call, agent, now)
    if isinstance(session, Refused):
        return session
    return tuple(pin for pin in (peer, session) if pin is not None)


def proof_claim(agent: Agent) -> Claim | None:
    """The claim on the agent's DPoP proof (RFC 9449, section 11.1), or None without one.

    It counts by itself: proofs use up no room of the agent's single-use tokens.
    """
    proof = agent.proof
    if proof is None:
        return None
    tag = hash_tag(agent.issuer, agent.tenant)
    return Claim(
        key=f"{tag}:dpop:{digest(proof.jwk_thumbprint, proof.jti)}",
        owner=f"{tag}:dpop-agent:{digest(agent.issuer, agent.tenant, agent.agent)}",
        until=proof.until,
        dependency=Dependency.REPLAY_OF_SINGLE_USE_TOKEN,
        issued_at=proof.issued_at,
        quota=PROOFS_PER_AGENT,
    )


def strictest(effects: Effects) -> Dependency:
    """The stance row of a ledger that is silent about these effects, of which there is one or more.

    One that nobody can open, if any has it: else a read whose session nobody knows of would pass,
    and its single-use token with it, unclaimed.
    """
    claimed = [claim.dependency for claim in effects.claims]
    rows = [*claimed, *(pin.dependency for pin in effects.pins)]
    return next((row for row in rows if row in FIXED), rows[0])


def _first_peer_pin(agent: Agent) -> Pin | Refused | None:
    if Binding.FIRST_PEER not in agent.bindings:
        return None
    if not agent.peer:
        return Refused(Reason.BINDING_REFUSED, "nobody says who the peer is")
    return Pin(
        # With the tenant: two of one issuer may use the same jti, and neither locks the other out.
        key=f"{{{digest('first_peer', agent.issuer, agent.tenant, agent.jti)}}}:first-peer",
        holder=digest(agent.peer),
        owner=_owner(agent),
        until=agent.usable_until,
        dependency=Dependency.REPLAY_OF_SINGLE_USE_TOKEN,
        conflict=Conflict.ANOTHER_PEER,
    )


def _session_pin(call: Call, agent: Agent, now: float) -> Pin | Refused | None:
    if not call.session_header:
        return None
    # A tool behind CGI or WSGI reads "mcp_session_id" as "mcp-session-id".
    wanted = _folded(call.session_header)
    found = {name: v for name, v in call.request.headers.items() if _folded(name) == wanted}
    if not found:
        return None
    values = found.get(call.session_header, ())
    if len(found) != 1 or len(values) != 1 or not _SESSION.fullmatch(values[0]):
        return Refused(Reason.SESSION_REFUSED, f"no single session in {call.session_header}")
    session = values[0].decode("ascii")
    return Pin(
        # Without audience and route: one server may be behind several, and a session is the same.
        key=f"{{{digest('session', wanted, session)}}}:session",
        holder=digest(
            *(agent.issuer, agent.tenant, agent.subject, agent.agent),
            *(agent.actor_issuer, agent.actor),
        ),
        owner=_owner(agent),
        until=now + SESSION_S,
        dependency=Dependency.REPLAY,
        conflict=Conflict.SESSION_OF_ANOTHER,
    )


def _owner(agent: Agent) -> str:
    return digest(agent.issuer, agent.tenant, agent.agent)


def _folded(name: str) -> str:
    return name.lower().replace("_", "-")
