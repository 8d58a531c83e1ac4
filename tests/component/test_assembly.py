"""Every setting reaches its part: a sidecar is assembled from files in which none has its default.

What a setting does is observed from outside. Where that would need waiting, or luck, the part is
looked at instead, and the test says so. ``limits.body_bytes`` has no part: it bounds
``limits.message_bytes`` when the file is read, and is Envoy's.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.adapters.jwks import KeyLimits
from sidecar.fronts.grpc_aio import SERVICE
from tests.assembled import NEAR, Assembled, assembled, defaults_in, until, written
from tests.assembled import settings_in as all_settings
from tests.jwks_server import status
from tests.tokens import signer

SHOWN_ELSEWHERE = {
    *("version", "policy.engine", "stores.kind", "replicas"),
    *("deny_list.source", "deny_list.feed", "deny_list.stale_after"),
    *(f"issuers.{key}" for key in ("profile", "audience", "single_audience", "max_depth", "bind")),
    "issuers.actor_issuers",
    *(f"issuers.{key}" for key in ("policy_version", "capability_hash", "jwks.hosts")),
    "tenants",
}
"""One value so far, or a value of its own in ``test_assembly_shared`` or ``test_profiles``."""
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(channel: grpc.aio.Channel) -> Any:
    """What Envoy's health checks are told, as it changes; waits for the sidecar to listen."""
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    return health_pb2_grpc.HealthStub(channel).Watch(request, wait_for_ready=True)


@pytest.fixture
async def sidecar(tmp_path: Path) -> AsyncIterator[Assembled]:
    async with assembled(tmp_path) as running:
        yield running


async def test_no_setting_has_its_default(sidecar: Assembled) -> None:
    """A setting that is added to the file is added here."""
    assert set(defaults_in(sidecar.configuration.settings)) <= SHOWN_ELSEWHERE


async def test_the_generation_holds_what_was_configured(sidecar: Assembled) -> None:
    """Whatever a request is judged by, beside the parts that are asked."""
    configuration = sidecar.configuration
    generation = sidecar.sidecar.pipeline.live.current

    assert generation.lifetimes == configuration.settings.lifetimes.limits()
    assert generation.callers == configuration.callers
    assert generation.issuers == configuration.issuers


# --- listen, policy, headers, claims ------------------------------------------------------------


async def test_a_read_passes_with_every_name_of_ours(sidecar: Assembled) -> None:
    """Its socket, catalogue, entry point, headers and claims are the configured ones."""
    answer = await sidecar.ask()
    headers = {h.header.key: h.header.value for h in answer.ok_response.headers}
    decision = headers.pop(b"x-authz-check", b"")

    assert answer.status.code == 0
    assert headers == {
        b"x-agent-who": b"clerk",
        b"x-agent-org": b"umbrella",
        b"x-agent-may": b"read:notes:*",
        b"x-agent-job": b"sort",
        b"x-agent-tier": b"gold",
    }
    assert decision
    again = await sidecar.ask()
    assert decision != again.dynamic_metadata.fields["decision_id"].string_value.encode()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"by": signer("EdDSA")}, "algorithm_refused"),
        ({"header": {"typ": "JWT"}}, "type_refused"),
        ({"org": "globex"}, "tenant_not_of_issuer"),
        ({"may": ["write:notes:*"]}, "scope_above_ceiling"),
        ({"exp": int(time.time()) + 400}, "lifetime_exceeded"),
        ({"iss": "https://stranger.test"}, "issuer_unknown"),
        ({"aud": "diary"}, "audience_refused"),
        ({"may": ["read:notes:n-2"]}, "insufficient_scope"),
    ],
)
async def test_the_issuers_profile_holds(
    sidecar: Assembled, changes: dict[str, Any], reason: str
) -> None:
    """What is above the configured ceiling is refused."""
    assert await sidecar.reason(**changes) == reason


async def test_the_leeway_is_the_issuers(sidecar: Assembled) -> None:
    """A token that ended 20 s ago is within 30 s, and beyond the default."""
    now = int(time.time())

    assert await sidecar.reason(iat=now - 60, nbf=now - 60, exp=now - 20) == "ok"
    assert await sidecar.reason(iat=now - 60, nbf=now - 60, exp=now - 31) == "token_expired"


async def test_keys_come_from_a_file_too(sidecar: Assembled) -> None:
    """Its path is relative to the settings file."""
    assert await sidecar.reason(iss=NEAR, by=signer("EdDSA", "near")) == "ok"


async def test_the_session_is_read_and_the_socket_revokes_it(sidecar: Assembled) -> None:
    """The operator's list is the one that the line asks."""
    assert await sidecar.deny(kind="session", value="l-1") == 201

    assert await sidecar.reason() == "revoked"
    assert await sidecar.reason(login="l-2") == "ok"
    assert (await sidecar.metrics())["scopegate_deny_entries", "memory"] == 1


# --- stores -------------------------------------------------------------------------------------


async def test_the_deny_list_has_its_capacity(sidecar: Assembled) -> None:
    """Two entries, not three."""
    statuses = [await sidecar.deny(kind="agent", value=value) for value in "abc"]

    assert statuses == [201, 201, 400]


async def test_the_ledger_has_its_capacity_and_quota(sidecar: Assembled) -> None:
    """Two tokens in flight for one agent, three for all."""
    await asyncio.sleep(1)  # ``iat`` has whole seconds
    later = {"once": True, "iat": int(time.time()) + 30}
    uses = [("clerk", "1"), ("clerk", "1"), ("clerk", "2"), ("clerk", "3"), ("boss", "4")]
    reasons = [await sidecar.reason(**later, who=who, jti=jti) for who, jti in uses]
    full = await sidecar.reason(**later, who="guest", jti="5")

    assert reasons == ["ok", "replayed", "ok", "quota_exceeded", "ok"]
    assert full == "overloaded"


@pytest.mark.parametrize("ahead", [-10, 20])
async def test_the_ledger_remembers_since_the_start(sidecar: Assembled, ahead: int) -> None:
    """A single-use token from before it may have been used, for all that anybody knows.

    One that says that it is younger may be from before, too: by its issuer's clock, which may be
    ahead by the leeway.
    """
    assert await sidecar.reason(once=True, iat=int(time.time()) + ahead) == "use_unknown"


async def test_verified_tokens_are_forgotten_beyond_their_number(sidecar: Assembled) -> None:
    """Looked at inside: from outside, a forgotten token only costs time."""
    for number in range(3):
        assert await sidecar.reason(jti=str(number)) == "ok"
    tokens: Any = sidecar.sidecar.pipeline.tokens

    assert len(tokens) == 2


# --- keys ---------------------------------------------------------------------------------------


async def test_keys_have_their_limits(sidecar: Assembled) -> None:
    """Looked at inside: ``refresh``, ``max_age`` and ``timeout`` show only after that time.

    So does the spread of refreshes, which keeps many sidecars from asking at once.
    """
    keys: Any = sidecar.sidecar.pipeline.keys

    assert keys._limits == KeyLimits(
        refresh_s=50,
        max_age_s=4000,
        timeout_s=15,
        cooldown_s=0.001,
        wait_s=0,
        max_bytes=300_000,
        max_skew_s=4,
    )
    assert {ring._random for ring in keys._by_name.values()} == {random.random}


async def test_a_key_set_over_the_default_size_is_taken(sidecar: Assembled) -> None:
    """``max_bytes`` is the configured one; only keys for the issuer's algorithms count."""
    metrics = await sidecar.metrics()

    assert len(sidecar.issuer.document) > KeyLimits().max_bytes
    assert metrics["scopegate_jwks_keys", "far"] == metrics["scopegate_jwks_keys", "near"] == 1
    assert await sidecar.get("/jwks/far") == (200, sidecar.issuer.document.decode())


async def test_an_unknown_key_costs_a_fetch_after_each_cooldown(sidecar: Assembled) -> None:
    """A cool-down of a millisecond is over by the next call; the default's never would be."""

    async def asked_four_times() -> bool:
        assert await sidecar.reason(header={"kid": "new"}) == "key_unknown"
        return len(sidecar.issuer.requests) >= 4

    async with asyncio.timeout(5):
        await until(asked_four_times)


async def test_a_call_does_not_wait_for_keys_when_told_so(sidecar: Assembled) -> None:
    """With ``wait: 0`` the fetch that it brought about is for the next one."""
    newcomer = signer("ES256", "newcomer")
    sidecar.issuer.document = json.dumps({"keys": [newcomer.jwk]}).encode()
    sidecar.issuer.hold()
    asking = asyncio.create_task(sidecar.reason(by=newcomer))
    await sidecar.issuer.asked(2)
    sidecar.issuer.release()

    async def passes() -> bool:
        return await sidecar.reason(by=newcomer) == "ok"

    assert await asking == "key_unknown"
    await until(passes)


async def test_every_issuers_fetches_are_measured(sidecar: Assembled) -> None:
    """Confirmed and failed fetches are told apart, by the issuer's name."""

    async def measured(name: str) -> bool:
        assert await sidecar.reason(header={"kid": "new"}) == "key_unknown"
        return (await sidecar.metrics())[name, "far"] >= 1

    await until(lambda: measured("scopegate_jwks_not_modified_total"))
    assert (await sidecar.metrics())["scopegate_jwks_failures_total", "far"] == 0
    sidecar.issuer.answer = status(500)
    await until(lambda: measured("scopegate_jwks_failures_total"))
    metrics = await sidecar.metrics()

    assert metrics["scopegate_jwks_fetches_total", "far"] >= 3
    assert metrics["scopegate_jwks_failures_total", "near"] == 0
    assert metrics["scopegate_jwks_age_seconds", "far"] >= 0


# --- limits -------------------------------------------------------------------------------------


async def test_a_check_over_the_message_limit_is_not_taken(sidecar: Assembled) -> None:
    """70,000 bytes, not the default's million."""
    assert await sidecar.reason(body=b"x" * 60_000) == "ok"
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await sidecar.ask(body=b"x" * 71_000)

    assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_checks_over_the_concurrency_are_shed(sidecar: Assembled) -> None:
    """Three at once; and each has the configured time, some of it for others to answer in."""
    held = sidecar.hold()
    under_way = [asyncio.create_task(sidecar.reason()) for _ in range(3)]
    await held.asked(3)
    fourth = await sidecar.reason()
    held.go.set()

    assert fourth == "overloaded"
    assert await asyncio.gather(*under_way) == ["ok"] * 3
    assert all(1 < given <= 30 for given in held.given)


# --- admin and metrics --------------------------------------------------------------------------


async def test_the_admin_port_is_where_it_was_configured(sidecar: Assembled) -> None:
    """``Assembled.get`` asks at 127.0.0.2; it is nowhere else, and any port will do."""
    assert (await sidecar.get("/readyz"))[0] == 200
    assert sidecar.sidecar.admin_port != 10004
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", sidecar.sidecar.admin_port)


async def test_what_is_measured_is_what_serves(sidecar: Assembled) -> None:
    """Decisions, readiness and the loaded policy, by the parts that are in use."""
    await sidecar.reason()
    metrics = await sidecar.metrics()
    revision = sidecar.sidecar.pipeline.live.current.policy.revision

    # access, decision, reason, route
    assert metrics["scopegate_decisions_total", "read", "allow", "ok", "notes"] == 1
    assert metrics["scopegate_policy_info", revision] == 1
    assert metrics["scopegate_ready", "keys:far"] == metrics["scopegate_ready", "serving"] == 1


# --- log ----------------------------------------------------------------------------------------


def records_in(printed: bytes) -> list[dict[str, Any]]:
    """The decision records, among the lines of an operational log that nobody has set up."""
    return [json.loads(line) for line in printed.splitlines() if line.startswith(b"{")]


async def test_decisions_are_not_logged_when_told_so(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """``log.decisions: false`` writes no record, and measures none."""
    async with assembled(tmp_path) as running:
        await running.reason()
        measured = await running.metrics()

    assert records_in(capsysbinary.readouterr().out) == []
    assert ("scopegate_decision_records_dropped_total", "decisions") not in measured


async def test_the_decision_log_is_written_out_when_the_sidecar_stops(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Leaving waits for the log's thread: every record is there, and the thread is gone."""
    log = {"level": "error", "decisions": True}
    async with assembled(tmp_path, log=log) as running:
        for number in range(50):
            await running.reason(jti=str(number))
        measured = await running.metrics()
    records = records_in(capsysbinary.readouterr().out)

    assert [record["jti"] for record in records] == list(map(str, range(50)))
    assert "decision-log" not in {thread.name for thread in threading.enumerate()}
    assert measured["scopegate_decision_records_dropped_total", "decisions"] == 0


@pytest.mark.parametrize(("level", "says_so"), [("error", False), ("info", True)])
async def test_the_level_is_the_operational_logs(
    tmp_path: Path, level: str, *, says_so: bool
) -> None:
    """From the outermost: a process whose level is ``error`` says nothing of starting."""
    keys = tmp_path / "etc" / "near.json"
    issuer = all_settings(tmp_path, "")["issuers"][1] | {"jwks": {"file": str(keys)}}
    settings = all_settings(tmp_path, "") | {"issuers": [issuer], "log": {"level": level}}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "sidecar"),
        *("--config", str(written(tmp_path, settings))),
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20), grpc.aio.insecure_channel(settings["listen"]) as channel:
            await health_of(channel).read()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, printed = await process.communicate()

    assert process.returncode == 0
    assert (b'"serving"' in printed) is says_so


# --- the end ------------------------------------------------------------------------------------


@asynccontextmanager
async def leaving(folder: Path, **changes: Any) -> AsyncIterator[tuple[Assembled, AsyncExitStack]]:
    """A sidecar that stops when the test closes the stack; its client outlives it."""
    listen = all_settings(folder, "")["listen"]
    async with grpc.aio.insecure_channel(listen) as channel, AsyncExitStack() as stack:
        running = await stack.enter_async_context(assembled(folder, **changes))
        yield replace(running, channel=channel), stack


async def test_stopping_waits_no_longer_than_the_drain_timeout(tmp_path: Path) -> None:
    """With 0 it ends at once, though a check is under way that nobody will ever decide."""
    async with leaving(tmp_path) as (running, stack):
        held = running.hold()
        under_way = asyncio.create_task(running.reason())
        await held.asked(1)
        async with asyncio.timeout(5):  # half the default
            await stack.aclose()

        with pytest.raises(grpc.aio.AioRpcError):
            await under_way


async def takes_no_checks(running: Assembled) -> bool:
    try:
        await running.reason(aud="diary")  # refused before anybody asks the policy
    except grpc.aio.AioRpcError:
        return True
    return False


async def test_stopping_tells_envoy_and_finishes_what_is_under_way(tmp_path: Path) -> None:
    """First NOT_SERVING, then the answer of the check under way; never ready again, all closed."""
    before = asyncio.all_tasks()
    async with leaving(tmp_path, drain_timeout=20) as (running, stack):
        watch = health_of(running.channel)
        async with asyncio.timeout(20):
            while (await watch.read()).status != SERVING:
                pass
        held = running.hold()
        under_way = asyncio.create_task(running.reason())
        await held.asked(1)
        stopping = asyncio.create_task(stack.aclose())
        told = (await watch.read()).status
        ready = running.sidecar.readiness.ready()
        watch.cancel()
        await until(lambda: takes_no_checks(running))
        for _ in range(20):  # time enough to be cut off, if that were what happens
            assert await takes_no_checks(running)
        held.go.set()
        answer = await under_way
        await stopping

    assert told == NOT_SERVING
    assert not ready
    assert answer == "ok"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.2", running.sidecar.admin_port)
    assert asyncio.all_tasks() <= before
