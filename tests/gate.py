"""A whole gate for tests: the real pipeline over parts that a test can replace or take down."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NoReturn

import grpc

from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.adapters.verified_tokens import VerifiedTokens
from sidecar.core.binding import Callers
from sidecar.core.catalogue import Catalogue, Operation, Route, ScopeTemplate
from sidecar.core.freshness import Lifetimes
from sidecar.core.lanes import Lane, lane_digest, markers_of
from sidecar.core.model import Access, Dependency, Effects, Protocol, Question, Unavailable
from sidecar.core.pins import strictest
from sidecar.core.settle import Outgoing
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from sidecar.fronts.grpc_aio import SERVICE, GrpcFront
from sidecar.generation import Generation, Live
from sidecar.observe import Observation
from sidecar.pipeline import Pipeline
from sidecar.ports import DenyList, Keys, Ledger, Policy
from tests.fakes_keys import FakeKeys
from tests.fakes_policy import FakePolicy
from tests.tokens import AUDIENCE, ISSUER, make_profile, make_token, signer
from tests.values import StillClock

ORDERS = Route(
    name="orders",
    protocol=Protocol.HTTP,
    path=("orders", "{order}"),
    audience=AUDIENCE,
    operations={
        "GET": Operation(ScopeTemplate("read", "orders", "{order}")),
        "PUT": Operation(ScopeTemplate("write", "orders", "{order}")),
    },
)
RECORDS = Route(
    name="records",
    protocol=Protocol.HTTP,
    path=("records", "{order}"),
    audience=AUDIENCE,
    operations={"GET": Operation(ScopeTemplate("read", "orders", "{order}"))},
    access=Access.SENSITIVE,
)
GLOBEX = Route(
    name="globex",
    protocol=Protocol.HTTP,
    path=("globex", "{order}"),
    audience=AUDIENCE,
    operations={"GET": Operation(ScopeTemplate("read", "orders", "{order}"))},
    tenant="globex",
)
TICKETS = Route(
    name="tickets",
    protocol=Protocol.HTTP,
    path=("tickets",),
    audience=AUDIENCE,
    operations={"GET": Operation(ScopeTemplate("read", "orders", "t-1"))},
    single_use=True,
)
TOOLS = Route(
    name="tools",
    protocol=Protocol.MCP,
    path=("mcp",),
    audience=AUDIENCE,
    operations={},
    server="shop",
)
CATALOGUE = Catalogue(
    routes={route.name: route for route in (ORDERS, RECORDS, GLOBEX, TICKETS, TOOLS)},
    servers={"shop": {"refund": Operation(ScopeTemplate("write", "orders", "o-1"))}},
    methods={"shop": {"tools/list": Operation(ScopeTemplate("read", "orders", "list"))}},
)


class BrokenPolicy:
    """A policy with a bug: it raises what no port allows."""

    revision = "broken"

    def __init__(self, bug: BaseException) -> None:
        self._bug = bug

    async def rule_on(self, question: Question, *, deadline: float) -> NoReturn:
        del question, deadline
        raise self._bug


class SkewedKeys:
    """An issuer whose clock is not ours."""

    async def find(self, issuer: str, kid: str | None, *, deadline: float) -> NoReturn:
        del issuer, kid, deadline
        raise Unavailable(Dependency.CLOCK, "test")


def unreachable_policy() -> FakePolicy:
    """A policy engine that nobody answers for."""
    policy = FakePolicy()
    policy.reachable = False
    return policy


def unreachable_keys() -> FakeKeys:
    """An issuer whose keys were never there."""
    keys = FakeKeys(StillClock())
    keys.publish(ISSUER, None)
    return keys


class SilentLedger:
    """A store of what was used that nobody answers for."""

    async def commit(self, effects: Effects, *, now: float, deadline: float) -> NoReturn:
        del now, deadline
        raise Unavailable(strictest(effects), "test")


def silent_ledger() -> SilentLedger:
    """A ledger that gives no answer, and never heard of anything."""
    return SilentLedger()


def full_ledger() -> MemoryLedger:
    """A ledger that has no room for any claim or pin."""
    return MemoryLedger(capacity=0, per_owner=10, pins_capacity=0)


def published(clock: StillClock) -> FakeKeys:
    """The keys of ``ISSUER``: those of ``signer()`` and ``signer("ES256")``."""
    keys = FakeKeys(clock)
    document = {"keys": [signer().jwk, signer("ES256").jwk]}
    keys.publish(ISSUER, json.dumps(document).encode())
    keys.refresh(ISSUER)
    return keys


@dataclass
class Gate:
    """The parts of one pipeline; ``None`` takes the real one."""

    policy: Policy = field(default_factory=FakePolicy)
    keys: Keys | None = None
    deny_list: DenyList = field(default_factory=lambda: MemoryDenyList(capacity=100))
    ledger: Ledger = field(default_factory=lambda: MemoryLedger(capacity=100, per_owner=10))
    clock: StillClock = field(default_factory=StillClock)
    outgoing: Outgoing = field(default_factory=Outgoing)
    catalogue: Catalogue = CATALOGUE
    profile: Mapping[str, Any] = field(default_factory=dict)
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    callers: Callers = field(default_factory=Callers)
    seen: list[Observation] = field(default_factory=list)

    def pipeline(self) -> Pipeline:
        ids = (f"d-{number}" for number in itertools.count(1))
        issuers = MappingProxyType({ISSUER: make_profile(**self.profile)})
        generation = Generation(
            self.catalogue,
            issuers,
            self.policy,
            markers_of(self.catalogue),
            self.outgoing,
            self.lifetimes,
            self.callers,
        )
        return Pipeline(
            live=Live(generation),
            keys=self.keys or published(self.clock),
            tokens=VerifiedTokens(100, self.clock.now),
            deny_list=self.deny_list,
            ledger=self.ledger,
            clock=self.clock,
            new_id=lambda: next(ids),
            observers=(self.seen.append,),
        )

    async def answer(self, raw: bytes) -> pb.CheckResponse:
        """What the pipeline answers, without a front."""
        deadline = self.clock.monotonic() + 10
        answer = await self.pipeline().check(raw, peer="test", deadline=deadline)
        return pb.CheckResponse.FromString(answer)


def check(
    method: str = "GET",
    path: str = "/orders/o-1",
    *,
    route: Route = ORDERS,
    lane: Lane = Lane.CLOSED,
    token: bytes | None = None,
    headers: Mapping[str, bytes] | None = None,
    body: bytes = b"",
    marker: str | None = None,
    **claims: Any,
) -> bytes:
    """A serialised ``CheckRequest``: a good read with a good token, unless told otherwise."""
    request = pb.CheckRequest()
    http = request.attributes.request.http
    http.id, http.method, http.path = b"req-1", method.encode(), path.encode()
    http.host, http.scheme, http.raw_body = b"orders.test", b"https", body
    token = make_token(**claims) if token is None else token
    sent = {"authorization": b"Bearer " + token} if token else {}
    for name, value in {**sent, **(headers or {})}.items():
        http.header_map.headers.add(key=name.encode(), raw_value=value)
    extensions = request.attributes.context_extensions
    extensions["route"] = route.name.encode()
    extensions["lane"] = lane.value.encode()
    extensions["rewrite"] = route.rewrite.value.encode()
    extensions["marker"] = (lane_digest(route, lane) if marker is None else marker).encode()
    request.attributes.source.address.socket_address.address = b"192.0.2.7"
    return request.SerializeToString()


def mcp(method: str = "tools/call", **params: Any) -> dict[str, Any]:
    """The keywords of ``check`` for an MCP call."""
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return {
        "method": "POST",
        "path": "/mcp",
        "route": TOOLS,
        "headers": {"content-type": b"application/json"},
        "body": json.dumps(call).encode(),
    }


@asynccontextmanager
async def listening(gate: Gate, **front: Any) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to the real front over the gate."""
    settings: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "time_limit": 5.0,
        "message_bytes": 1_048_576,
        "concurrency": 100,
        **front,
    }
    server = GrpcFront(gate.pipeline(), **settings)
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            yield channel
    finally:
        await server.stop(0)


async def ask(channel: grpc.aio.Channel, raw: bytes) -> pb.CheckResponse:
    """One RPC as Envoy makes it; an RPC error fails the test."""
    answer = await channel.unary_unary(f"/{SERVICE}/Check")(raw, timeout=30)
    return pb.CheckResponse.FromString(answer)
