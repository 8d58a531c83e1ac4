"""Whose token it is, as a real Envoy sees callers: certificates, SPIFFE ids, hops and addresses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from cryptography import x509

from examples.demo.program import until
from tests.e2e.mtls import Identity, Workloads, spiffe_id
from tests.e2e.own_envoy import BEHIND_A_HOP, Door, OwnEnvoy, hop_document
from tests.e2e.own_line import NO_OPEN_LANE, PLAIN, Client, OwnLine, catalogue_of, route, url_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

URI: Final = {"uri": True}
HEARD: Final = ("only", "append", "set", "always")
"""Doors that differ from ``mtls`` in what becomes of ``x-forwarded-client-cert``."""
CATALOGUE: Final = catalogue_of(
    route("customers", outages=[NO_OPEN_LANE]),
    route("workloads", bind=["spiffe"]),
    route("firsts", bind=["first_peer"]),
)
TWO_PEERS: Final = 'scopegate_tokens_from_two_peers_total{watch="peers"}'


@dataclass(frozen=True, slots=True)
class Place:
    """The line with its doors, and those who come to it."""

    line: OwnLine
    doors: dict[str, Door]
    right: Identity
    other: Identity
    hop: Identity
    authority: Workloads

    def url(self, target: str, door: str = "mtls") -> str:
        return self.line.url(target, self.doors[door])

    def mint(self, **claims: Any) -> str:
        """A token of a tenant that asks for no binding, unless ``claims`` say another."""
        return self.line.issuer.mint("read:items:*", **{"tenant": "globex", **claims})

    def mint_for(self, identity: Identity) -> str:
        """A token of its own, and bound to its certificate."""
        cnf = {"x5t#S256": identity.thumbprint}
        return self.mint(sub=identity.spiffe_id, cnf=cnf)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    directory = tmp_path_factory.mktemp("bound")
    authority = Workloads(directory)
    gate, right, other, hop = map(authority.workload, ("envoy", "right", "other", "hop"))
    file = authority.file
    doors = (
        PLAIN,
        Door("mtls", gate, file),
        Door("spiffe", gate, file, spiffe=True),
        Door("only", gate, file, "FORWARD_ONLY", removed_early=BEHIND_A_HOP),
        Door("append", gate, file, "APPEND_FORWARD", URI, BEHIND_A_HOP),
        Door("append-untold", gate, file, "APPEND_FORWARD", {}, BEHIND_A_HOP),
        Door("append-removed", gate, file, "APPEND_FORWARD", URI),
        Door("set", gate, file, "SANITIZE_SET", URI, BEHIND_A_HOP),
        Door("always", gate, file, "ALWAYS_FORWARD_ONLY", removed_early=BEHIND_A_HOP),
        Door("plain-always", forwarding="ALWAYS_FORWARD_ONLY", removed_early=BEHIND_A_HOP),
    )
    line = OwnLine(
        directory, CATALOGUE, *doors,
        tenants={"acme": {"bind": ["certificate", "spiffe"]}},
        callers={"trusted_hops": [hop.spiffe_id]},
    )  # fmt: skip
    async with line:
        by_name = {door.name: door for door in doors}
        yield Place(line, by_name, right, other, hop, authority)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def edge(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, OwnEnvoy]]:
    """A second Envoy at the edge before each of these doors of the first."""
    hops = {}
    for name in ("only", "append"):
        document = hop_document(
            edge_door(place), identity=place.hop, trusted=place.authority.file,
            inner=place.line.envoy.ports[name],
        )  # fmt: skip
        hops[name] = OwnEnvoy(tmp_path_factory.mktemp("edge"), document)
    try:
        for hop in hops.values():
            await hop.start()
        yield hops
    finally:
        for hop in hops.values():
            await hop.stop()


def edge_door(place: Place) -> Door:
    return Door("edge", place.hop, place.authority.file, "SANITIZE_SET", URI)


def said_to_be(identity: Identity, gate: str = "envoy") -> tuple[str, str]:
    """The header with which an Envoy says that this is its client."""
    element = f"By={spiffe_id(gate)};Hash={identity.digest.hex()};URI={identity.spiffe_id}"
    return ("x-forwarded-client-cert", element)


# --- certificates and SPIFFE ids -----------------------------------------------------------------


async def test_certificate_bound_token_passes_only_over_its_certificate(place: Place) -> None:
    """Mission row 16 (RFC 8705, section 3): with no other certificate, and not with none."""
    call, token = place.line.call, place.mint(cnf={"x5t#S256": place.right.thumbprint})

    good = await call("GET", place.url("/customers/7"), token, by=Client(place.right))
    assert good.word == "200"
    assert (
        await place.line.refusals(
            call("GET", place.url("/customers/7"), token, by=Client(place.other)),
            call("GET", place.url("/customers/7", "plain"), token),
        )
        == ["401 binding_refused"] * 2
    )


async def test_token_of_a_workload_passes_only_from_that_workload(place: Place) -> None:
    """Mission row 16: ``bind: [spiffe]`` compares the token's actor with the caller's SPIFFE id."""
    call, token = place.line.call, place.mint(sub=place.right.spiffe_id)

    good = await call("GET", place.url("/workloads/7"), token, by=Client(place.right))
    assert good.word == "200"
    assert (
        await place.line.refusals(
            call("GET", place.url("/workloads/7"), token, by=Client(place.other)),
            call("GET", place.url("/workloads/7", "plain"), token),
        )
        == ["401 binding_refused"] * 2
    )


@pytest.mark.parametrize("claim", ["cnf", "sub"])
async def test_tenants_token_is_refused_when_it_comes_without_what_the_tenant_asks_for(
    place: Place, claim: str
) -> None:
    """Mission row 17: the same token, on a route that asks for nothing, over plaintext."""
    own = {"cnf": {"x5t#S256": place.right.thumbprint}, "sub": place.right.spiffe_id}
    call, target = place.line.call, "/customers/7"
    token = place.mint(tenant="acme", **{claim: own[claim]})
    unbound = place.mint(tenant="acme")

    good = await call("GET", place.url(target), token, by=Client(place.right))
    elsewhere = await call("GET", place.url(target, "plain"), place.mint())
    assert (good.word, elsewhere.word) == ("200", "200")
    assert (
        await place.line.refusals(
            call("GET", place.url(target, "plain"), token),
            call("GET", place.url(target), token, by=Client(place.other)),
            call("GET", place.url(target, "plain"), unbound),
            call("GET", place.url(target), unbound, by=Client(place.right)),
        )
        == ["401 binding_refused"] * 4
    )


async def test_handshake_fails_when_a_client_has_no_certificate_of_the_authority(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A SPIFFE id is worth what its authority is: the same name from another one is nobody."""
    elsewhere = Workloads(tmp_path_factory.mktemp("elsewhere"), "elsewhere")
    token = place.mint(sub=place.right.spiffe_id)
    before = place.line.tool.calls
    for stranger in (Client(), Client(elsewhere.workload("right"))):
        with pytest.raises(aiohttp.ClientError):
            await place.line.call("GET", place.url("/workloads/7"), token, by=stranger)

    assert place.line.tool.calls == before


async def test_handshake_fails_when_another_name_is_spelt_as_a_spiffe_id(place: Place) -> None:
    """Envoy gives a DNS name for the principal where there is no URI; its SPIFFE validator not."""
    forged = place.authority.workload("dns", x509.DNSName(place.right.spiffe_id))
    token = place.mint(sub=place.right.spiffe_id)
    call, url = place.line.call, place.url("/workloads/7", "spiffe")
    good = await call("GET", url, token, by=Client(place.right))

    assert good.word == "200"
    with pytest.raises(aiohttp.ClientError):
        await call("GET", url, token, by=Client(forged))


# --- x-forwarded-client-cert ---------------------------------------------------------------------


@pytest.mark.parametrize("door", ["mtls", *HEARD])
async def test_forwarded_certificate_is_ignored_when_the_peer_is_no_trusted_hop(
    place: Place, door: str
) -> None:
    """Whatever Envoy does with the header: a client says nothing of itself."""
    call, token = place.line.call, place.mint_for(place.right)
    lies = [said_to_be(place.right)]

    own = await call("GET", place.url("/workloads/7", door), token, by=Client(place.right))
    assert own.word == "200"
    assert (
        await place.line.refusals(
            call(
                "GET", place.url("/workloads/7", door), token, by=Client(place.other), headers=lies
            ),
            call(
                "GET", place.url("/customers/7", door), token, by=Client(place.other), headers=lies
            ),
        )
        == ["401 binding_refused"] * 2
    )


async def test_forwarded_certificate_is_ignored_when_the_peer_shows_none(place: Place) -> None:
    """Over plaintext ``ALWAYS_FORWARD_ONLY`` lets the header in; nobody vouches for it."""
    call, token = place.line.call, place.mint_for(place.right)
    url = place.url("/workloads/7", "plain-always")

    assert (
        await place.line.refusals(
            call("GET", url, token, headers=[said_to_be(place.right)]),
            call("GET", url, token, headers=[said_to_be(place.right), said_to_be(place.hop)]),
        )
        == ["401 binding_refused"] * 2
    )


@pytest.mark.parametrize("door", ["only", "append", "always"])
async def test_trusted_hop_is_believed_about_its_client(place: Place, door: str) -> None:
    """The same header that nobody else may write; the tool does not see it."""
    call, token = place.line.call, place.mint_for(place.right)
    url, by = place.url("/workloads/7", door), Client(place.hop)
    good = await call("GET", url, token, by=by, headers=[said_to_be(place.right)])

    assert good.word == "200"
    assert "x-forwarded-client-cert" not in good.headers
    assert await place.line.refusals(
        call("GET", url, token, by=by, headers=[said_to_be(place.other)])
    ) == ["401 binding_refused"]


@pytest.mark.parametrize("door", ["mtls", "set", "append-untold", "append-removed"])
async def test_trusted_hop_vouches_for_nobody_when_envoy_does_not_pass_it_on(
    place: Place, door: str
) -> None:
    """It fails closed: the header removed, replaced, or followed by a hop without its URI."""
    call, token = place.line.call, place.mint_for(place.right)

    assert await place.line.refusals(
        call(
            "GET", place.url("/customers/7", door), token, by=Client(place.hop),
            headers=[said_to_be(place.right)],
        )
    ) == ["401 binding_refused"]  # fmt: skip


@pytest.mark.parametrize("door", ["only", "append"])
async def test_trusted_hop_vouches_for_nobody_when_it_does_not_say_whose_certificate_it_is(
    place: Place, door: str
) -> None:
    """A proxy without ``uri: true`` writes By and Hash; another that says nothing is nobody."""
    call, token = place.line.call, place.mint_for(place.right)
    url, by = place.url("/customers/7", door), Client(place.hop)
    bare = (said_to_be(place.right)[0], f"By={place.hop.spiffe_id};Hash={place.right.digest.hex()}")

    assert (
        await place.line.refusals(
            call("GET", url, token, by=by, headers=[bare]), call("GET", url, token, by=by)
        )
        == ["401 binding_refused"] * 2
    )


@pytest.mark.parametrize("inner", ["only", "append"])
async def test_end_clients_certificate_counts_behind_a_second_envoy(
    place: Place, edge: dict[str, OwnEnvoy], inner: str
) -> None:
    """Through both Envoys: the right client passes, another does not, whatever it writes."""
    call, token = place.line.call, place.mint_for(place.right)
    url = url_of(edge[inner], edge_door(place), "/workloads/7")
    good = await call("GET", url, token, by=Client(place.right))

    assert good.word == "200"
    assert "x-forwarded-client-cert" not in good.headers
    lies = [said_to_be(place.right), said_to_be(place.hop)]
    assert (
        await place.line.refusals(
            call("GET", url, token, by=Client(place.other)),
            call("GET", url, token, by=Client(place.other), headers=lies),
            call("GET", url, token, by=Client(place.other), headers=lies[:1]),
        )
        == ["401 binding_refused"] * 3
    )


@pytest.mark.parametrize("inner", ["only", "append"])
async def test_hop_itself_is_nobody(place: Place, edge: dict[str, OwnEnvoy], inner: str) -> None:
    """A token of the hop's serves neither its clients nor itself, through the edge or past it."""
    call, token = place.line.call, place.mint_for(place.hop)
    url = url_of(edge[inner], edge_door(place), "/workloads/7")
    control = await call("GET", url, place.mint_for(place.other), by=Client(place.other))

    assert control.word == "200"
    assert (
        await place.line.refusals(
            call("GET", url, token, by=Client(place.right)),
            call("GET", url, token, by=Client(place.hop)),
            call("GET", place.url("/workloads/7", inner), token, by=Client(place.hop)),
        )
        == ["401 binding_refused"] * 3
    )


# --- addresses -----------------------------------------------------------------------------------


async def test_token_serves_only_its_first_peer_when_the_route_asks_for_it(place: Place) -> None:
    """Refused from a second address, and the first goes on; another token may be used there."""
    call, url, token = place.line.call, place.url("/firsts/7", "plain"), place.mint()
    second = Client(address="127.0.0.2")

    assert (await call("GET", url, token)).word == "200"
    assert await place.line.refusals(call("GET", url, token, by=second)) == ["401 binding_refused"]
    assert (await call("GET", url, token)).word == "200"
    assert (await call("GET", url, place.mint(), by=second)).word == "200"


async def test_token_from_two_peers_is_told_when_nobody_asks_for_a_binding(place: Place) -> None:
    """It passes: one log line and one count for the token, however often it comes."""
    line, url, token = place.line, place.url("/customers/7", "plain"), place.mint(jti="two-peers")
    before = await line.metric(TWO_PEERS)
    for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3"):
        assert (await line.call("GET", url, token, by=Client(address=address))).word == "200"

    async def told() -> bool:
        return bool(told_of("two-peers", line))

    await until(told, "a log line")
    (said,) = told_of("two-peers", line)
    assert (said["first_peer"], said["peer"]) == ("address:127.0.0.1", "address:127.0.0.2")
    assert await line.metric(TWO_PEERS) == before + 1


def told_of(jti: str, line: OwnLine) -> list[dict[str, Any]]:
    return [one for one in line.logged("token_from_two_peers") if one["jti"] == jti]


# --- a dead sidecar ------------------------------------------------------------------------------


async def test_bound_routes_are_closed_when_the_sidecar_is_dead(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Nobody compares any more: 503 for each binding, while an unbound read passes, marked."""
    names = ("certificate", "spiffe", "dpop", "first_peer")
    routes = [route(f"by-{name.replace('_', '-')}", bind=[name]) for name in names]
    catalogue = catalogue_of(route("customers"), *routes)
    dpop = {"origins": ["https://tools.example"]}
    async with OwnLine(tmp_path_factory.mktemp("dead"), catalogue, dpop=dpop) as line:
        token = line.issuer.mint("read:items:*")
        alive = await line.call("GET", line.url("/by-first-peer/7"), token)
        await line.sidecar.kill()
        passed = await line.call("GET", line.url("/customers/7"), token)
        closed = [line.call("GET", line.url(f"/{one['name']}/7"), token) for one in routes]

        assert (alive.word, passed.word) == ("200", "200")
        assert passed.headers["x-envoy-auth-failure-mode-allowed"] == ["true"]
        assert await line.refusals(*closed) == ["503"] * len(names)


async def test_certificate_counts_on_the_open_lane_only_while_the_sidecar_lives(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Once nobody compares, a bound token passes no more, while an unbound one does."""
    directory = tmp_path_factory.mktemp("lane")
    authority = Workloads(directory)
    gate, right, other = map(authority.workload, ("envoy", "right", "other"))
    door = Door("mtls", gate, authority.file)
    async with OwnLine(directory, catalogue_of(route("customers")), door) as line:
        token = line.issuer.mint("read:items:*", cnf={"x5t#S256": right.thumbprint})
        call = partial(line.call, "GET", line.url("/customers/7", door))

        assert (await call(token, by=Client(right))).word == "200"
        assert await line.refusals(call(token, by=Client(other))) == ["401 binding_refused"]
        await line.sidecar.kill()
        free = line.issuer.mint("read:items:*")
        assert (await call(free, by=Client(other))).word == "200"
        closed = await line.refusals(*(call(token, by=Client(one)) for one in (right, other)))
        assert {word[:3] for word in closed} == {"403"}
