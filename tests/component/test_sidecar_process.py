"""``scopegate sidecar`` as it is run: a process with a configuration, a socket and signals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from sidecar.core.lanes import Lane, lane_digest
from sidecar.core.model import Action, Question, Refused, Ruling
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from sidecar.fronts.grpc_aio import SERVICE, GrpcFront
from tests.gate import ORDERS, Gate, ask, check
from tests.jwks_server import JwksServer
from tests.tokens import AUDIENCE, ISSUER, make_token, signer

SCOPEGATE = str(Path(sys.executable).with_name("scopegate"))
POLICIES = Path(__file__).resolve().parent.parent.parent / "policies"
CATALOGUE = {
    "version": 1,
    "routes": [
        {
            "name": "orders",
            "path": "/orders/{order}",
            "audience": AUDIENCE,
            "operations": {
                "GET": {"scope": "read:orders:{order}"},
                "PUT": {"scope": "write:orders:{order}"},
            },
        }
    ],
}
SETTINGS: dict[str, Any] = {
    "version": 1,
    "listen": "unix:sidecar.sock",
    "admin": {"http": "127.0.0.1:0", "socket": "admin.sock"},
    "catalogue": "catalogue.yaml",
    "policy": {"paths": [str(POLICIES)]},
    "issuers": [
        {
            "name": "test",
            "issuer": ISSUER,
            "jwks": {"file": "keys.json"},
            "algorithms": ["EdDSA"],
            "tenants": ["acme"],
            "ceiling": ["read:orders:*", "write:orders:*"],
            "max_lifetime": 300,
        }
    ],
}
KEYS = json.dumps({"keys": [signer().jwk]})


class Process:
    """A running sidecar; ``errors`` grows with its log."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = environment
        self.events: list[dict[str, Any]] = []

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            SCOPEGATE,
            "sidecar",
            "--config",
            "scopegate.yaml",
            cwd=self.folder,
            env={**os.environ, **self.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def event(self, name: str) -> dict[str, Any]:
        """The next log line of that event; fails when the process ends without it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            while line := await self.process.stderr.readline():
                self.events.append(json.loads(line))
                if self.events[-1]["event"] == name:
                    return self.events[-1]
        raise AssertionError(f"ended without {name}: {self.events}")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        """Exit status, standard output and the rest of standard error."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(20):
            out, err = await self.process.communicate()
        return self.process.returncode or 0, out.decode(), err.decode()

    def channel(self) -> grpc.aio.Channel:
        return grpc.aio.insecure_channel(f"unix:{self.folder / 'sidecar.sock'}")


def write(folder: Path, settings: dict[str, Any], *, keys: str | None = KEYS) -> None:
    (folder / "scopegate.yaml").write_text(yaml.safe_dump(settings))
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(CATALOGUE))
    if keys is not None:
        (folder / "keys.json").write_text(keys)


@contextlib.asynccontextmanager
async def running(folder: Path, **environment: str) -> AsyncIterator[Process]:
    process = Process(folder, **environment)
    await process.start()
    try:
        yield process
    finally:
        if process.process.returncode is None:
            process.process.kill()
            await process.process.communicate()


def good(**claims: Any) -> bytes:
    """A check that passes now, by the machine's own clock."""
    token = make_token(now=time.time(), **claims)
    return check(token=token, marker=lane_digest(ORDERS, Lane.CLOSED))


async def health(channel: grpc.aio.Channel) -> int:
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    answer = await health_pb2_grpc.HealthStub(channel).Check(request, wait_for_ready=True)
    status: int = answer.status
    return status


async def become(channel: grpc.aio.Channel, wanted: int) -> None:
    """Wait until health says so."""
    request = health_pb2.HealthCheckRequest(service=SERVICE)
    async with asyncio.timeout(20):
        async for answer in health_pb2_grpc.HealthStub(channel).Watch(request, wait_for_ready=True):
            if answer.status == wanted:
                return


SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def test_sidecar_serves_records_and_stops(tmp_path: Path) -> None:
    """One life: ready, a check answered and recorded, metrics, SIGTERM, status 0."""
    write(tmp_path, SETTINGS)
    raw = good()
    async with running(tmp_path) as process:
        started = await process.event("serving")
        async with process.channel() as channel:
            await become(channel, SERVING)
            answer = await ask(channel, raw)
        url = f"http://127.0.0.1:{started['admin_port']}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            metrics = await response.text()
        mode = stat.S_IMODE((tmp_path / "sidecar.sock").stat().st_mode)
        status, out, err = await process.end()

    assert answer.status.code == 0
    assert mode == 0o600
    assert status == 0
    assert '"event": "draining"' in err
    assert '"event": "stopped"' in err
    [record] = [json.loads(line) for line in out.splitlines()]
    assert (record["decision"], record["route"], record["agent"]) == ("allow", "orders", "agent-1")
    assert 'scopegate_decisions_total{access="read",decision="allow"' in metrics
    assert 'scopegate_jwks_keys{issuer="test"} 1.0' in metrics


async def test_sidecar_prints_no_token_at_any_level(tmp_path: Path) -> None:
    """Good, expired, forged and misplaced tokens: none of them, nor a part, is printed."""
    write(tmp_path, SETTINGS)
    now = time.time()
    tokens = [
        make_token(now=now),
        make_token(now=now - 10_000),
        make_token(now=now, by=signer(name="forger"), header={"kid": signer().kid}),
        make_token(now=now, task_id=make_token(now=now).decode()[:250]),
    ]
    checks = [check(token=token) for token in tokens]
    checks.append(check(path=f"/orders/{tokens[0].decode()}", token=tokens[0]))
    checks.append(check(path=f"/orders/o-1?access_token={tokens[0].decode()}", token=tokens[0]))
    async with running(tmp_path, SCOPEGATE__LOG__LEVEL="debug") as process:
        await process.event("serving")
        async with process.channel() as channel:
            await become(channel, SERVING)
            for raw in checks:
                await ask(channel, raw)
        _, out, err = await process.end()

    assert len(out.splitlines()) == len(checks)
    printed = out + err + json.dumps(process.events)
    for token in tokens:
        for part in token.decode().split(".")[1:]:
            assert part[:40] not in printed


async def test_sidecar_is_not_ready_before_it_has_keys(tmp_path: Path) -> None:
    """An issuer that is down keeps the sidecar unready, and its calls closed, until it is back."""
    async with JwksServer(b"not keys yet") as server:
        issuer = SETTINGS["issuers"][0] | {"jwks": {"url": server.url}}
        write(tmp_path, SETTINGS | {"issuers": [issuer]}, keys=None)
        async with running(tmp_path) as process:
            await process.event("serving")
            async with process.channel() as channel:
                before = await health(channel)
                refused = await ask(channel, good())
                server.document = KEYS.encode()
                await become(channel, SERVING)
                passed = await ask(channel, good())

    assert before == NOT_SERVING
    assert json.loads(refused.denied_response.body)["reason"] == "keys_unavailable"
    assert passed.status.code == 0


@pytest.mark.parametrize(
    ("change", "environment", "status", "says"),
    [
        ({"lisen": "unix:a"}, {}, 2, "scopegate.yaml:"),
        ({"policy": {"paths": ["nowhere"]}}, {}, 2, "nowhere"),
        ({}, {"SCOPEGATE__REPLICAS": "2"}, 2, "SCOPEGATE__REPLICAS"),
        ({"listen": "unix:no/such/folder/s.sock"}, {}, 1, "no/such/folder"),
        ({"admin": {"http": "127.0.0.1:0", "socket": "no/such/a.sock"}}, {}, 1, "no/such"),
    ],
)
async def test_sidecar_says_why_it_does_not_start(
    tmp_path: Path, change: dict[str, Any], environment: dict[str, str], status: int, says: str
) -> None:
    """A mistake ends it with a message and a status, without a traceback."""
    write(tmp_path, SETTINGS | change)
    async with running(tmp_path, **environment) as process:
        async with asyncio.timeout(20):
            _, err = await process.process.communicate()

    assert process.process.returncode == status
    assert says in err.decode()
    assert "Traceback" not in err.decode()


@pytest.mark.parametrize("tcp", [True, False])
async def test_sidecar_does_not_take_anothers_place(tmp_path: Path, *, tcp: bool) -> None:
    """Two sidecars on one address would share Envoy's calls, and neither's revocations."""
    gate, listen = Gate(), f"unix:{tmp_path}/s.sock"
    settings: dict[str, Any] = {"time_limit": 1, "message_bytes": 100_000, "concurrency": 10}
    first = GrpcFront(gate.pipeline(), listen="127.0.0.1:0" if tcp else listen, **settings)
    await first.start()
    listen = f"127.0.0.1:{first.port}" if tcp else listen
    second = GrpcFront(gate.pipeline(), listen=listen, **settings)
    with pytest.raises(OSError, match="cannot listen on"):
        await second.start()
    async with grpc.aio.insecure_channel(listen) as channel:
        answer = await ask(channel, check())
    await second.stop(0)
    await first.stop(0)

    assert answer.status.code == 0


async def test_sidecar_starts_over_the_socket_of_a_dead_one(tmp_path: Path) -> None:
    """What a crash left behind is in nobody's way."""
    write(tmp_path, SETTINGS)
    for _ in range(2):
        async with running(tmp_path) as process:
            await process.event("serving")
            async with process.channel() as channel:
                await become(channel, SERVING)
            process.process.kill()

    assert (tmp_path / "sidecar.sock").exists()


class Slow:
    """A policy that answers when a test says so."""

    revision = "slow"

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.go = asyncio.Event()

    async def rule_on(self, question: Question, *, deadline: float) -> Ruling | Refused:
        del question, deadline
        self.asked.set()
        await self.go.wait()
        return Ruling(Action.ALLOW)


async def test_front_answers_what_is_under_way_when_it_stops() -> None:
    """Draining tells Envoy to go elsewhere, and finishes what it has begun."""
    policy = Slow()
    front = GrpcFront(
        Gate(policy=policy).pipeline(),
        listen="127.0.0.1:0",
        time_limit=20,
        message_bytes=100_000,
        concurrency=10,
    )
    await front.start()
    await front.set_ready(ready=True)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{front.port}") as channel:
        under_way = asyncio.create_task(ask(channel, check()))
        await policy.asked.wait()
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        watch = health_pb2_grpc.HealthStub(channel).Watch(request)
        assert (await watch.read()).status == SERVING
        stopping = asyncio.create_task(front.stop(grace=20))
        assert (await watch.read()).status == NOT_SERVING
        watch.cancel()
        policy.go.set()
        answer: pb.CheckResponse = await under_way
        await stopping

    assert answer.status.code == 0
