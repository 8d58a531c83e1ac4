"""Sidecars assembled over a real OPA and a real Redis: every setting reaches its part."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from tests.assembled import FAR, Assembled, assembled, defaults_in, token, until
from tests.feed_source import FeedSource, Publisher
from tests.gate import ask, check
from tests.opa_server import REVISION, OpaServer
from tests.real_parts import opa_binary
from tests.redis_server import RedisServer, asking
from tests.tokens import base64url, signer

FEED = "gate:deny"
TOKEN = "a-secret-of-opas"
ANSWER = """package scopegate

ruling := {"action": "allow", "headers": {"x-agent-tier": "platinum"}}
"""


@dataclass(frozen=True, slots=True)
class World:
    """The shared parts, and where sidecars find them."""

    folder: Path
    redis: RedisServer
    opa: OpaServer
    source: FeedSource

    def settings(self, name: str) -> dict[str, Any]:
        """Of one of the sidecars; what is shared is equal for all."""
        etc = self.folder / "etc"
        return {
            "policy": {
                "engine": "opa",
                "opa": {
                    "address": f"unix:{self.opa.socket}",
                    "token_file": str(etc / "token"),
                    "concurrency": 7,
                },
            },
            "stores": {"kind": "redis", "single_use_per_agent": 2, "verified_tokens": 2},
            "deny_list": {
                "source": "redis",
                "file": str(self.folder / name / "state" / "denied"),
                "feed": FEED,
                "keys": str(etc / "feed.json"),
                "stale_after": 1,
                "capacity": 3,
            },
            "redis": {
                "address": f"unix:{self.redis.socket}",
                "database": 3,
                "username": "gate",
                "password_file": str(etc / "password"),
            },
            "replicas": 2,
            "leeway": 1,  # so long after a ledger began, tokens may be older than it
        }

    async def revoke(self, publisher: Publisher, *agents: str) -> None:
        """Put entries into the feed and publish them."""
        for agent in agents:
            key = DenyKey(DenyKind.AGENT, FAR, "umbrella", agent)
            self.source.deny(DenyEntry(key, time.time() + 60))
        await publisher.publish()


@pytest.fixture
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    tmp_path = tmp_path_factory.mktemp("w")  # short: a socket's path may have 107 bytes
    etc, policies = tmp_path / "etc", tmp_path / "policies"
    etc.mkdir()
    policies.mkdir()
    (policies / "gate.rego").write_text(ANSWER)
    (etc / "token").write_text(f"{TOKEN}\n")
    (etc / "password").write_text("hunter2\n")
    source = FeedSource()
    public = source.key.public_key().public_bytes_raw()
    (etc / "feed.json").write_text(json.dumps({"keys": [signer_jwk(source.kid, public)]}))
    async with AsyncExitStack() as stack:
        user = ("--user", "gate", "on", ">hunter2", "~*", "+@all")
        redis = await stack.enter_async_context(RedisServer(tmp_path / "r", *user))
        opa = await stack.enter_async_context(
            OpaServer(opa_binary(), policies, TOKEN, tmp_path / "opa.sock")
        )
        yield World(tmp_path, redis, opa, source)


def signer_jwk(kid: str, public: bytes) -> dict[str, str]:
    return {**signer("EdDSA").jwk, "kid": kid, "x": base64url(public).decode()}


@pytest.fixture
async def publisher(world: World) -> AsyncIterator[Publisher]:
    """The feed's way into Redis, with its heartbeats."""
    target = replace(world.redis.target, username="gate", password="hunter2", db=3)
    async with asking(target) as redis:
        publisher = Publisher(world.source, redis, FEED)
        await publisher.publish()
        async with publisher.beating():
            yield publisher


@pytest.fixture
async def sidecar(world: World, publisher: Publisher) -> AsyncIterator[Assembled]:
    del publisher  # it has to be there, or nothing is ready
    async with assembled(world.folder / "one", **world.settings("one")) as running:
        await until(lambda: is_ready(running))
        yield running


async def is_ready(sidecar: Assembled) -> bool:
    return (await sidecar.get("/readyz"))[0] == 200


async def test_every_setting_has_a_value_of_its_own(world: World, sidecar: Assembled) -> None:
    """What the sidecar in memory cannot show is shown here; a new setting is added to one.

    What profiles of issuers and tenants have is in ``tests/unit/config/test_profiles.py``.
    """
    here = set(defaults_in(sidecar.configuration.settings))
    async with assembled(world.folder / "memory") as other:
        there = set(defaults_in(other.configuration.settings))

    same = {one for one in here & there if not one.startswith(("issuers.", "tenants"))}
    assert same <= {"version"}


async def test_opa_decides_and_names_its_revision(sidecar: Assembled) -> None:
    """The ruling is OPA's, by the configured socket and token."""
    answer = await sidecar.ask()
    headers = {one.header.key: one.header.value for one in answer.ok_response.headers}
    metrics = await sidecar.metrics()

    assert headers[b"x-agent-tier"] == b"platinum"
    assert metrics["scopegate_policy_info", REVISION] == 1
    assert metrics["scopegate_policy_reachable", "opa"] == 1


async def test_a_token_is_used_once_over_both_sidecars(world: World, sidecar: Assembled) -> None:
    """What one claimed, the other knows; what is claimed is counted for its agent."""
    async with assembled(world.folder / "two", **world.settings("two")) as other:
        await until(lambda: is_ready(other))
        await until(lambda: begun(sidecar))
        tokens = [token(jti=f"j-{number}", once=True) for number in range(3)]

        assert await reason(sidecar, tokens[0]) == "ok"
        assert await reason(other, tokens[0]) == "replayed"
        assert await reason(other, tokens[1]) == "ok"
        assert await reason(sidecar, tokens[2]) == "quota_exceeded"
    assert (await sidecar.metrics())["scopegate_ledger_reachable", "redis"] == 1


async def test_a_revocation_reaches_both_sidecars(
    world: World, sidecar: Assembled, publisher: Publisher
) -> None:
    """The configured feed, under the configured key; the list is kept in the configured file."""
    async with assembled(world.folder / "two", **world.settings("two")) as other:
        await until(lambda: is_ready(other))
        await world.revoke(publisher, "clerk")

        await until(lambda: refused(sidecar))
        await until(lambda: refused(other))
        metrics = await other.metrics()
    assert metrics["scopegate_deny_entries", "redis"] == 1
    assert metrics["scopegate_deny_feed_upto", "redis"] == world.source.end
    assert metrics["scopegate_deny_feed_reachable", "redis"] == 1
    assert metrics["scopegate_deny_feed_messages_total", "forged"] == 0
    assert (world.folder / "two" / "state" / "denied").read_bytes().count(b"\n") >= 2


async def test_a_full_list_is_stale_and_says_so(
    world: World, sidecar: Assembled, publisher: Publisher
) -> None:
    """Nothing is dropped to make room; what is not known any more is marked."""
    await world.revoke(publisher, *(f"agent-{number}" for number in range(3)))
    await world.revoke(publisher, "one-too-many")

    await until(lambda: marked(sidecar, b"deny_list"))
    metrics = await sidecar.metrics()
    assert metrics["scopegate_deny_entries", "redis"] == 3
    assert metrics["scopegate_deny_feed_messages_total", "full"] >= 1
    assert metrics["scopegate_deny_feed_age_seconds", "redis"] > 1


async def test_the_admin_socket_sends_an_operator_to_the_relay(sidecar: Assembled) -> None:
    """A fed list has one source; what an operator adds here would be on one sidecar only."""
    assert await sidecar.deny(kind="agent", value="clerk") == 409


async def begun(sidecar: Assembled) -> bool:
    """Whether a token issued now is younger than the ledger beyond doubt."""
    return await sidecar.reason(once=True, who="another") == "ok"


async def refused(sidecar: Assembled) -> bool:
    return await sidecar.reason() == "revoked"


async def marked(sidecar: Assembled, mark: bytes) -> bool:
    answer = await sidecar.ask()
    headers = {one.header.key: one.header.value for one in answer.ok_response.headers}
    return headers.get(b"x-authz-skipped") == mark


async def reason(sidecar: Assembled, raw: bytes) -> str:
    """Why a read with this very token is refused, or ``ok``."""
    route = sidecar.configuration.catalogue.routes["notes"]
    answer = await ask(sidecar.channel, check(path="/notes/n-1", route=route, token=raw))
    if answer.status.code == 0:
        return "ok"
    word: str = json.loads(answer.denied_response.body)["reason"]
    return word
