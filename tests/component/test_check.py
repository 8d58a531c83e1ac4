"""Every answer of the gate, through a real gRPC server on loopback."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.freshness import Lifetimes, Limit
from sidecar.core.lanes import Lane
from sidecar.core.model import Access, Dependency, Question, Refused, Stance, Unavailable
from sidecar.core.profile import Match
from sidecar.core.reasons import Reason
from sidecar.core.stance import OUTAGE_REASON, STANCE
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from sidecar.fronts.grpc_aio import SERVICE, GrpcFront
from tests.fakes_deny_list import StaleDenyList, UnloadedDenyList
from tests.fakes_policy import FakePolicy
from tests.gate import (
    CATALOGUE,
    GLOBEX,
    ORDERS,
    RECORDS,
    TICKETS,
    BrokenPolicy,
    Gate,
    SkewedKeys,
    ask,
    check,
    listening,
    mcp,
    silent_ledger,
    unreachable_keys,
    unreachable_policy,
)
from tests.tokens import ISSUER, NOW, make_token, signer
from tests.values import StillClock


class Never:
    """A policy that never answers."""

    revision = "never"

    async def rule_on(self, *_: object, **__: object) -> NoReturn:
        await asyncio.Event().wait()
        raise AssertionError


class Panic(BaseException):
    """What an engine raises outside ``Exception``."""


DENY = '{"action": "deny"}'
ALLOW = '{"action": "allow"}'
HOLD = '{"action": "approval_needed"}'
ALLOW_ONCE = '{"action": "allow", "single_use": true}'
REDACT = '{"action": "sanitize", "redact": [{"in": "body", "name": "/a"}]}'


def says(answer: str) -> dict[str, Any]:
    return {"policy": FakePolicy(answer)}


@dataclass
class Case:
    """One way to reach a reason."""

    raw: bytes
    gate: dict[str, Any] = field(default_factory=dict)
    front: dict[str, Any] = field(default_factory=dict)
    before: bytes | None = None
    """A check that goes first."""


def revoked() -> dict[str, Any]:
    deny_list = MemoryDenyList(capacity=1)
    key = DenyKey(DenyKind.AGENT, ISSUER, "acme", "agent-1")
    deny_list.add(DenyEntry(key, NOW + 60), now=NOW)
    return {"deny_list": deny_list}


YOUNG = {"lifetimes": Lifetimes({Access.READ: Limit(max_age=60)})}
PINNED_ORDERS = replace(ORDERS, session_header="x-cart")
PINNED = replace(CATALOGUE, routes={**CATALOGUE.routes, ORDERS.name: PINNED_ORDERS})


def session(**claims: Any) -> bytes:
    """A read within a session of the tool."""
    return check(route=PINNED_ORDERS, headers={"x-cart": b"cart-1"}, **claims)


GOOD = make_token()
ONCE = check("GET", "/tickets", route=TICKETS, scope=["read:orders:*"])
CASES = {
    Reason.MALFORMED_CHECK: Case(b"\xff"),
    Reason.MARKER_REFUSED: Case(check(marker="0" * 16)),
    Reason.PATH_MALFORMED: Case(check(path="/orders/..")),
    Reason.QUERY_MALFORMED: Case(check(path="/orders/o-1?a=%zz")),
    Reason.OPERATION_UNKNOWN: Case(check("DELETE")),
    Reason.BODY_MALFORMED: Case(check(**mcp() | {"body": b"[]"})),
    Reason.BODY_TOO_LARGE: Case(
        check(
            **mcp()
            | {
                "headers": {
                    "content-type": b"application/json",
                    "x-envoy-auth-partial-body": b"true",
                }
            }
        )
    ),
    Reason.BODY_TYPE_REFUSED: Case(check(**mcp() | {"headers": {"content-type": b"text/plain"}})),
    Reason.TOKEN_MISSING: Case(check(token=b"")),
    Reason.TOKEN_AMBIGUOUS: Case(check(path="/orders/o-1?access_token=x")),
    Reason.CREDENTIAL_REFUSED: Case(check(path="/orders/o-1?api_key=x")),
    Reason.TOKEN_MALFORMED: Case(check(token=b"a.b")),
    Reason.ISSUER_UNKNOWN: Case(check(iss="https://other.test")),
    Reason.ALGORITHM_REFUSED: Case(check(token=make_token(header={"alg": "none"}))),
    Reason.TYPE_REFUSED: Case(check(token=make_token(header={"typ": "dpop+jwt"}))),
    Reason.KEY_UNKNOWN: Case(check(token=make_token(by=signer(name="stranger")))),
    Reason.SIGNATURE_INVALID: Case(
        check(token=make_token(by=signer(name="forger"), header={"kid": signer().kid}))
    ),
    Reason.CLAIM_INVALID: Case(check(jti="")),
    Reason.TOKEN_EXPIRED: Case(check(exp=int(NOW))),
    Reason.TOKEN_NOT_YET_VALID: Case(check(nbf=int(NOW) + 1)),
    Reason.LIFETIME_EXCEEDED: Case(check(exp=int(NOW) + 10_000)),
    Reason.AUDIENCE_REFUSED: Case(check(aud="https://other.test")),
    Reason.TENANT_NOT_OF_ISSUER: Case(check(tenant="globex")),
    Reason.SCOPE_ABOVE_CEILING: Case(check(scope=["admin:orders:o-1"])),
    Reason.TOKEN_TOO_OLD: Case(check(iat=int(NOW) - 61, exp=int(NOW) + 60), YOUNG),
    Reason.DELEGATION_REFUSED: Case(check(act={"sub": "a2"})),
    Reason.BINDING_REFUSED: Case(check(cnf={"x5t#S256": "A" * 43})),
    Reason.DPOP_REFUSED: Case(check(cnf={"jkt": "A" * 43})),
    Reason.STALE_POLICY: Case(check(), {"profile": {"policy_version": Match.REQUIRE}}),
    Reason.STALE_CAPABILITIES: Case(check(), {"profile": {"capability_hash": Match.REQUIRE}}),
    Reason.TENANT_MISMATCH: Case(check(path="/globex/o-1", route=GLOBEX)),
    Reason.REVOKED: Case(check(), revoked()),
    Reason.INSUFFICIENT_SCOPE: Case(check(scope=["read:orders:o-2"])),
    Reason.POLICY_DENIED: Case(check(), says(DENY)),
    Reason.POLICY_ERROR: Case(check(), says('{"action": "dance"}')),
    Reason.APPROVAL_NEEDED: Case(check(), says(HOLD)),
    Reason.REPLAYED: Case(ONCE, before=ONCE),
    Reason.USE_UNKNOWN: Case(
        ONCE, {"ledger": MemoryLedger(capacity=9, per_owner=9, since=NOW + 1)}
    ),
    Reason.QUOTA_EXCEEDED: Case(ONCE, {"ledger": MemoryLedger(capacity=9, per_owner=0)}),
    Reason.SESSION_REFUSED: Case(
        session(agent_id="agent-2"), {"catalogue": PINNED}, before=session()
    ),
    Reason.SANITIZE_IMPOSSIBLE: Case(check(), says(REDACT)),
    Reason.OVERLOADED: Case(check(), front={"concurrency": 0}),
    Reason.DEADLINE_EXCEEDED: Case(check(), {"policy": Never()}, {"time_limit": 0.05}),
    Reason.KEYS_UNAVAILABLE: Case(check(), {"keys": unreachable_keys()}),
    Reason.CLOCK_SKEWED: Case(check(), {"keys": SkewedKeys()}),
    Reason.DENY_LIST_UNAVAILABLE: Case(check("PUT"), {"deny_list": StaleDenyList()}),
    Reason.POLICY_UNAVAILABLE: Case(check("PUT"), {"policy": unreachable_policy()}),
    Reason.REPLAY_UNAVAILABLE: Case(check(single_use=True), {"ledger": silent_ledger()}),
    Reason.INTERNAL_ERROR: Case(check(), {"policy": BrokenPolicy(Panic())}),
}


def reason_of(answer: pb.CheckResponse) -> str:
    """The word of a refusal, or ``ok``; a half-allowed answer fails the test."""
    if answer.status.code == 0:
        assert answer.HasField("ok_response")
        assert not answer.HasField("denied_response")
        return "ok"
    assert answer.HasField("denied_response")
    assert answer.denied_response.status.code >= 400
    word: str = json.loads(answer.denied_response.body)["reason"]
    return word


def test_every_reason_is_reached() -> None:
    """No reason is only in the table."""
    assert set(CASES) == set(Reason)


@pytest.mark.parametrize("reason", CASES, ids=lambda reason: reason.word)
async def test_check_refuses_with_the_reason(reason: Reason) -> None:
    """Each reason arrives at a gRPC client as a complete refusal, and in the record."""
    case = CASES[reason]
    gate = Gate(**case.gate)
    async with listening(gate, **case.front) as channel:
        if case.before is not None:
            assert reason_of(await ask(channel, case.before)) == "ok"
        answer = await ask(channel, case.raw)

    assert reason_of(answer) == reason.word
    assert answer.status.code == reason.grpc_code
    assert answer.denied_response.status.code == reason.http_status
    decision = gate.seen[-1].verdict.decision
    assert isinstance(decision, Refused)
    assert decision.reason is reason


async def test_check_allows_a_good_read() -> None:
    """A good token within its scope passes, with its identity and without itself."""
    answer = await Gate().answer(check())

    assert reason_of(answer) == "ok"
    headers = {h.header.key: h.header.value for h in answer.ok_response.headers}
    assert headers == {
        b"x-agent-id": b"agent-1",
        b"x-agent-tenant": b"acme",
        b"x-agent-scopes": b"read:orders:* write:orders:o-1",
        b"x-agent-task": b"task-1",
        b"x-authz-decision-id": b"d-1",
    }
    assert b"authorization" in answer.ok_response.headers_to_remove


async def test_check_refuses_with_the_policy_gone_what_the_scope_does_not_cover() -> None:
    """An open stance skips one question, never the scope floor."""
    gate = Gate(policy=unreachable_policy())

    assert reason_of(await gate.answer(check(scope=["read:orders:o-2"]))) == "insufficient_scope"


READS = {
    "read": lambda **claims: check(scope=["read:orders:*"], **claims),
    "sensitive": lambda **claims: check(
        path="/records/o-1", route=RECORDS, scope=["read:orders:*"], **claims
    ),
    "write": lambda **claims: check("PUT", **claims),
}
PARTS: dict[Dependency, dict[str, Any]] = {
    Dependency.KEYS: {"keys": unreachable_keys()},
    Dependency.CLOCK: {"keys": SkewedKeys()},
    Dependency.DENY_LIST: {"deny_list": StaleDenyList()},
    Dependency.DENY_LIST_NEVER_LOADED: {"deny_list": UnloadedDenyList()},
    Dependency.POLICY: {"policy": unreachable_policy()},
    Dependency.REPLAY: {
        "ledger": silent_ledger(),
        "policy": FakePolicy(ALLOW_ONCE),
    },
    Dependency.REPLAY_OF_SINGLE_USE_TOKEN: {"ledger": silent_ledger()},
}


@pytest.mark.parametrize(
    ("dependency", "access"),
    [cell for cell in STANCE if cell[0] is not Dependency.SIDECAR],
    ids=lambda part: part.value,
)
async def test_every_outage_obeys_the_table(dependency: Dependency, access: Any) -> None:
    """A part that is down lets through exactly what the stance says, marked as such."""
    gate = Gate(**PARTS[dependency])
    single_use = dependency is Dependency.REPLAY_OF_SINGLE_USE_TOKEN
    answer = await gate.answer(READS[access.value](**{"single_use": True} if single_use else {}))

    if STANCE[dependency, access] is Stance.OPEN:
        assert reason_of(answer) == "ok"
        marks = [h.header.value for h in answer.ok_response.headers if b"skipped" in h.header.key]
        assert marks == [dependency.value.encode()]
        assert gate.seen[-1].verdict.skipped == (dependency,)
    else:
        assert reason_of(answer) == OUTAGE_REASON[dependency].word


async def test_check_does_not_burn_a_token_that_policy_refuses() -> None:
    """Refused and held calls leave a single-use token as it was."""
    policy = FakePolicy()
    gate = Gate(policy=policy)
    async with listening(gate) as channel:
        for policy.answer in (DENY, HOLD, REDACT):
            assert reason_of(await ask(channel, ONCE)) != "ok"
        policy.answer = ALLOW

        assert reason_of(await ask(channel, ONCE)) == "ok"
        assert reason_of(await ask(channel, ONCE)) == "replayed"


async def test_check_allows_one_of_fifty_parallel_uses() -> None:
    """A single-use token has one winner."""
    async with listening(Gate()) as channel:
        answers = await asyncio.gather(*(ask(channel, ONCE) for _ in range(50)))

    assert sorted(map(reason_of, answers)).count("ok") == 1


async def test_check_takes_an_ordinary_token_a_hundred_times() -> None:
    """A token that is not single-use serves many calls, and claims nothing."""
    ledger = MemoryLedger(capacity=1, per_owner=1)
    async with listening(Gate(ledger=ledger)) as channel:
        answers = [await ask(channel, check()) for _ in range(100)]

    assert {*map(reason_of, answers)} == {"ok"}
    assert len(ledger) == 0


async def test_check_refuses_a_token_verified_before_when_its_key_is_gone() -> None:
    """What was proven under a removed key is forgotten with it."""
    gate = Gate()
    pipeline = gate.pipeline()
    keys: Any = pipeline.keys
    deadline = gate.clock.monotonic() + 10
    first = await pipeline.check(check(), peer="t", deadline=deadline)
    keys.publish(ISSUER, json.dumps({"keys": [signer("ES256").jwk]}).encode())
    keys.refresh(ISSUER)
    second = await pipeline.check(check(), peer="t", deadline=deadline)

    assert reason_of(pb.CheckResponse.FromString(first)) == "ok"
    assert reason_of(pb.CheckResponse.FromString(second)) == "key_unknown"


async def test_check_expires_a_token_verified_before() -> None:
    """The memory of verified tokens skips the signature, never the clock."""
    gate = Gate()
    pipeline = gate.pipeline()
    deadline = gate.clock.monotonic() + 10
    await pipeline.check(check(), peer="t", deadline=deadline)
    gate.clock.wall += 301
    answer = await pipeline.check(check(), peer="t", deadline=deadline)

    assert reason_of(pb.CheckResponse.FromString(answer)) == "token_expired"


@pytest.mark.parametrize("bug", [ValueError("x"), RecursionError(), Panic(), MemoryError()])
async def test_check_answers_a_bug_with_a_refusal(bug: BaseException) -> None:
    """Even a panic of an engine is answered, closed."""
    assert reason_of(await Gate(policy=BrokenPolicy(bug)).answer(check())) == "internal_error"


async def test_check_answers_when_an_observer_fails() -> None:
    """Who fails to hear of a decision does not change it."""
    gate = Gate()

    def deaf(_: object) -> NoReturn:
        raise ValueError("deaf")

    pipeline = gate.pipeline()
    object.__setattr__(pipeline, "observers", (deaf, gate.seen.append))
    answer = await pipeline.check(check(), peer="t", deadline=gate.clock.monotonic() + 10)

    assert reason_of(pb.CheckResponse.FromString(answer)) == "ok"
    assert len(gate.seen) == 1


async def test_check_tells_policy_nothing_secret() -> None:
    """The question holds neither the token nor a cookie."""
    policy = FakePolicy()
    await Gate(policy=policy).answer(check(headers={"cookie": b"session=crumbs"}))

    [question] = policy.asked
    assert GOOD not in question.document
    assert b"crumbs" not in question.document


async def test_check_refuses_a_write_in_the_open_lane() -> None:
    """A wrong Envoy shows before the sidecar dies, not after."""
    raw = check("PUT", lane=Lane.OPEN, route=ORDERS)

    assert reason_of(await Gate().answer(raw)) == "marker_refused"


class Caller:
    """What a front learns of an RPC: how long its caller still waits, and what else it says."""

    def __init__(self, remaining: float | None, *metadata: tuple[str, str]) -> None:
        self._remaining = remaining
        self._metadata = metadata

    def time_remaining(self) -> float | None:
        return self._remaining

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self._metadata

    def peer(self) -> str:
        return "test"


@pytest.mark.parametrize(
    ("remaining", "word"), [(None, "ok"), (30.0, "ok"), (0.049, "overloaded"), (-1.0, "overloaded")]
)
async def test_check_is_shed_when_its_caller_hardly_waits_any_more(
    remaining: float | None, word: str
) -> None:
    """What waited too long in a queue is answered at once: silence would be an error to Envoy."""
    front = GrpcFront(
        Gate().pipeline(), listen="", time_limit=5, message_bytes=100_000, concurrency=1
    )
    context: Any = Caller(remaining)

    assert reason_of(pb.CheckResponse.FromString(await front._check(check(), context))) == word


@pytest.mark.parametrize(
    ("whole", "remaining", "word"),
    [
        ("2000", 1.01, "ok"), ("2000", 0.99, "overloaded"),
        ("500", 0.26, "ok"), ("500", 0.24, "overloaded"),
        ("60", 0.049, "overloaded"), ("60", 0.051, "ok"),
        ("soon", 0.06, "ok"), ("", 0.049, "overloaded"), ("-2000", 0.06, "ok"),
    ],
)  # fmt: skip
async def test_check_is_shed_when_half_of_its_time_is_gone(
    whole: str, remaining: float, word: str
) -> None:
    """Envoy tells how long it waits in all: the other half is for the answer to arrive in."""
    front = GrpcFront(
        Gate().pipeline(), listen="", time_limit=5, message_bytes=100_000, concurrency=1
    )
    context: Any = Caller(remaining, ("x-envoy-expected-rq-timeout-ms", whole))

    assert reason_of(pb.CheckResponse.FromString(await front._check(check(), context))) == word


async def test_check_honours_the_callers_deadline() -> None:
    """A caller's own deadline shortens ours."""
    front = GrpcFront(
        Gate(policy=Never()).pipeline(),
        listen="",
        time_limit=1000,
        message_bytes=100_000,
        concurrency=1,
    )
    context: Any = Caller(0.06)
    answer = pb.CheckResponse.FromString(await front._check(check(), context))

    assert reason_of(answer) == "deadline_exceeded"


async def test_front_answers_every_check_of_a_flood() -> None:
    """Three thousand at once: gRPC, left to itself, cancels what it cannot queue."""
    raw = check(token=b"")
    async with listening(Gate()) as channel:
        answers = await asyncio.gather(*(ask(channel, raw) for _ in range(3000)))

    assert {*map(reason_of, answers)} <= {"token_missing", "overloaded"}


class Hangs:
    """A policy engine that is there and does not answer: its adapter gives up by the deadline."""

    revision = "hangs"

    def __init__(self) -> None:
        self.gave_up_after = 0.0

    async def rule_on(self, question: Question, *, deadline: float) -> NoReturn:
        del question
        self.gave_up_after = deadline - StillClock().monotonic()
        await asyncio.sleep(self.gave_up_after)
        raise Unavailable(Dependency.POLICY, "no answer in time")


@pytest.mark.parametrize(("method", "word"), [("GET", "ok"), ("PUT", "policy_unavailable")])
async def test_check_knows_silence_before_its_own_time_is_up(method: str, word: str) -> None:
    """Who hangs is as silent as who is gone: there is time left to say what that means."""
    policy = Hangs()
    pipeline = Gate(policy=policy).pipeline()
    deadline = pipeline.clock.monotonic() + 0.5
    answer = await pipeline.check(check(method), peer="t", deadline=deadline)

    assert reason_of(pb.CheckResponse.FromString(answer)) == word
    assert 0 < policy.gave_up_after < 0.5


@pytest.mark.parametrize(
    "bug", [ValueError("Bearer eyJhbGciOiJFZERTQSJ9.eyJhIjoxfQ.c2ln"), Panic()]
)
async def test_check_tells_where_a_bug_is_and_nothing_of_the_caller(
    bug: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    """A record with everything known, a log line with type and place, and never the text."""
    gate = Gate(policy=BrokenPolicy(bug))
    await gate.answer(check())
    verdict, printed = gate.seen[0].verdict, "".join(capsys.readouterr())

    assert verdict.agent is not None
    assert verdict.call is not None
    assert type(bug).__name__ in printed
    assert "gate.py:" in printed
    assert "eyJ" not in printed


@pytest.mark.parametrize("ready", [True, False])
async def test_health_says_what_it_was_told(*, ready: bool) -> None:
    """Envoy's health check is answered by the same server."""
    server = GrpcFront(
        Gate().pipeline(),
        listen="127.0.0.1:0",
        time_limit=1,
        message_bytes=100_000,
        concurrency=1,
    )
    await server.start()
    if ready:
        await server.set_ready(ready=True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=SERVICE))
    await server.stop(0)

    states = health_pb2.HealthCheckResponse
    assert answer.status == (states.SERVING if ready else states.NOT_SERVING)


async def test_front_refuses_more_bytes_than_the_limit() -> None:
    """Over gRPC's message limit there is no answer to give: configuration keeps Envoy below it."""
    async with listening(Gate(), message_bytes=1000) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await ask(channel, check(body=b"x" * 2000))

    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
