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
    CLOCK = "clock"
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
    certificate: bytes = field(default=b"", repr=False)
    """That certificate as Envoy sends it with ``include_peer_certificate``: URL-encoded PEM."""


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


class Risk(Enum):
    """What a mistake of one operation could cost, as the operator sees it; ``core.freshness``."""

    INTERACTIVE = "interactive"  # somebody waits for it
    HIGH = "high"  # high privilege, or across a border of trust
    BATCH = "batch"  # one task, for as long as that takes


class Binding(Enum):
    """How a caller shows that a token is its own; ``core.binding``."""

    CERTIFICATE = "certificate"  # cnf.x5t#S256 is the peer's certificate (RFC 8705, section 3)
    SPIFFE = "spiffe"  # the peer's SPIFFE id is the token's actor
    DPOP = "dpop"  # a proof by the key of cnf.jkt (RFC 9449)
    FIRST_PEER = "first_peer"  # whoever came with it first


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
    risk: Risk | None = None
    bind: frozenset[Binding] = frozenset()
    """The caller must show at least one of these; empty: what the token itself asks for."""
    session_header: str = ""
    """The header that names a session of the tool, which only one agent may use; empty: none."""
    credentials: frozenset[str] = frozenset()
    """Headers and query parameters, lower-case, that look like credentials and may pass."""


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


class Scheme(Enum):
    """How a token is presented in ``Authorization``; compared in lower case."""

    BEARER = "bearer"  # RFC 6750
    DPOP = "dpop"  # RFC 9449, section 7.1


@dataclass(frozen=True, slots=True)
class Credential:
    """The one token of a request, and how it is presented; nobody has looked into it."""

    scheme: Scheme
    token: bytes = field(repr=False)
    """1 to 8,192 characters of base64url and dots."""


@dataclass(frozen=True, slots=True)
class Jws:
    """A compact JWS whose form is right and whose signature nobody has checked yet."""

    digest: bytes
    """SHA-256 of the exact token bytes."""
    algorithm: str
    kid: str | None
    type: str | None
    unverified_issuer: str
    """``iss``; without one (or an empty one), the trust domain of a ``sub`` that is a SPIFFE id,
    as ``spiffe://domain``, or else empty."""
    unverified_claims: JsonObject = field(repr=False)
    signing_input: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    plain_header: bool = True
    """The header holds nothing beside ``alg``, ``kid`` and ``typ``."""


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One link of a token's delegation: somebody who acted, or allowed to act, before its agent."""

    agent: str
    issuer: str = ""
    """Whose name for it ``agent`` is; empty: the token's own issuer."""
    scopes: tuple[Scope, ...] | None = None
    """What it held when it delegated; None when the token does not say."""
    delegated_at: float | None = None
    """Seconds since the epoch."""
    expires_at: float | None = None
    """When its own token ends; seconds since the epoch. Nothing below it may end later."""


@dataclass(frozen=True, slots=True)
class SignedClaims:
    """Claims whose signature was valid under ``key``. Made by ``core.signature.prove`` only."""

    claims: JsonObject = field(repr=False)
    type: str | None
    key: Key
    chain: tuple[Ancestor, ...] = ()
    """AgentWrit's ``delegation_chain``, root first; every record's signature was valid, too."""
    digest: bytes = b""
    """SHA-256 of the signing input: the token's name where it has no ``jti``."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a token is bound to (``cnf``, RFC 7800); at least one of the two."""

    certificate: str = ""
    """``x5t#S256``: base64url of the SHA-256 of the DER certificate (RFC 8705, section 3.1)."""
    jwk_thumbprint: str = ""
    """``jkt``: base64url of the SHA-256 thumbprint of the key (RFC 9449, section 6.1)."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A DPoP proof that was good for this request; it may not serve a second one."""

    jwk_thumbprint: str
    jti: str
    issued_at: float
    """``iat`` of the proof; seconds since the epoch."""
    until: float
    """From when on no such proof is taken any more; seconds since the epoch."""


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
    """Oldest first; without the agent itself."""
    actor: str = ""
    """Who holds the token: the outermost ``act.sub`` (RFC 8693, section 4.1), else the subject."""
    actor_issuer: str = ""
    """Whose name for it ``actor`` is; empty: the token's own issuer."""
    confirmation: Confirmation | None = None
    policy_version: str = ""
    capability_hash: str = ""
    bindings: frozenset[Binding] = frozenset()
    """What the caller has shown of them; ``core.binding``."""
    proof: Proof | None = None
    peer: str = ""
    """Who came with the token, as far as somebody trusted says: a principal, a certificate's
    thumbprint or an address; empty when nobody does."""
    marks: tuple[str, ...] = ()
    """What was noticed and let pass, as code words; for policy, the tool, records and metrics."""


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
    quota: int | None = None
    """Most live claims of the owner; None: the ledger's own limit."""


class Conflict(Enum):
    """Why the ledger did not commit."""

    CLAIMED_BEFORE = "claimed_before"
    NOT_REMEMBERED = "not_remembered"  # the token is older than what the ledger knows of
    QUOTA = "quota"
    OVERLOADED = "overloaded"  # ours, or the callers' doing: not asked, not in time, or full
    SESSION_OF_ANOTHER = "session_of_another"  # the tool's session is another agent's
    ANOTHER_PEER = "another_peer"  # the token came from elsewhere first


@dataclass(frozen=True, slots=True)
class Pin:
    """One thing that belongs to whoever used it first: held by nobody else until ``until``.

    Whoever holds it may hold it again, which makes it last longer and never shorter.
    """

    key: str
    holder: str
    """A digest of who."""
    owner: str
    """A digest that the quota counts by: issuer, tenant and agent."""
    until: float
    """Seconds since the epoch."""
    dependency: Dependency
    conflict: Conflict
    """What it is called when somebody else holds it."""


@dataclass(frozen=True, slots=True)
class Effects:
    """What a call changes in the world if it passes.

    The pins are held first; whoever may use a thing may do so again, so that nothing is lost when
    a claim then fails. The claims are committed all or nothing.
    """

    claims: tuple[Claim, ...] = ()
    pins: tuple[Pin, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.claims or self.pins)


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
