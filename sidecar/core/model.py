"""The values that a request turns into on its way; each hop narrows the one before it.

    bytes -> Request -> Call -> Jws -> SignedClaims -> Agent
          -> Question -> Ruling -> Decision -> bytes

A name carries its trust: ``Request``, ``Call`` and ``Jws`` are what somebody claims; an ``Agent``
is verified, and only ``core.verify.admit`` makes one. A refusal is a value (``Refused``), an
outage is the exception ``Unavailable``, and nothing starts as allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeAlias

from sidecar.core.reasons import Reason

JsonObject: TypeAlias = Mapping[str, Any]
"""A parsed JSON object whose members nobody has vouched for yet."""


class Access(Enum):
    """What a call may do to the world; decided once, by ``core.access``."""

    READ = "read"
    SENSITIVE = "sensitive"  # a read that fails closed unless its route says until when
    WRITE = "write"


class Dependency(Enum):
    """A part that may be down; with ``Access``, the coordinates of the stance table."""

    KEYS = "keys"
    DENY_LIST = "deny_list"
    DENY_LIST_NEVER_LOADED = "deny_list_never_loaded"
    POLICY = "policy"
    REPLAY = "replay"
    REPLAY_OF_SINGLE_USE_TOKEN = "replay_of_single_use_token"  # noqa: S105 - a name, no secret
    SIDECAR = "sidecar"


class Stance(Enum):
    """What happens to a call whose question nobody answers."""

    OPEN = "open"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class StanceException:
    """One cell of the stance table as one route has it; ``core.stance`` says which there may be."""

    dependency: Dependency
    access: Access
    stance: Stance
    until: float | None
    """Seconds since the epoch: it holds before that moment and not from it on. None: no end."""
    reason: str = ""
    """Why, in the operator's words; for people only."""


class Unavailable(Exception):  # noqa: N818 - it is a state of a dependency, not an error of ours
    """A dependency gave no answer in time. Raised by adapters only; the stance says what it means.

    Never raised for anything that a caller can bring about: those are ``Refused``.
    """

    def __init__(self, dependency: Dependency, detail: str = "") -> None:
        super().__init__(f"{dependency.value}: {detail}" if detail else dependency.value)
        self.dependency = dependency
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Refused:
    """The call does not pass. ``detail`` is for the record, never for the caller."""

    reason: Reason
    detail: str = ""
    public: str = ""
    """A public code word of the policy's own (``[a-z0-9_.-]``); empty when policy gave none."""
    approval_id: str = ""
    """Set with ``Reason.APPROVAL_NEEDED``: names the approval that the call waits for."""


# --- what arrives ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peer:
    """The downstream peer of Envoy, as Envoy says (``attributes.source``)."""

    address: str = ""
    principal: str = ""
    """The URI SAN (SPIFFE id), DNS SAN or subject of a verified client certificate, or empty."""


@dataclass(frozen=True, slots=True)
class Marker:
    """What Envoy's route says of itself in ``context_extensions``; see ``core.lanes``."""

    route: str = ""
    lane: str = ""
    rewrite: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as Envoy describes it (``attributes.request.http``), parsed once.

    Header names are lower-case and map to every value in order. ``path`` is without query and not
    decoded; ``segments`` are its decoded parts; ``query`` holds decoded pairs in their order.
    """

    id: str
    method: str
    scheme: str
    host: str
    path: str
    segments: tuple[str, ...]
    raw_query: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, tuple[bytes, ...]]
    body: bytes
    marker: Marker
    peer: Peer

    def header(self, name: str) -> bytes | None:
        """The one value of a header, or None when it is absent or there are several."""
        values = self.headers.get(name, ())
        return values[0] if len(values) == 1 else None


# --- what it asks for --------------------------------------------------------------------------


class Protocol(Enum):
    """How a route's calls are spoken."""

    HTTP = "http"
    MCP = "mcp"


@dataclass(frozen=True, slots=True)
class Scope:
    """``action:resource:identifier`` (AgentWrit's grammar); the identifier may hold colons."""

    action: str
    resource: str
    identifier: str

    def __str__(self) -> str:
        return f"{self.action}:{self.resource}:{self.identifier}"

    def covers(self, wanted: Scope) -> bool:
        """Whether holding this scope is enough for ``wanted``; only an identifier may be ``*``."""
        return (
            self.action == wanted.action
            and self.resource == wanted.resource
            and self.identifier in ("*", wanted.identifier)
        )


class Rewrite(Enum):
    """How a route's Envoy can replace a body; without one, sanitising a body is a refusal."""

    NONE = "none"
    TRANSFORM = "transform"
    EXT_PROC = "ext_proc"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A JSON-RPC call as an MCP client makes it (``core.jsonrpc``)."""

    method: str
    """The JSON-RPC method, e.g. ``tools/call``."""
    name: str
    """The tool, prompt or resource it names, or empty."""
    arguments: JsonObject
    id: str | int | None
    """None for a notification."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request together with what the operator's catalogue says of it; still nobody's."""

    request: Request
    route: str
    protocol: Protocol
    access: Access
    audience: str
    tenant: str | None
    """The only tenant whose tokens this route takes, or None."""
    scope: Scope
    """What a token must cover, its identifiers filled in from the path or the tool's name."""
    single_use: bool
    """The route or the tool wants a token that has not been used before."""
    forward_token: bool
    rewrite: Rewrite
    params: Mapping[str, str]
    tool: ToolCall | None
    server: str
    """The catalogue's name for the MCP server behind the route, or empty."""
    outages: tuple[StanceException, ...] = ()
    """The route's own exceptions to the stance table."""


# --- who asks ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """A public key of one issuer, tied to exactly one algorithm (RFC 8725, section 3.1).

    Equality is by issuer, kid, algorithm and RFC 7638 thumbprint, so that a refresh which brings
    the same key again keeps what was verified under it.
    """

    issuer: str
    kid: str | None
    algorithm: str
    thumbprint: str
    public: Any = field(compare=False, repr=False)
    """The ``cryptography`` public key object."""


@dataclass(frozen=True, slots=True)
class Jws:
    """A compact JWS whose form is right and whose signature nobody has checked yet."""

    digest: bytes
    """SHA-256 of the exact token bytes."""
    algorithm: str
    kid: str | None
    type: str | None
    unverified_issuer: str
    unverified_claims: JsonObject = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedClaims:
    """Claims whose signature was valid under ``key``. Made by ``core.signature.prove`` only."""

    claims: JsonObject = field(repr=False)
    type: str | None
    key: Key


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One link of a token's delegation, oldest first."""

    agent: str


@dataclass(frozen=True, slots=True)
class Agent:
    """A verified caller: signed by ``issuer``, and checked against its profile and the route."""

    issuer: str
    tenant: str
    subject: str
    agent: str
    """``agent_id`` when the issuer sets one, else the subject."""
    task: str
    session: str
    scopes: tuple[Scope, ...]
    jti: str
    kid: str | None
    issued_at: float | None
    """``iat`` in seconds since the epoch; None counts as older than everything."""
    expires_at: float
    """``exp``."""
    usable_until: float
    """``exp`` plus the issuer's leeway: what a claim on the token has to outlive."""
    single_use: bool
    """The token itself says that it serves one call."""
    ancestors: tuple[Ancestor, ...] = ()


# --- what policy is asked, and says ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """Everything policy may know of one call.

    Complete and serialisable, so that a record of it can be asked again: ``document`` is the JSON
    text of the contract in ``policies/schema``.
    """

    document: bytes = field(repr=False)


class Action(Enum):
    """What policy wants done with a call."""

    ALLOW = "allow"
    DENY = "deny"
    SANITIZE = "sanitize"
    APPROVAL_NEEDED = "approval_needed"


@dataclass(frozen=True, slots=True)
class Redaction:
    """One place that must not reach the tool as it is."""

    place: Literal["header", "query", "body"]
    name: str
    """A header's or a query parameter's name, or a JSON pointer into the body."""
    replacement: str | None = None
    """What stands there instead; None removes it."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What policy says, parsed once and strictly (``core.ruling``)."""

    action: Action
    reason: str = ""
    """Public code word, ``[a-z0-9_.-]``."""
    detail: str = ""
    """For the record only."""
    headers: tuple[tuple[str, str], ...] = ()
    redact: tuple[Redaction, ...] = ()
    single_use: bool = False


# --- what we do about it -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """One single-use thing to be claimed: won once, until ``until`` (seconds since the epoch)."""

    key: str
    """A digest of the length-prefixed issuer and jti: no two pairs share one."""
    owner: str
    """A digest that the quota counts by: issuer, tenant and agent."""
    until: float
    dependency: Dependency
    """The stance row that holds when the ledger is silent."""
    issued_at: float | None = None
    """``iat`` of the token; None counts as older than everything."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What a call changes in the world if it passes; committed all or nothing, or dropped."""

    claims: tuple[Claim, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.claims)


class Conflict(Enum):
    """Why the ledger did not commit."""

    CLAIMED_BEFORE = "claimed_before"
    NOT_REMEMBERED = "not_remembered"  # the token is older than what the ledger knows of
    QUOTA = "quota"
    OVERLOADED = "overloaded"  # on our side: the store was not asked, or not in time


@dataclass(frozen=True, slots=True)
class Allowed:
    """The call passes, with these changes to its request.

    No name stands in both ``set_headers`` and ``remove_headers``: Envoy removes after it sets.
    """

    set_headers: tuple[tuple[str, str], ...]
    remove_headers: tuple[str, ...]
    set_query: tuple[tuple[str, str], ...] = ()
    """Names as they stand in the query, and values that need no encoding."""
    remove_query: tuple[str, ...] = ()
    sanitized: bool = False


Decision: TypeAlias = Allowed | Refused


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision with everything that led to it: what records, spans and a shadow run need."""

    decision: Decision
    skipped: tuple[Dependency, ...] = ()
    """The questions that nobody answered and that the stance let pass."""
    request: Request | None = None
    call: Call | None = None
    agent: Agent | None = None
    question: Question | None = None
    ruling: Ruling | None = None
    effects: Effects = Effects()
