"""Attacks on tokens, keys and bindings, each against a whole gate: what a tester sees of it.

The rows are those of the list of attacks (``attacks.md``). What the table of bad tokens
(``test_bad_tokens``) or the rows of promises (``test_promises_of_tokens``) show is not repeated.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from sidecar.config.key_source import key_limits
from sidecar.config.problem import ConfigurationError
from sidecar.config.sections import KeysSettings
from sidecar.core.feed_wire import BATCH, BEAT
from sidecar.core.lanes import Lane
from sidecar.core.model import Peer
from tests.gate import Gate, check
from tests.jwks_client import Client, at, client_of
from tests.jwks_server import Answer, JwksServer, status
from tests.own_sidecar import (
    OK,
    Line,
    Place,
    Running,
    Said,
    issuer,
    jwks_of,
    minted,
    route,
)
from tests.redis_server import RedisServer, eventually
from tests.tokens import ABSENT, AUDIENCE, ISSUER, TENANT, base64url, make_token, signer

ORDERS: Final = route("orders", "read:orders:{id}")


# --- a token for tool A works at tool B -----------------------------------------------------------

BILLING: Final = "https://billing.test"


@pytest.mark.parametrize(
    ("aud", "at_orders", "at_bills"),
    [
        (AUDIENCE, True, False),
        (BILLING, False, True),
        ([AUDIENCE, BILLING], True, True),
        (ABSENT, False, False),
        ("", False, False),
        ([], False, False),
        ("*", False, False),
        (f"{AUDIENCE}/bills", False, False),
    ],
)
async def test_token_for_one_tool_is_refused_at_another(
    tmp_path: Path,
    aud: object,
    *,
    at_orders: bool,
    at_bills: bool,
) -> None:
    """Each route wants its own audience, as an exact member; a token without one is nobody's."""
    bills = route("bills", "read:orders:{id}", audience=BILLING)
    async with Place(tmp_path, routes=[ORDERS, bills]).serving() as gate:
        token, refused = minted(aud=aud), (401, "audience_refused")

        assert await gate.said(token) == (OK if at_orders else refused)
        assert await gate.said(token, "bills") == (OK if at_bills else refused)


# --- a second credential rides along --------------------------------------------------------------

SECOND: Final = {"cookie": b"session=crumbs", "x-api-key": b"k-1", "x-forwarded-user": b"root"}


async def test_second_credentials_are_stripped_when_they_are_headers(tmp_path: Path) -> None:
    """The tool gets none of them, nor the token; what the route lists, it gets."""
    listing = route("carts", "read:orders:{id}", credentials=["cookie"])
    async with Place(tmp_path, routes=[ORDERS, listing]).serving() as gate:
        plain = await gate.answer(minted(), headers=SECOND)
        listed = await gate.answer(minted(), "carts", headers=SECOND)

    assert {*SECOND, "authorization"} <= names(plain)
    assert names(plain) - names(listed) == {"cookie"}


def names(answer: Any) -> set[str]:
    return {name.decode() for name in answer.ok_response.headers_to_remove}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("access_token=abc", (401, "token_ambiguous")),
        ("ACCESS%5Ftoken=abc", (401, "token_ambiguous")),
        ("api_key=abc", (400, "credential_refused")),
        ("X-Amz-Signature=abc", (400, "credential_refused")),
        ("pageToken=abc", OK),
    ],
)
async def test_second_credential_is_refused_when_it_is_in_the_query(
    tmp_path: Path, query: str, said: Said
) -> None:
    """Beside a good token; on a route that lists the name, it passes."""
    listing = route("carts", "read:orders:{id}", credentials=["api_key", "x-amz-signature"])
    async with Place(tmp_path, routes=[ORDERS, listing]).serving() as gate:
        assert await gate.said(minted(), path=f"o-1?{query}") == said
        listed = await gate.said(minted(), "carts", f"o-1?{query}")

    assert listed == (said if "token_" in said[1] else OK)


# --- issuer B ------------------------------------------------------------------------------------

OTHER: Final = "https://other.test"
ITS_KEY: Final = signer(name="of-the-other")


async def test_second_issuer_speaks_for_no_tenant_and_by_no_key_of_the_first(
    tmp_path: Path,
) -> None:
    """It mints tenant=acme, or under a kid of the first's: each issuer has its own of both."""
    its = issuer(
        {"file": "its.json"},
        name="other",
        issuer=OTHER,
        tenants=["globex"],
        ceiling=["read:orders:*"],
    )
    keys = {"keys": [{**ITS_KEY.jwk, "kid": "of-all"}]}
    ours = {"keys": [{**signer().jwk, "kid": "of-all"}]}
    place = Place(tmp_path, issuers=[issuer({"file": "keys.json"}, tenants=[TENANT]), its])
    place.files = {"its.json": json.dumps(keys).encode(), "keys.json": json.dumps(ours).encode()}
    place.routes = [ORDERS]
    held = {"scope": ["read:orders:*"], "header": {"kid": "of-all"}}
    async with place.serving() as gate:
        assert await gate.said(minted(iss=OTHER, by=ITS_KEY, tenant="globex", **held)) == OK
        assert await gate.said(minted(**held)) == OK

        assert await gate.said(minted(iss=OTHER, by=ITS_KEY, tenant=TENANT, **held)) == (
            401,
            "tenant_not_of_issuer",
        )
        forged = (401, "signature_invalid")
        assert await gate.said(minted(by=ITS_KEY, tenant=TENANT, **held)) == forged
        assert await gate.said(minted(iss=OTHER, tenant="globex", **held)) == forged


@pytest.mark.parametrize("kind", ["memory", "redis"])
async def test_issuer_tenant_and_jti_are_kept_apart_when_their_joins_are_the_same(
    tmp_path_factory: pytest.TempPathFactory, kind: str
) -> None:
    """``https://a.test:8443:x`` and ``https://a.test:8443:acme``: used once each, revoked apart."""
    folder = tmp_path_factory.mktemp("w")
    tokens: list[dict[str, Any]] = [
        {"iss": "https://a.test", "tenant": "8443:acme", "jti": "8443:x"},
        {"iss": "https://a.test:8443", "tenant": "acme", "jti": "x"},
    ]
    issuers = [
        issuer({"file": "keys.json"}, name=f"i{n}", issuer=one["iss"], tenants=[one["tenant"]])
        for n, one in enumerate(tokens)
    ]
    async with RedisServer(folder / "r") as redis:
        place = Place(folder / "p", issuers=[*issuers, issuer({"file": "keys.json"})])
        place.sections = over(redis) if kind == "redis" else {}
        async with place.serving() as gate:
            await gate.begun()
            uses = [minted(**one, single_use=True) for one in tokens]
            assert [await gate.said(one) for one in uses] == [OK, OK]
            assert [await gate.said(one) for one in uses] == [(401, "replayed")] * 2

            await gate.revoke("jti", "8443:x", tenant="8443:acme", of="https://a.test")
            kept = [minted(**one) for one in tokens]
            assert [await gate.said(one) for one in kept] == [(401, "revoked"), OK]


def over(redis: RedisServer, **sections: Any) -> dict[str, Any]:
    """The sections of a sidecar that keeps what was used in this Redis."""
    return {
        "stores": {"kind": "redis"},
        "redis": {"address": f"unix:{redis.socket}"},
        **sections,
    }


# --- other tokens of the same issuer --------------------------------------------------------------

LOGOUT: Final[dict[str, Any]] = {"http://schemas.openid.net/event/backchannel-logout": {}}


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"aud": "client-1", "nonce": "n-1"}, (401, "audience_refused")),
        ({"typ": "ID"}, (401, "type_refused")),
        ({"at_hash": "LDkt"}, (401, "type_refused")),
        ({"header": {"typ": "logout+jwt"}}, (401, "type_refused")),
        ({"events": LOGOUT}, (401, "type_refused")),
        ({"typ": "Logout"}, (401, "type_refused")),
        ({"header": {"typ": "secevent+jwt"}}, (401, "type_refused")),
        ({"header": {"typ": "application/secevent+jwt"}}, (401, "type_refused")),
        ({"header": {"typ": "oauth-id-jag+jwt"}}, (401, "type_refused")),
        ({"header": {"typ": "approval+jwt"}}, (401, "type_refused")),
        ({"header": {"typ": "revocation+jwt"}}, (401, "type_refused")),
        ({"header": {"typ": "dpop+jwt"}}, (401, "type_refused")),
        ({"header": {"typ": "wit+jwt"}}, (401, "type_refused")),
        ({"typ": "Refresh"}, (401, "type_refused")),
        ({"header": {"typ": BATCH}}, (401, "type_refused")),
        ({"header": {"typ": BEAT}}, (401, "type_refused")),
        ({"header": {"typ": "JWT"}}, OK),
        ({"header": {"typ": "application/at+jwt"}}, OK),
    ],
    ids=str,
)
async def test_other_kind_of_token_is_refused_as_bearer(
    tmp_path: Path, claims: dict[str, Any], said: Said
) -> None:
    """ID, logout, security event, ID-JAG, approval, revocation: all by the issuer's own key."""
    async with Place(tmp_path).serving() as gate:
        assert await gate.said(minted(**claims)) == said


# --- the issuer's keys ----------------------------------------------------------------------------

DOCUMENTED: Final = replace(key_limits(KeysSettings()), max_skew_s=None)
EVIL: Final = signer(name="evil")


@asynccontextmanager
async def guarded() -> AsyncIterator[tuple[JwksServer, Client, Line]]:
    """A gate over the real client of a real server's keys; both run on the client's clock."""
    async with JwksServer(jwks_of(signer())) as server:
        source = replace(at(server, ISSUER), algorithms=frozenset({"EdDSA", "RS256"}))
        async with client_of(source, limits=DOCUMENTED) as client:
            clock: Any = client.time
            yield server, client, Line(Gate(keys=client.keys, clock=clock))


def weak() -> dict[str, Any]:
    """An RSA key of 1,024 bits, for an algorithm that is on the list."""
    numbers = rsa.generate_private_key(65537, 1024).public_key().public_numbers()  # the case itself
    modulus = base64url(numbers.n.to_bytes(128)).decode()
    return {"kty": "RSA", "n": modulus, "e": "AQAB", "kid": EVIL.kid, "alg": "RS256", "use": "sig"}


def document(*keys: dict[str, Any]) -> Answer:
    return status(200, json.dumps({"keys": [*keys]}).encode())


SYMMETRIC: Final = {"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0", "kid": "evil"}
PRIVATE: Final = {**EVIL.jose.as_dict(private=True), "kid": EVIL.kid, "alg": "EdDSA"}
MEGABYTES_50: Final = jwks_of(EVIL) + b" " * (50 << 20)
"""A good document, but for its size."""


def in_chunks(body: bytes) -> Answer:
    """Nobody is told how long it will be."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(body), 1 << 20):
            await response.write(body[start : start + (1 << 20)])
        await response.write_eof()
        return response

    return answer


METADATA: Final = "http://169.254.169.254/latest/meta-data/"


@pytest.mark.parametrize(
    "bad",
    [
        lambda _: status(302, jwks_of(EVIL), Location=METADATA),
        lambda s: status(307, jwks_of(EVIL), Location=s.at("/elsewhere")),
        lambda _: document(EVIL.jwk, SYMMETRIC),
        lambda _: document(EVIL.jwk, {"kty": "oct", "kid": "its-secret-is-elsewhere"}),
        lambda _: document(weak()),
        lambda _: document(PRIVATE),
        lambda _: document(EVIL.jwk, EVIL.jwk),
        lambda _: document(),
        lambda _: status(200, MEGABYTES_50),
        lambda _: in_chunks(MEGABYTES_50),
        lambda _: status(500, jwks_of(EVIL)),
    ],
    ids=[
        *("to the metadata address", "to itself", "oct", "oct, empty", "RSA-1024", "private"),
        *("twice", "none", "50 MB", "50 MB in chunks", "500"),
    ],
)
async def test_old_keys_are_kept_when_the_issuer_publishes_what_nobody_may_trust(
    bad: Callable[[JwksServer], Answer],
) -> None:
    """The fetch fails and says so; good tokens pass as before, no token of the new key does."""
    async with guarded() as (server, client, line):
        server.answer = bad(server)
        server.pages["/elsewhere"] = status(200, jwks_of(EVIL))
        await client.time.advance(60)
        now = client.time.now()

        assert client.status.failures == 1
        assert await line.said(check(now=now)) == OK
        assert await line.said(check(token=make_token(now=now, by=EVIL))) == (401, "key_unknown")
        assert "/elsewhere" not in server.paths


@pytest.mark.parametrize(
    "url", ["http://issuer.example/jwks.json", "http://169.254.169.254/", "ftp://127.0.0.1/"]
)
def test_sidecar_does_not_start_when_keys_would_come_in_plain(tmp_path: Path, url: str) -> None:
    """Whoever stands on the way could name the keys."""
    place = Place(tmp_path, issuers=[issuer({"url": url})])
    with pytest.raises(ConfigurationError, match=r"issuers\[0\]\.jwks\.url"):
        place.configuration()


async def test_flood_of_unknown_kids_costs_one_fetch_in_a_cooldown() -> None:
    """Ten thousand tokens, each with a kid of its own; good ones pass in between."""
    async with guarded() as (server, client, line):
        now, before = client.time.now(), len(server.requests)
        for number in range(10_000):
            token = make_token(now=now, by=EVIL, header={"kid": f"k-{number}"})
            assert await line.said(check(token=token)) == (401, "key_unknown")
            if number % 1000 == 0:
                assert await line.said(check(now=now)) == OK
        assert len(server.requests) - before == 1
        await client.time.advance(DOCUMENTED.cooldown_s)
        for number in range(100):
            token = make_token(now=now, by=EVIL, header={"kid": f"later-{number}"})
            assert await line.said(check(token=token)) == (401, "key_unknown")

        assert len(server.requests) - before == 2


# --- sessions of the tool, and the open lane ------------------------------------------------------


async def test_session_of_agent_a_is_refused_to_agent_b_by_every_sidecar(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """``Mcp-Session-Id``, without a word in the catalogue; two sidecars share a Redis."""
    folder = tmp_path_factory.mktemp("w")
    mcp = {"name": "mcp", "protocol": "mcp", "path": "/mcp", "audience": AUDIENCE, "server": "shop"}
    shop = {"shop": {"methods": {"tools/list": {"scope": "read:orders:list"}}}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}

    async def in_session(gate: Running, **claims: Any) -> Said:
        headers = {"content-type": b"application/json", "mcp-session-id": b"s-1"}
        body = json.dumps(call).encode()
        token = minted(**claims)
        return await gate.said(token, "mcp", "", method="POST", headers=headers, body=body)

    async with RedisServer(folder / "r") as redis:
        one, two = (
            Place(folder / name, [ORDERS, mcp], shop, sections=over(redis)) for name in ("1", "2")
        )
        async with one.serving() as first, two.serving() as second:
            refused = (403, "session_refused")

            assert await in_session(first) == OK
            assert await in_session(first, jti="renewed") == OK
            assert await in_session(second) == OK
            for gate in (first, second):
                assert await in_session(gate, agent_id="agent-b") == refused
                assert await in_session(gate, sub="spiffe://acme.test/agent/b") == refused
                assert await in_session(gate, tenant="globex") == refused


async def test_bound_token_is_refused_to_others_in_the_open_lane_too(tmp_path: Path) -> None:
    """What the lane opens is what happens without the sidecar; it is there, and compares."""
    async with Place(tmp_path).serving() as gate:
        token = minted(cnf={"x5t#S256": "A" * 43})
        others = Peer("192.0.2.7", "spiffe://acme.test/agent/a1")

        assert await gate.said(minted(), lane=Lane.OPEN) == OK
        assert await gate.said(token, lane=Lane.OPEN, peer=others) == (401, "binding_refused")


async def test_route_that_binds_has_no_open_lane(tmp_path: Path) -> None:
    """An Envoy that still opens it was set up for another catalogue, and is told so at once."""
    bound = route("orders", "read:orders:{id}", bind=["spiffe"])
    async with Place(tmp_path, routes=[bound]).serving() as gate:
        holder = Peer("192.0.2.7", "spiffe://acme.test/agent/a1")

        assert await gate.said(minted(), peer=holder) == OK
        opened = await gate.said(minted(), peer=holder, lane=Lane.OPEN)
        assert opened == (403, "marker_refused")


# --- clocks ---------------------------------------------------------------------------------------

HOUR: Final = 3600.0


@pytest.mark.parametrize("hours", [1, -1])
async def test_sidecar_is_not_ready_when_redis_clock_is_an_hour_off(
    tmp_path_factory: pytest.TempPathFactory, hours: int
) -> None:
    """Nothing else is wrong; ``/readyz`` names the clock, and the metric says by how much."""
    folder = tmp_path_factory.mktemp("w")
    async with (
        RedisServer(folder / "r", clock=f"{hours * 3600:+}") as redis,
        Place(folder / "p", sections=over(redis)).serving() as gate,
    ):
        ready, parts = await gate.ready()
        skew = (await gate.metrics())["scopegate_store_clock_skew_seconds", "redis"]

    assert not ready
    assert [name for name, there in parts.items() if not there] == ["clock"]
    assert abs(skew - hours * HOUR) < 5


async def test_sidecar_is_ready_when_redis_clock_is_off_and_nobody_minds(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """``keys.max_skew: "off"``; what was used is refused all the same, by how long it lasts."""
    folder = tmp_path_factory.mktemp("w")
    async with RedisServer(folder / "r", clock="+3600") as redis:
        sections = over(redis, keys={"max_skew": "off"})
        async with Place(folder / "p", sections=sections).serving() as gate:
            ready, parts = await gate.ready()
            await gate.begun()
            used = [await gate.said(minted(single_use=True)) for _ in range(3)]

    assert ready
    assert all(parts.values())
    assert used == [OK, (401, "replayed"), (401, "replayed")]


async def test_sidecar_stays_ready_when_redis_clock_jumps_later(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Away from the load it would hand reads to the open lane; part and metric tell of it."""
    folder = tmp_path_factory.mktemp("w")
    async with (
        RedisServer(folder / "r", clock="+0") as redis,
        Place(folder / "p", sections=over(redis)).serving() as gate,
    ):
        assert (await gate.ready())[0]
        redis.set_clock("+3600")

        async def told() -> bool:
            return not (await gate.ready())[1]["clock"]

        await eventually(told, "the jump is noticed")
        skew = (await gate.metrics())["scopegate_store_clock_skew_seconds", "redis"]

        assert (await gate.ready())[0]
        assert abs(skew - HOUR) < 5


def two_issuers(server: JwksServer, **keys: Any) -> dict[str, Any]:
    """One whose keys are at a server, and one whose keys are in a file; fetched every second."""
    return {
        "issuers": [
            issuer({"url": server.url}),
            issuer({"file": "keys.json"}, name="other", issuer=OTHER),
        ],
        "sections": {"keys": {"refresh": 1, "cooldown": 1, **keys}},
    }


@pytest.mark.parametrize("off", [HOUR, -HOUR, 600.0])
async def test_sidecar_is_not_ready_when_an_issuers_clock_is_off(
    tmp_path: Path, off: float
) -> None:
    """By the ``Date`` of its answers. Its tokens are refused; another issuer's pass."""
    async with JwksServer(jwks_of(signer())) as server:
        server.now = lambda: time.time() + off
        async with Place(tmp_path, **two_issuers(server)).serving() as gate:
            ready, parts = await gate.ready()
            skew = (await gate.metrics())["scopegate_clock_skew_seconds", "test"]

            assert not ready
            assert [name for name, there in parts.items() if not there] == ["keys:test"]
            assert await gate.said(minted()) == (503, "clock_skewed")
            assert await gate.said(minted(iss=OTHER)) == OK
    assert abs(skew - off) < 5


async def test_expired_token_does_not_live_on_when_our_clock_is_ten_minutes_slow(
    tmp_path: Path,
) -> None:
    """By its issuer's clock it ended; without the watch on clocks it would pass for minutes."""
    async with JwksServer(jwks_of(signer())) as server:
        server.now = lambda: time.time() + 600
        ended = minted(iat=int(time.time()) - 10, exp=int(time.time()) + 290)
        async with Place(tmp_path / "1", **two_issuers(server)).serving() as gate:
            assert await gate.said(ended) == (503, "clock_skewed")
        async with Place(tmp_path / "2", **two_issuers(server, max_skew="off")).serving() as gate:
            assert await gate.said(ended) == OK


async def test_issuers_tokens_are_refused_while_its_clock_is_off_and_no_longer(
    tmp_path: Path,
) -> None:
    """It goes wrong later: the sidecar stays ready, and the issuer is back when its clock is."""
    async with (
        JwksServer(jwks_of(signer())) as server,
        Place(tmp_path, **two_issuers(server)).serving() as gate,
    ):
        assert (await gate.ready())[0]
        assert await gate.said(minted()) == OK
        server.now = lambda: time.time() + HOUR

        async def skewed() -> bool:
            return await gate.said(minted()) == (503, "clock_skewed")

        await eventually(skewed, "the issuer's clock is off")
        ready, parts = await gate.ready()
        skew = (await gate.metrics())["scopegate_clock_skew_seconds", "test"]
        assert (ready, parts["keys:test"], parts["keys:other"]) == (True, False, True)
        assert abs(skew - HOUR) < 5
        assert await gate.said(minted(iss=OTHER)) == OK
        server.now = None

        async def well() -> bool:
            return await gate.said(minted()) == OK

        await eventually(well, "the issuer's clock is right again")
