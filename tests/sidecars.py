"""Sidecars as they are run: processes with settings, sockets and state of their own, on one Redis.

What they share (catalogue, keys, policy, passwords) stands in one folder. Every sidecar is asked
over its own Unix socket, as its Envoy would.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiohttp
import grpc
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client.parser import text_string_to_metric_families

from sidecar.fronts.grpc_aio import SERVICE
from tests.gate import ORDERS, TICKETS, ask, check
from tests.real_parts import ROOT
from tests.redis_server import Process, RedisServer, eventually
from tests.relay_kit import RelayFolder
from tests.tokens import AUDIENCE, ISSUER, TENANT, make_token, signer

SCOPEGATE: Final = str(Path(sys.executable).with_name("scopegate"))
PASSWORDS: Final = {name: f"s3cr3t-{name}" for name in ("sidecar", "relay", "replica", "sentinel")}
"""Of the users of ``redis/users.acl``."""
LEEWAY_S: Final = 1
"""Of the issuer: for so long after a ledger began, new tokens may have been used before it."""
PASSED: Final = "passed"
MARKED: Final = "passed without "
"""Followed by what was skipped."""

Numbers: TypeAlias = Mapping[tuple[str, ...], float]

_START_S: Final = 60.0
_CATALOGUE: Final = {
    "version": 1,
    "routes": [
        {
            "name": ORDERS.name,
            "path": "/orders/{order}",
            "audience": AUDIENCE,
            "operations": {
                "GET": {"scope": "read:orders:{order}"},
                "PUT": {"scope": "write:orders:{order}"},
            },
        },
        {
            "name": TICKETS.name,
            "path": "/tickets",
            "audience": AUDIENCE,
            "single_use": True,
            "operations": {"GET": {"scope": "read:orders:t-1"}},
        },
    ],
}
_POLICY: Final = 'package scopegate\n\nruling := {"action": "allow"}\n'
_QUICK: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 200),
)


class SidecarProcess(Process):
    """``scopegate sidecar`` over a folder of its own; ``start`` it within ``running``."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__(folder)
        self.socket = folder / "s"
        self._admin = folder / "a"
        self._port = 0
        own = {
            "listen": f"unix:{self.socket}",
            "admin": {"http": "127.0.0.1:0", "socket": str(self._admin)},
        }
        (folder / "scopegate.yaml").write_text(yaml.safe_dump({**settings, **own}))
        self.channel: grpc.aio.Channel

    def start(self) -> None:
        """Start the process; ``ready`` waits for it."""
        (self.folder / "output").unlink(missing_ok=True)
        self._port = 0
        self.run(SCOPEGATE, "sidecar", "--config", "scopegate.yaml")

    async def ready(self) -> None:
        """Wait until its health says that it serves. Raises ``AssertionError`` if it ends."""
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        health = health_pb2_grpc.HealthStub(self.channel)
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            assert self.running(), self.output
            try:
                if (await health.Check(request, timeout=1)).status == 1:
                    return
            except grpc.aio.AioRpcError:
                pass  # not there yet
            await asyncio.sleep(0.1)
        raise AssertionError(f"never ready: {self.output}")

    def kill(self) -> None:
        """``SIGKILL``, also while it is stopped."""
        if self.running():
            self._signal(signal.SIGCONT)
        super().kill()

    async def said(self, raw: bytes) -> str:
        """What it says to a check: ``PASSED``, ``MARKED`` and what was skipped, or the reason."""
        answer = await ask(self.channel, raw)
        if answer.status.code != 0:
            word: str = json.loads(answer.denied_response.body)["reason"]
            return word
        headers = {one.header.key: one.header.value for one in answer.ok_response.headers}
        skipped = headers.get(b"x-authz-skipped", b"").decode()
        return f"{MARKED}{skipped}" if skipped else PASSED

    async def entries(self) -> set[tuple[str, float]]:
        """What its deny list holds, as its admin socket shows it; see ``held``."""
        connector = aiohttp.UnixConnector(str(self._admin))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://admin/deny") as response,
        ):
            assert response.status == 200
            return held(json.loads(await response.read()))

    async def metrics(self) -> Numbers:
        """Every sample: its name and its labels' values, in the order of their names."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self._admin_port()}/metrics") as response,
        ):
            return numbers_in(await response.text())

    def _admin_port(self) -> int:
        if not self._port:
            lines = [json.loads(line) for line in self.output.splitlines() if line[:1] == "{"]
            [self._port] = [line["admin_port"] for line in lines if line["event"] == "serving"]
        return self._port


class Relay(Process):
    """``scopegate deny relay`` over what an operator prepared."""

    def __init__(self, relay: RelayFolder) -> None:
        super().__init__(relay.folder)
        self._relay = relay

    async def start(self, *options: str) -> None:
        """Start, and wait until it answers."""
        self.run(SCOPEGATE, "deny", "relay", "--config", str(self._relay.config), *options)
        await eventually(self._answers, "the relay answers")

    async def _answers(self) -> bool:
        assert self.running(), self.output
        try:
            return (await self._relay.ask("GET"))[0] == 200
        except OSError:
            return False


def held(listing: Mapping[str, Any]) -> set[tuple[str, float]]:
    """Whom the answer to ``GET /deny`` names, and until when: kind, issuer, tenant and value."""
    return {
        ("/".join(entry["key"][part] for part in ("kind", "issuer", "tenant", "value")), until)
        for entry in listing["entries"]
        for until in [entry["until"]]
    }


def shared_settings(etc: Path, **sections: Any) -> dict[str, Any]:
    """Write what sidecars share into ``etc``; the settings of each, but for ``sections``.

    Redis is ``RedisUsers``' at ``etc / "redis.sock"``, unless a section says something else.
    """
    etc.mkdir(parents=True, exist_ok=True)
    (etc / "catalogue.yaml").write_text(yaml.safe_dump(_CATALOGUE))
    (etc / "policy.rego").write_text(_POLICY)
    (etc / "keys.json").write_text(json.dumps({"keys": [signer().jwk]}))
    (etc / "sidecar.password").write_text(PASSWORDS["sidecar"])
    issuer = {
        "name": "test",
        "issuer": ISSUER,
        "jwks": {"file": str(etc / "keys.json")},
        "algorithms": ["EdDSA"],
        "tenants": [TENANT],
        "ceiling": ["read:orders:*", "write:orders:*"],
        "max_lifetime": 300,
        "leeway": LEEWAY_S,
    }
    return {
        "version": 1,
        "catalogue": str(etc / "catalogue.yaml"),
        "policy": {"engine": "embedded", "paths": [str(etc / "policy.rego")]},
        "issuers": [issuer],
        "stores": {"kind": "redis"},
        "deny_list": {"source": "memory", "file": "state/denied"},
        "redis": {
            "address": f"unix:{etc / 'redis.sock'}",
            "username": "sidecar",
            "password_file": str(etc / "sidecar.password"),
        },
        # Cores are shared by all of them here: that somebody waited for one is no fact of ours.
        "limits": {"decision_timeout": 5},
        "drain_timeout": 0,
        "log": {"level": "info", "decisions": False},
        **sections,
    }


def users_file(folder: Path) -> Path:
    """``redis/users.acl`` with ``PASSWORDS``, and a user ``admin`` for the tests themselves."""
    folder.mkdir(parents=True, exist_ok=True)
    acl = (ROOT / "redis/users.acl").read_text()
    for name, secret in PASSWORDS.items():
        digest = hashlib.sha256(secret.encode()).hexdigest()
        acl = acl.replace(f"#SHA256_OF_THE_{name.upper()}S_PASSWORD", f"#{digest}")
    assert "SHA256_OF" not in acl
    file = folder / "users.acl"
    file.write_text(acl + "user admin on >admin ~* &* +@all\n")
    return file


class RedisUsers(RedisServer):
    """A server that knows only the users of ``users_file``; replicas log in as one of them."""

    def __init__(self, folder: Path, *arguments: str, **options: Any) -> None:
        follow = ("--masteruser", "replica", "--masterauth", PASSWORDS["replica"])
        acl = ("--aclfile", str(users_file(folder)))
        super().__init__(folder, *acl, *follow, *arguments, **options)
        self.administrator = replace(self.target, username="admin", password="admin")

    def serve_as(self, socket: Path) -> None:
        """From now on who connects to ``socket`` comes here."""
        new = socket.with_name(f"{socket.name}.new")
        new.symlink_to(self.socket)
        new.replace(socket)


@asynccontextmanager
async def running(
    folder: Path, count: int, settings: Mapping[str, Any]
) -> AsyncIterator[Sequence[SidecarProcess]]:
    """So many sidecars, started together and ready."""
    made = [SidecarProcess(folder / str(number), settings) for number in range(count)]
    try:
        for one in made:
            one.channel = grpc.aio.insecure_channel(f"unix:{one.socket}", options=_QUICK)
            one.start()
        await asyncio.gather(*(one.ready() for one in made))
        yield made
    finally:
        for one in made:
            one.kill()
        await asyncio.gather(*(one.channel.close() for one in made))


def read(token: bytes) -> bytes:
    """A check of ``GET /orders/o-1``."""
    return check(token=token)


def write(token: bytes) -> bytes:
    """A check of ``PUT /orders/o-1``."""
    return check("PUT", token=token)


def ticket(token: bytes) -> bytes:
    """A check of ``GET /tickets``: the route wants a token that was not used before."""
    return check(path="/tickets", route=TICKETS, token=token)


def minted(name: str, **claims: Any) -> bytes:
    """A token of the agent ``name``, minted now; its ``jti`` is of the same name."""
    return make_token(now=time.time(), agent_id=name, jti=name, **claims)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]


async def all_of(
    sidecars: Sequence[SidecarProcess], told: Callable[[SidecarProcess], Any]
) -> list[Any]:
    """Ask every sidecar at once."""
    return await asyncio.gather(*(told(one) for one in sidecars))


def numbers_in(text: str) -> Numbers:
    """What ``/metrics`` prints: a sample's name and its labels' values, in their names' order."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
