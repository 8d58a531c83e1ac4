"""What users were promised of tokens, keys and bindings, row by row: what a tester sees.

The rows are those of the list of promises (``mission.md``). Each test is named after its row and
asserts status and reason of whole answers. Two rows are shown elsewhere: 11 by ``make bench``, 22
by ``test_bad_tokens``.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from sidecar.config.key_source import key_limits
from sidecar.config.sections import KeysSettings
from sidecar.core.capabilities import capability_hash
from sidecar.core.model import Peer, Scope
from tests.bad_tokens_delegation import (
    delegated,
    forged_record,
    good_chain,
    outliving_record,
    record,
    wider_than_parent,
)
from tests.bad_tokens_kit import Mint
from tests.chains import chain_claims
from tests.gate import Gate, check, unreachable_policy
from tests.jwks_client import Client, at, client_of
from tests.jwks_server import JwksServer
from tests.opa_server import GUARD, OpaProcess
from tests.own_sidecar import (
    ALLOW,
    GLOBEX,
    OK,
    Line,
    Place,
    Running,
    headers_in,
    issuer,
    jwks_of,
    minted,
    route,
)
from tests.real_parts import opa_binary
from tests.redis_server import RedisServer, eventually
from tests.tokens import AUDIENCE, ISSUER, TENANT, base64url, make_token, signer

DOCUMENTED: Final = replace(key_limits(KeysSettings()), max_skew_s=None)
"""The defaults of ``docs/configuration.md``; the issuer's ``Date`` is not on the test's clock."""
AGENT: Final = "spiffe://acme.test/agent/a1"
"""``sub`` of ``make_token``."""
HERE: Final = Peer("192.0.2.7")
ELSEWHERE: Final = Peer("192.0.2.8")


# --- 4: policy_version and capability_hash --------------------------------------------------------

STRICT: Final = issuer({"file": "keys.json"}, policy_version="require", capability_hash="require")
HELD: Final = ("read:orders:*",)
ORDERS: Final = route("orders", "read:orders:{id}")


async def loaded(gate: Running) -> str:
    """The revision of the policy, as ``/metrics`` says it to a broker."""
    [revision] = [name[1] for name in await gate.metrics() if name[0] == "scopegate_policy_info"]
    return revision


def tools_of(gate: Running) -> str:
    """What ``scopegate catalogue hash`` prints."""
    held = [Scope(*one.split(":", 2)) for one in HELD]
    return capability_hash(gate.configuration.catalogue, TENANT, held)


def minted_for(version: str, tools: str) -> bytes:
    return minted(scope=HELD, policy_version=version, capability_hash=tools)


async def test_row_4_token_is_refused_when_another_policy_is_loaded(tmp_path: Path) -> None:
    """Minted under r1, it passes r1; once r2 is loaded it is stale, and one of r2 passes."""
    place = Place(tmp_path, issuers=[STRICT])
    async with place.serving() as gate:
        first, tools = await loaded(gate), tools_of(gate)
        token = minted_for(first, tools)
        assert await gate.said(token) == OK
        assert await gate.said(minted(scope=HELD, capability_hash=tools)) == (401, "stale_policy")
    place.policy = f"{ALLOW}\nunused := 1\n"
    async with place.serving() as gate:
        second = await loaded(gate)
        assert second != first
        assert await gate.said(token) == (401, "stale_policy")
        assert await gate.said(minted_for(second, tools)) == OK


async def test_row_4_token_is_refused_when_its_tools_have_changed(tmp_path: Path) -> None:
    """A tool joins within its reach: another hash. One that is out of its reach: the same."""
    place = Place(tmp_path, issuers=[STRICT], routes=[ORDERS])
    async with place.serving() as gate:
        token = minted_for(await loaded(gate), tools_of(gate))
        assert await gate.said(token) == OK
    place.routes = [ORDERS, route("customers", "read:data:{id}")]
    async with place.serving() as gate:
        assert await gate.said(token) == OK
    place.routes = [ORDERS, route("invoices", "read:orders:{id}")]
    async with place.serving() as gate:
        assert await gate.said(token) == (401, "stale_capabilities")
        assert await gate.said(minted_for(await loaded(gate), tools_of(gate))) == OK


async def test_row_4_token_is_marked_when_agreement_is_not_required(tmp_path: Path) -> None:
    """The default: it passes, the tool is told, and the metric counts it."""
    async with Place(tmp_path).serving() as gate:
        answer = await gate.answer(minted_for("r0", "another"))
        metrics = await gate.metrics()

    assert headers_in(answer)["x-authz-marks"] == "stale_policy,stale_capabilities"
    assert metrics["scopegate_marked_passes_total", "stale_policy"] == 1
    assert metrics["scopegate_marked_passes_total", "stale_capabilities"] == 1


def bundle(folder: Path, revision: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "gate.rego").write_text(f"# {revision}\n{ALLOW}")
    manifest = {"roots": ["scopegate"], "revision": revision}
    (folder / ".manifest").write_text(json.dumps(manifest))


@asynccontextmanager
async def asking_opa(
    folder: Path, revision: str = "r1"
) -> AsyncIterator[tuple[Running, Callable[[str], Any]]]:
    """A gate over a real OPA, and a way to let OPA load another bundle while it runs."""
    bundles, socket = folder / "bundle", folder / "o"
    bundle(bundles, revision)
    opa = OpaProcess(
        [
            *(opa_binary(), "run", "--server", f"--addr=unix://{socket}", "--watch"),
            *("--authentication=token", "--authorization=basic", "--skip-version-check"),
            *(f"--config-file={GUARD / 'opa.yaml'}", "--bundle", bundles, GUARD),
        ],
        "word",
        socket,
    )
    place = Place(folder / "p", issuers=[{**STRICT, "capability_hash": "off"}])
    (folder / "p" / "etc").mkdir(parents=True)
    (folder / "p" / "etc" / "word").write_text("word")
    connection = {"address": f"unix:{socket}", "token_file": "word"}
    place.sections["policy"] = {"engine": "opa", "opa": connection}

    async def load(revision: str) -> None:
        async def has_it() -> bool:
            path = "/v1/data/scopegate/ruling?provenance=true"
            answer = await opa.ask("POST", path, token="word", body={"input": {}})
            return f'"{revision}"' in answer[1]

        bundle(bundles, revision)
        await eventually(has_it, f"OPA has loaded {revision}")

    async with opa, place.serving() as gate:
        yield gate, load


async def test_row_4_token_is_refused_when_opa_has_loaded_another_policy(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """From the first call on, whatever OPA said before it loaded r2."""
    async with asking_opa(tmp_path_factory.mktemp("w")) as (gate, load):
        assert await gate.said(minted(policy_version="r1")) == OK
        await load("r2")
        assert await gate.said(minted(policy_version="r1")) == (401, "stale_policy")


async def test_row_4_token_passes_when_it_is_of_the_policy_that_opa_has_loaded(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Nobody has to come with an old token first, for the gate to hear of r2."""
    async with asking_opa(tmp_path_factory.mktemp("w")) as (gate, load):
        assert await gate.said(minted(policy_version="r2")) == (401, "stale_policy")
        await load("r2")
        assert await gate.said(minted(policy_version="r2")) == OK


async def test_row_4_token_is_refused_when_nobody_names_the_policy(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """OPA's bundle has no revision: agreement is required, and there is none."""
    async with asking_opa(tmp_path_factory.mktemp("w"), "") as (gate, _):
        for said in ("r1", "unknown"):
            assert await gate.said(minted(policy_version=said)) == (401, "stale_policy")


# --- 12, 30, 31: the broker is away, rotates, or is in an emergency -------------------------------


@dataclass(frozen=True, slots=True)
class Brokered:
    """A gate over the real client of a real broker's keys; both run on the client's clock."""

    broker: JwksServer
    client: Client
    line: Line

    def token(self, **more: Any) -> bytes:
        return make_token(now=self.client.time.now(), **more)

    async def said(self, token: bytes = b"", **more: Any) -> tuple[int, str]:
        """What becomes of a token, of one that is minted now unless said."""
        return await self.line.said(check(token=token or self.token(**more)))


@asynccontextmanager
async def brokered(*published: Any) -> AsyncIterator[Brokered]:
    keys = published or (signer(),)
    async with (
        JwksServer(jwks_of(*keys)) as broker,
        client_of(at(broker, ISSUER), limits=DOCUMENTED) as client,
    ):
        clock: Any = client.time
        yield Brokered(broker, client, Line(Gate(keys=client.keys, clock=clock)))


async def test_row_12_tokens_are_verified_until_the_key_limit_when_the_broker_is_gone() -> None:
    """For an hour (``keys.max_age``) nobody has to be asked; then nothing is believed any more."""
    async with brokered() as gate:
        await gate.broker.stop()
        for _ in range(60):
            await gate.client.time.advance(60)
            assert await gate.said() == OK
        assert DOCUMENTED.max_age_s == 60 * 60
        await gate.client.time.advance(1)

        assert await gate.said() == (503, "keys_unavailable")


async def test_row_12_no_call_asks_the_broker_when_its_key_is_known() -> None:
    """A hundred tokens, each for the first time: the broker hears of none."""
    async with brokered() as gate:
        before = len(gate.broker.requests)
        answers = {await gate.said(jti=f"j-{number}") for number in range(100)}

        assert answers == {OK}
        assert len(gate.broker.requests) == before


def published_at(broker: JwksServer, **keys: float) -> dict[str, Any]:
    """The issuer and the keys' section of a sidecar that fetches from there every second."""
    section = {"refresh": 1, "cooldown": 0.5, **keys}
    return {
        "issuers": [issuer({"url": broker.url}, algorithms=["EdDSA"])],
        "sections": {"keys": section},
    }


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (jwks_of(signer(name="new")), "key_unknown"),
        (
            json.dumps({"keys": [{**signer(name="new").jwk, "kid": signer().kid}]}).encode(),
            "signature_invalid",
        ),
    ],
    ids=["removed", "replaced under its kid"],
)
async def test_row_30_token_verified_a_second_ago_is_refused_when_its_key_is_gone(
    tmp_path: Path, after: bytes, reason: str
) -> None:
    """An emergency: from the next fetch on, no memory of verified tokens keeps the key alive."""
    async with (
        JwksServer(jwks_of(signer())) as broker,
        Place(tmp_path, **published_at(broker)).serving() as gate,
    ):
        token = minted()
        assert [await gate.said(token) for _ in range(3)] == [OK] * 3
        broker.document = after
        removed = time.monotonic()

        async def refused() -> bool:
            return await gate.said(token) != OK

        await eventually(refused, "the key is not trusted any more")
        took = time.monotonic() - removed
        assert [await gate.said(token) for _ in range(3)] == [(401, reason)] * 3
    assert took < 1 + 2  # keys.refresh and keys.timeout


async def test_row_30_token_is_refused_at_once_when_its_kid_is_revoked(tmp_path: Path) -> None:
    """Who cannot wait for the next fetch revokes the key itself, for every tenant."""
    async with Place(tmp_path).serving() as gate:
        token = minted()
        assert await gate.said(token) == OK
        await gate.revoke("kid", signer().kid, tenant="")

        assert await gate.said(token) == (401, "revoked")
        assert await gate.said(minted(tenant=GLOBEX)) == (401, "revoked")


async def test_row_31_removed_kid_is_refused_within_the_documented_time() -> None:
    """After ``keys.refresh``, 60 seconds, at the latest; the key that stays is taken throughout."""
    kept = signer(name="kept")
    async with brokered(signer(), kept) as gate:
        gate.broker.document = jwks_of(kept)
        await gate.client.time.advance(59)
        assert await gate.said() == OK
        await gate.client.time.advance(1)

        assert DOCUMENTED.refresh_s == 60
        assert await gate.said() == (401, "key_unknown")
        assert await gate.said(by=kept) == OK


# --- 16, 17: the token belongs to a certificate ---------------------------------------------------


def workload(name: str, uri: str = "") -> Peer:
    """A peer with a verified client certificate, as Envoy tells it; two names, two certificates."""
    der = b"0\x82" + name.encode()
    pem = b"-----BEGIN CERTIFICATE-----\n%b\n-----END CERTIFICATE-----\n"
    # Only its digest is read: Envoy has verified it.
    encoded = quote(pem % base64_of(der), safe="").encode()
    return Peer("192.0.2.7", uri or f"spiffe://acme.test/agent/{name}", encoded)


def base64_of(der: bytes) -> bytes:
    text = base64url(der).replace(b"-", b"+").replace(b"_", b"/")
    return text + b"=" * (-len(text) % 4)


def thumbprint(name: str) -> str:
    return base64url(sha256(b"0\x82" + name.encode()).digest()).decode()


BOUND: Final = (401, "binding_refused")


async def test_row_16_token_is_refused_when_it_comes_over_another_certificate(
    tmp_path: Path,
) -> None:
    """``cnf.x5t#S256``: good over its own certificate, and over no other and none."""
    async with Place(tmp_path).serving() as gate:
        token = minted(cnf={"x5t#S256": thumbprint("a1")})

        assert await gate.said(token, peer=workload("a1")) == OK
        assert await gate.said(token, peer=workload("a2")) == BOUND
        assert await gate.said(token, peer=workload("a2", uri=AGENT)) == BOUND
        assert await gate.said(token, peer=HERE) == BOUND
        assert await gate.said(token, peer=workload("a1")) == OK


async def test_row_16_token_is_refused_when_another_workload_brings_it(tmp_path: Path) -> None:
    """A SPIFFE id as ``sub``: the route takes it from that workload only, over any certificate."""
    orders = route("orders", "read:orders:{id}", bind=["spiffe"])
    async with Place(tmp_path, routes=[orders]).serving() as gate:
        token = minted()

        assert await gate.said(token, peer=workload("a1")) == OK
        assert await gate.said(token, peer=workload("renewed", uri=AGENT)) == OK
        assert await gate.said(token, peer=workload("a2")) == BOUND
        assert await gate.said(token, peer=HERE) == BOUND


async def test_row_17_token_is_refused_without_mtls_when_its_tenant_requires_that(
    tmp_path: Path,
) -> None:
    """``tenants.acme.bind``: one token, by mTLS and in plain; another tenant may still do both."""
    closed = [{"when": "sidecar", "access": "read", "stance": "closed", "reason": "bound"}]
    place = Place(tmp_path, routes=[route("orders", "read:orders:{id}", outages=closed)])
    place.sections["tenants"] = {"acme": {"bind": ["certificate", "spiffe"]}}
    async with place.serving() as gate:
        token, other = minted(), minted(tenant=GLOBEX)
        bound = minted(sub="worker-7", cnf={"x5t#S256": thumbprint("a7")})

        assert await gate.said(token, peer=workload("a1")) == OK
        assert await gate.said(token, peer=HERE) == BOUND
        assert await gate.said(bound, peer=workload("a7")) == OK
        assert await gate.said(bound, peer=HERE) == BOUND
        assert [await gate.said(other, peer=one) for one in (HERE, workload("b1"))] == [OK, OK]


async def test_row_17_sidecar_does_not_start_when_an_open_lane_would_give_mtls_up(
    tmp_path: Path,
) -> None:
    """While the sidecar is dead nobody compares certificates: such a lane is refused before."""
    place = Place(tmp_path, routes=[route("orders", "read:orders:{id}")])
    place.sections["tenants"] = {"acme": {"bind": ["certificate"]}}
    with pytest.raises(Exception, match="would be given up by the open lane"):
        place.configuration()


# --- 54: across tenants ---------------------------------------------------------------------------


def two_tenants(folder: Path) -> Place:
    """A route of each tenant, one for both, one for single use, and a tool with sessions."""
    return Place(
        folder,
        routes=[
            route("orders", "read:orders:{id}"),
            route("theirs", "read:orders:{id}", tenant=GLOBEX),
            route("carts", "read:orders:{id}", session_header="x-cart"),
            route("tickets", "read:orders:{id}", single_use=True),
        ],
    )


async def test_row_54_token_of_one_tenant_is_refused_on_the_route_of_another(
    tmp_path: Path,
) -> None:
    """Also when both were verified before: no memory of one tenant answers for the other."""
    async with two_tenants(tmp_path).serving() as gate:
        ours, theirs = minted(), minted(tenant=GLOBEX)
        for _ in range(2):
            assert await gate.said(theirs, "theirs") == OK
            assert await gate.said(ours, "theirs") == (403, "tenant_mismatch")
            assert await gate.said(ours) == OK
        told = [headers_in(await gate.answer(one))["x-agent-tenant"] for one in (ours, theirs)]

    assert told == [TENANT, GLOBEX]


async def test_row_54_session_of_one_tenant_is_refused_to_another(tmp_path: Path) -> None:
    """The same issuer, subject and agent: the tool's session is the first tenant's."""
    async with two_tenants(tmp_path).serving() as gate:
        cart: dict[str, Any] = {"headers": {"x-cart": b"cart-1"}}

        assert await gate.said(minted(), "carts", **cart) == OK
        assert await gate.said(minted(tenant=GLOBEX), "carts", **cart) == (403, "session_refused")
        assert await gate.said(minted(), "carts", **cart) == OK


async def test_row_54_one_tenants_tokens_are_unhurt_when_the_other_uses_and_revokes(
    tmp_path: Path,
) -> None:
    """The same ``jti``, agent, task and session: what is used up or denied, is its tenant's."""
    async with two_tenants(tmp_path).serving() as gate:
        await gate.begun()
        assert await gate.said(minted(), "tickets") == OK
        assert await gate.said(minted(), "tickets") == (401, "replayed")
        assert await gate.said(minted(tenant=GLOBEX), "tickets") == OK

        for kind, value in (("task", "task-1"), ("agent", "agent-1"), ("session", "session-1")):
            await gate.revoke(kind, value)
        assert await gate.said(minted(jti="new")) == (401, "revoked")
        assert await gate.said(minted(jti="new", tenant=GLOBEX)) == OK


# --- 63, 64: stolen, and minted by whoever took the broker over -----------------------------------


async def test_row_63_stolen_token_is_refused_ten_minutes_later() -> None:
    """It was good, and is remembered; by then it is junk."""
    gate = Gate()
    line = Line(gate)
    assert [await line.said(check()) for _ in range(2)] == [OK, OK]
    gate.clock.wall += 600

    assert await line.said(check()) == (401, "token_expired")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"scope": ["admin:orders:o-1"]}, "scope_above_ceiling"),
        ({"scope": ["read:orders:*", "read:secrets:all"]}, "scope_above_ceiling"),
        ({"tenant": "initech"}, "tenant_not_of_issuer"),
        ({"exp": int(time.time()) + 86_400}, "lifetime_exceeded"),
        ({"iss": "https://another.test"}, "issuer_unknown"),
    ],
    ids=["action", "resource", "tenant", "lifetime", "issuer"],
)
async def test_row_64_token_above_the_issuers_ceiling_is_refused_by_configuration_alone(
    tmp_path: Path, claims: dict[str, Any], reason: str
) -> None:
    """Signed by the broker's true key, and policy allows everything."""
    async with Place(tmp_path).serving() as gate:
        assert await gate.said(minted()) == OK
        assert await gate.said(minted(**claims)) == (401, reason)


# --- 70: never shared -----------------------------------------------------------------------------


async def test_row_70_token_is_told_when_it_comes_from_two_peers(tmp_path: Path) -> None:
    """One log line and one count for each such token, however often it comes; it still passes."""
    async with Place(tmp_path).serving() as gate:
        with capture_logs() as lines:
            for peer in (HERE, ELSEWHERE, HERE, ELSEWHERE):
                assert await gate.said(minted(jti="shared"), peer=peer) == OK
            for peer in (HERE, HERE):
                assert await gate.said(minted(jti="own"), peer=peer) == OK
        counted = (await gate.metrics())["scopegate_tokens_from_two_peers_total", "peers"]

    [line] = [one for one in lines if one["event"] == "token_from_two_peers"]
    assert (line["jti"], line["agent"], line["log_level"]) == ("shared", "agent-1", "warning")
    assert (line["first_peer"], line["peer"]) == ("address:192.0.2.7", "address:192.0.2.8")
    assert counted == 1


async def test_row_70_second_peer_is_refused_by_every_sidecar_when_the_route_wants_one(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """``bind: [first_peer]``: by this sidecar and by another one over the same Redis."""
    folder = tmp_path_factory.mktemp("w")
    carts = [route("carts", "read:orders:{id}", bind=["first_peer"])]
    async with RedisServer(folder / "r") as redis:
        shared = {"stores": {"kind": "redis"}, "redis": {"address": f"unix:{redis.socket}"}}
        places = [Place(folder / name, carts, sections=dict(shared)) for name in ("1", "2")]
        async with places[0].serving() as one, places[1].serving() as other:
            token = minted()

            assert await one.said(token, "carts", peer=HERE) == OK
            assert await one.said(token, "carts", peer=ELSEWHERE) == BOUND
            assert await other.said(token, "carts", peer=ELSEWHERE) == BOUND
            assert await other.said(token, "carts", peer=HERE) == OK
            assert await other.said(minted(jti="own"), "carts", peer=ELSEWHERE) == OK


# --- 74: high privilege ---------------------------------------------------------------------------


async def test_row_74_high_privilege_wants_a_token_of_at_most_five_minutes(tmp_path: Path) -> None:
    """The issuer may mint for longer; what it minted so is good for ordinary calls only."""
    own = issuer({"file": "keys.json"}, max_lifetime=900)
    risky = route("refunds", "read:orders:{id}")
    risky["operations"] = {"GET": {**risky["operations"]["GET"], "risk": "high"}}
    place = Place(tmp_path, routes=[route("orders", "read:orders:{id}"), risky], issuers=[own])
    async with place.serving() as gate:
        now = int(time.time())
        long, short = minted(iat=now, exp=now + 301), minted(iat=now, exp=now + 300)

        assert await gate.said(short, "refunds") == OK
        assert await gate.said(long, "refunds") == (401, "lifetime_exceeded")
        assert await gate.said(long) == OK


async def test_row_74_high_privilege_wants_a_young_token_when_configured(tmp_path: Path) -> None:
    """However short it lives: an hour's or a minute's age, the operator says."""
    tools = {"shop": {"tools": {"refund": {"scope": "write:orders:o-1", "risk": "high"}}}}
    mcp = {"name": "mcp", "protocol": "mcp", "path": "/mcp", "audience": AUDIENCE, "server": "shop"}
    place = Place(tmp_path, routes=[route("orders", "read:orders:{id}"), mcp], servers=tools)
    place.sections["lifetimes"] = {"high": {"max_age": 60}}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "refund"}}
    sent: dict[str, Any] = {
        "method": "POST",
        "headers": {"content-type": b"application/json"},
        "body": json.dumps(call).encode(),
    }
    async with place.serving() as gate:
        aged = time.time() - 90

        assert await gate.said(minted(), "mcp", "", **sent) == OK
        assert await gate.said(make_token(now=aged), "mcp", "", **sent) == (401, "token_too_old")
        assert await gate.said(make_token(now=aged)) == OK


# --- 92, 93: scopes name one thing, and only shrink -----------------------------------------------


async def test_row_92_token_for_one_customer_is_refused_for_another(tmp_path: Path) -> None:
    """``read:data:customer-12345`` reads 12345, not 12346, whatever policy says."""
    data = route("data", "read:data:{id}")
    async with Place(tmp_path, routes=[data]).serving() as gate:
        token = minted(scope=["read:data:customer-12345"])
        lacking = (403, "insufficient_scope")

        assert await gate.said(token, "data", "customer-12345") == OK
        assert await gate.said(token, "data", "customer-12346") == lacking
        assert await gate.said(token, "data", "customer-123456") == lacking
        assert await gate.said(token, "data", "customer-1234") == lacking


async def test_row_92_scope_holds_when_policy_is_away() -> None:
    """What an outage skips is one question, and never this one."""
    line = Line(Gate(policy=unreachable_policy()))

    assert await line.said(check(scope=["read:orders:o-1"])) == OK
    assert await line.said(check(path="/orders/o-2", scope=["read:orders:o-1"])) == (
        403,
        "insufficient_scope",
    )


def wider_in_the_middle(mint: Mint) -> bytes:
    """The child holds what its parent held; its parent held more than the root."""
    chain = [
        record(mint, "root", ["read:orders:o-1"], 3),
        record(mint, "middle", ["read:orders:*"], 2),
        record(mint, "parent", ["read:orders:o-1"], 1),
    ]
    return mint.token(scope=["read:orders:o-1"], **chain_claims(chain))


def outliving_middle(mint: Mint) -> bytes:
    """The parent may live on; the one before it does not."""
    chain = [
        record(mint, "root", mint.scope, 2, exp=mint.now + 60),
        record(mint, "parent", mint.scope[:1], 1),
    ]
    return mint.token(scope=[mint.scope[0]], **chain_claims(chain))


def ends_with_parent(mint: Mint) -> bytes:
    return delegated(mint, "root", "parent", exp=mint.now + 300)


@pytest.mark.parametrize(
    "maker",
    [wider_than_parent, wider_in_the_middle, forged_record, outliving_record, outliving_middle],
    ids=lambda maker: maker.__name__,
)
async def test_row_93_child_is_refused_when_it_widens_or_outlives(
    tmp_path: Path, maker: Callable[[Mint], bytes]
) -> None:
    """A chain only preserves or reduces; the issuer's own good chain passes beside it."""
    own = issuer({"file": "keys.json"}, profile="agentwrit", claims={"tenant": "tenant"})
    mint = Mint(
        ISSUER,
        AUDIENCE,
        signer(),
        int(time.time()),
        ("read:orders:*", "write:orders:o-1"),
        "https://orders.test/orders/o-1",
    )
    async with Place(tmp_path, issuers=[own]).serving() as gate:
        assert await gate.said(good_chain(mint)) == OK
        assert await gate.said(ends_with_parent(mint)) == OK
        assert await gate.said(maker(mint)) == (401, "delegation_refused")


@pytest.mark.parametrize("seconds", [0, 1])
async def test_row_93_child_is_refused_when_it_ends_after_whoever_it_acts_for(
    tmp_path: Path, seconds: int
) -> None:
    """The other form, ``act`` with an ``exp`` of its own: as long as that, and no second longer."""
    async with Place(tmp_path).serving() as gate:
        end = int(time.time()) + 60
        token = minted(exp=end + seconds, act={"sub": "actor-1", "exp": end})

        assert await gate.said(token) == (OK if not seconds else (401, "delegation_refused"))
