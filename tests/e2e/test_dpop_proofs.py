"""Proofs of possession (RFC 9449) through a real Envoy, which says what method and URL it saw."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest
import pytest_asyncio

from tests.e2e.mtls import Identity, Workloads
from tests.e2e.own_envoy import Door
from tests.e2e.own_line import NO_OPEN_LANE, PLAIN, Client, Heard, OwnLine, catalogue_of, route
from tests.proofs import make_proof
from tests.tokens import signer

pytestmark = pytest.mark.asyncio(loop_scope="module")

CATALOGUE: Final = catalogue_of(route("proofs", outages=[NO_OPEN_LANE]), route("customers"))
BOUND: Final = catalogue_of(route("proofs", bind=["dpop"]))
CHALLENGE: Final = 'DPoP error="invalid_dpop_proof"'
KNOWN_AS: Final = "https://tools.example"
NUMBERS: Final = itertools.count()


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever has the key that a token is bound to, at one door."""

    line: OwnLine
    door: Door = PLAIN
    identity: Identity | None = None

    def url(self, target: str = "/proofs/7") -> str:
        return self.line.url(target, self.door)

    def mint(self) -> str:
        return self.line.issuer.mint("read:items:*", cnf={"jkt": signer().thumbprint})

    def prove(self, token: str, **said: Any) -> str:
        """A proof of now for a GET of ``/proofs/7`` with ``token``, but for what is ``said``."""
        name = f"proof-{next(NUMBERS)}"
        now = {"iat": int(time.time()), "htu": self.url(), "jti": name}
        return make_proof(token.encode(), **{**now, **said}).decode()

    async def show(
        self, token: str, *proofs: str, url: str = "", method: str = "GET", scheme: str = "DPoP",
        headers: Iterable[tuple[str, str]] = (),
    ) -> Heard:  # fmt: skip
        """Call ``/proofs/7``, unless said, with these proofs."""
        shown = (("DPoP", proof) for proof in proofs)
        return await self.line.call(
            method, url or self.url(), token, by=Client(self.identity), scheme=scheme,
            headers=(*headers, *shown),
        )  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def holders(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, Holder]]:
    """By scheme; no origin is set, so that what Envoy sees counts."""
    directory = tmp_path_factory.mktemp("dpop")
    authority = Workloads(directory)
    tls = Door("tls", authority.workload("envoy"), authority.file)
    async with OwnLine(directory, CATALOGUE, PLAIN, tls) as line:
        yield {"http": Holder(line), "https": Holder(line, tls, authority.workload("agent"))}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def named(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Holder]:
    """At a place that knows its own name."""
    directory = tmp_path_factory.mktemp("named")
    async with OwnLine(directory, BOUND, dpop={"origins": [KNOWN_AS]}) as line:
        yield Holder(line)


SCHEMES = pytest.mark.parametrize("scheme", ["http", "https"])


@SCHEMES
async def test_proof_passes_once_when_it_is_for_what_envoy_sees(
    holders: dict[str, Holder], scheme: str
) -> None:
    """Rows 90 and 95: method, scheme, host, port and path are Envoy's; the tool sees no proof."""
    holder = holders[scheme]
    token = holder.mint()
    proof = holder.prove(token)
    first = await holder.show(token, proof)

    assert (first.word, "dpop" in first.headers) == ("200", False)
    assert await holder.line.refusals(holder.show(token, proof)) == ["401 replayed"]
    assert (await holder.show(token, holder.prove(token))).word == "200"


async def test_proof_passes_once_when_twenty_calls_race(holders: dict[str, Holder]) -> None:
    """Exactly one of them."""
    holder = holders["http"]
    token = holder.mint()
    proof = holder.prove(token)
    answers = await asyncio.gather(*(holder.show(token, proof) for _ in range(20)))

    assert sorted(answer.word for answer in answers) == ["200"] + ["401 replayed"] * 19


@SCHEMES
async def test_wrong_proof_is_refused_with_the_challenge_of_its_kind(
    holders: dict[str, Holder], scheme: str
) -> None:
    """Rows 90 to 94 and 96: none, two, or one for another method, URL, token, time or key."""
    holder = holders[scheme]
    token, url = holder.mint(), holder.url()
    other_scheme = {"http": "https", "https": "http"}[scheme] + url.removeprefix(scheme)
    prove = partial(holder.prove, token)
    wrong: dict[str, tuple[str, ...]] = {
        "none": (),
        "two": (prove(), prove()),
        "htm": (prove(htm="PUT"),),
        "htu, path": (prove(htu=holder.url("/proofs/8")),),
        "htu, host": (prove(htu=f"{scheme}://elsewhere.example/proofs/7"),),
        "htu, scheme": (prove(htu=other_scheme),),
        "ath": (holder.prove(holder.mint()),),
        "iat": (prove(iat=int(time.time()) - 62),),
        "key": (prove(by=signer(name="thief")),),
    }
    before = holder.line.tool.calls
    heard = {name: await holder.show(token, *proofs) for name, proofs in wrong.items()}
    heard["bearer"] = await holder.show(token, prove(), scheme="Bearer")

    assert {name: (one.word, one.challenge) for name, one in heard.items()} == dict.fromkeys(
        heard, ("401 dpop_refused", CHALLENGE)
    )
    assert holder.line.tool.calls == before
    assert (await holder.show(token, prove())).word == "200"


@SCHEMES
async def test_client_cannot_say_another_scheme_than_its_connections(
    holders: dict[str, Holder], scheme: str
) -> None:
    """``x-forwarded-proto`` is Envoy's word."""
    holder = holders[scheme]
    token, other = holder.mint(), {"http": "https", "https": "http"}[scheme]
    proof = holder.prove(token, htu=other + holder.url().removeprefix(scheme))
    lie = [("x-forwarded-proto", other)]

    assert await holder.line.refusals(holder.show(token, proof, headers=lie)) == [
        "401 dpop_refused"
    ]
    true = [("x-forwarded-proto", scheme)]
    assert (await holder.show(token, holder.prove(token), headers=true)).word == "200"


async def test_proof_is_for_the_path_that_the_tool_gets(holders: dict[str, Holder]) -> None:
    """Envoy resolves dots first; a query is no part of it (RFC 9449, section 4.2)."""
    holder = holders["http"]
    token, url = holder.mint(), holder.url("/proofs/6/../7?a=1")
    as_sent = holder.prove(token, htu=holder.url("/proofs/6/../7"))
    good = await holder.show(token, holder.prove(token), url=url)

    assert (good.word, good.echo["path"]) == ("200", "/proofs/7")
    assert await holder.line.refusals(holder.show(token, as_sent, url=url)) == ["401 dpop_refused"]


async def test_proof_for_another_place_passes_unless_this_one_knows_its_name(
    holders: dict[str, Holder], named: Holder
) -> None:
    """``Host`` is the caller's word: a proof that another place was shown serves here, too."""
    headers = [("Host", "elsewhere.example")]
    holder, htu = holders["http"], "http://elsewhere.example/proofs/7"
    token = holder.mint()

    assert (await holder.show(token, holder.prove(token, htu=htu), headers=headers)).word == "200"
    token = named.mint()
    own = named.prove(token, htu=f"{KNOWN_AS}/proofs/7")
    assert (
        await named.line.refusals(
            named.show(token, named.prove(token, htu=htu), headers=headers),
            named.show(token, named.prove(token)),
        )
        == ["401 dpop_refused"] * 2
    )
    assert (await named.show(token, own)).word == "200"


async def test_token_without_a_key_is_refused_when_the_route_asks_for_proofs(named: Holder) -> None:
    """``bind: [dpop]``: as it is, or sent as if it were bound."""
    bare, bound = named.line.issuer.mint("read:items:*"), named.mint()
    htu = f"{KNOWN_AS}/proofs/7"
    proof = named.prove(bare, htu=htu)

    assert (await named.show(bound, named.prove(bound, htu=htu))).word == "200"
    assert (
        await named.line.refusals(named.show(bare, scheme="Bearer"), named.show(bare, proof))
        == ["401 binding_refused"] * 2
    )


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_proof_passes_when_the_route_asks_for_none(
    holders: dict[str, Holder], method: str
) -> None:
    """A bound token has its proof checked on either lane."""
    holder = holders["http"]
    token, url = holder.mint(), holder.url("/customers/7")
    proof = holder.prove(token, htm=method, htu=url)
    good = await holder.show(token, proof, url=url, method=method)

    assert (good.word, "dpop" in good.headers) == ("200", False)
    assert await holder.line.refusals(
        holder.show(token, proof, url=url, method=method),
        holder.show(token, url=url, method=method),
    ) == ["401 replayed", "401 dpop_refused"]


async def test_dpop_token_does_not_pass_when_the_sidecar_is_dead(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Nobody checks a proof then, and how the token is sent makes no difference."""
    async with OwnLine(tmp_path_factory.mktemp("dead"), CATALOGUE) as line:
        holder = Holder(line)
        token, url = holder.mint(), holder.url("/customers/7")
        await line.sidecar.kill()
        bearer = await holder.show(line.issuer.mint("read:items:*"), url=url, scheme="Bearer")

        assert bearer.word == "200"
        proof = holder.prove(token, htu=url)
        sent = [holder.show(token, proof, url=url, scheme=one) for one in ("DPoP", "Bearer")]
        assert {word[:3] for word in await line.refusals(*sent)} <= {"401", "403"}
