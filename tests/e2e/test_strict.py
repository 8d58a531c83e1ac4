"""Each rule of ``strict``, which looks at what passed the open lane unasked.

One Envoy whose sidecar is not there, and a listener for each rule that lacks this one rule: a token
that is bad by one rule passes there, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from examples.demo.issuer import AUDIENCE
from examples.demo.processes import SIDECAR_CONFIG
from examples.demo.tool import Tool
from sidecar.config.build import load_configuration
from tests.bad_tokens_form import by_forger, padded, prefixed, respelled, spaced
from tests.bad_tokens_kit import Maker, Mint, claiming, dumped, good_token, headed, sent_by
from tests.e2e.envoy_file import members, read_document
from tests.e2e.minting import minting
from tests.e2e.own_envoy import Door, OwnEnvoy, gate_document
from tests.e2e.own_line import port_of
from tests.jwks_server import JwksServer
from tests.strict_rules import NO, rules_in
from tests.tokens import ABSENT, signer

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHOLE: Final = "whole"
UNGUARDED: Final = "unguarded"
SCOPE: Final = "read:customers:7"
THERE: Final[dict[str, Any]] = {"jkt": "kVQDqZQjQGzvBdp8wXk8YJ3m9qS2u5l6n7o8p9q0r1s"}
KEYS: Final = (signer(), signer("RS256"))


def by_rsa(mint: Mint) -> bytes:
    """The issuer's own key, of an algorithm that its profile does not take."""
    (_, rsa) = KEYS
    return mint.token(by=rsa, header={"alg": rsa.algorithm, "kid": rsa.kid})


BAD: Final[dict[str, Maker]] = {
    "authorization": respelled,
    "header.alg": by_rsa,
    "header.typ": headed(typ="dpop+jwt"),
    "header.kid": headed(kid=ABSENT),
    "claims.iat": claiming(iat=ABSENT),
    "claims.sub": claiming(sub=ABSENT),
    "claims.jti": claiming(jti=ABSENT),
    "claims.tenant": claiming(tenant="elsewhere"),
    "claims.agent_id": claiming(agent_id="a\r\nx-agent-tenant: b"),
    "claims.typ": claiming(typ="ID"),
    "claims.single_use": claiming(single_use=True),
    "claims.scope": claiming(scope=ABSENT),
    **{
        f"no header.{name}": headed(**{name: value})
        for name, value in (
            *(("b64", False), ("crit", ["exp"]), ("cty", "JWT"), ("enc", "A256GCM")),
            *(("jku", "https://forger.test"), ("jwk", THERE), ("x5c", ["MIIB"])),
            *(("x5u", "https://forger.test"), ("zip", "DEF")),
        )
    },
    **{
        f"no claims.{name}": claiming(**{name: value})
        for name, value in (
            *(("cnf", THERE), ("act", {"sub": "actor-1"}), ("may_act", {"sub": "actor-1"})),
            *(("delegation_chain", [THERE]), ("chain_hash", "00"), ("status", THERE)),
            *(("events", {"https://a.test/event": {}}), ("toe", 1), ("at_hash", "LDkt")),
            *(("c_hash", "LDkt"), ("s_hash", "LDkt"), ("htm", "GET"), ("wth", "AAAA")),
            *(("htu", "https://a.test"), ("status_list", {"bits": 1})),
            *(("aud", [AUDIENCE, "*"]), ("scope", [SCOPE, "*:customers:7"])),
        )
    },
}  # fmt: skip
"""For each rule a token that is bad by it, and by no other."""

FURTHER: Final[dict[str, Maker]] = {
    "padded": padded,
    "another word before it": prefixed,
    "no typ": headed(typ=ABSENT),
    "single_use is no bool": claiming(single_use="false"),
    "typ is no text": claiming(typ=["Bearer"]),
    "no tenant": claiming(tenant=ABSENT),
    "scope is an object": claiming(scope={SCOPE: True}),
    "scope is an empty list": claiming(scope=[]),
    "scope is a bad string": claiming(scope=f"{SCOPE} read::7"),
    "cnf is empty": claiming(cnf={}),
    "cnf is null": claiming(cnf=None),
    "act is an empty list": claiming(act=[]),
}
GOOD: Final[dict[str, Maker]] = {
    "plain": good_token,
    "several spaces": spaced,
    "at+jwt": headed(typ="AT+JWT"),
    "application/jwt": headed(typ="application/jwt"),
    "typ is Bearer": claiming(typ="Bearer"),
    "single_use is false": claiming(single_use=False),
    "scope is a string": claiming(scope=f"{SCOPE} write:customers:*"),
    "several audiences": claiming(aud=[AUDIENCE, "https://billing.test"]),
    "of the other tenant": claiming(tenant="globex"),
}


@dataclass(frozen=True, slots=True)
class Place:
    """An Envoy whose sidecar is not there, with the tool behind it."""

    envoy: OwnEnvoy
    tool: Tool
    http: aiohttp.ClientSession

    async def status(self, maker: Maker, door: str = WHOLE) -> int:
        """What Envoy answers; the tool was called if, and only if, that is 200."""
        url = f"http://127.0.0.1:{self.envoy.ports[door]}/customers/7"
        sent = sent_by(maker, minting(KEYS[0], url))
        headers = [(name, value.decode()) for name, value in sent.headers]
        before = self.tool.calls
        async with self.http.get(URL(url), headers=headers) as answer:
            assert self.tool.calls - before == (answer.status == 200)
            return answer.status


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    directory = tmp_path_factory.mktemp("strict")
    tool = Tool(0)
    await tool.start()
    try:
        keys = dumped({"keys": [one.jwk for one in KEYS]})
        async with JwksServer(keys) as issuer, aiohttp.ClientSession() as http:
            envoy = OwnEnvoy(directory, without_each_rule(directory, port_of(tool), issuer.port))
            try:
                await envoy.start()
                await envoy.program.ready(lambda: listening(envoy))
                yield Place(envoy, tool, http)
            finally:
                await envoy.stop()
    finally:
        await tool.stop()


async def listening(envoy: OwnEnvoy) -> bool:
    """Whether its many ports take connections, and are not merely known."""
    return await envoy.stat("listener_manager.workers_started") == 1


def without_each_rule(directory: Path, tool: int, issuer: int) -> Mapping[str, Any]:
    """The file with one listener as it stands, one unguarded, and one without each rule."""
    names = rules_in(read_document())
    document: dict[str, Any] = gate_document(
        load_configuration(SIDECAR_CONFIG, {}).catalogue,
        [Door(name) for name in (WHOLE, UNGUARDED, *names)],
        tool=tool, issuer=issuer, authz=directory / "nobody.sock",
    )  # fmt: skip
    listeners = json.loads(json.dumps(document["static_resources"]["listeners"]))
    for listener in listeners:
        if listener["name"] in names:
            rules, rule = rules_in(listener)[listener["name"]]
            rules.remove(rule)
        if listener["name"] == UNGUARDED:
            for key, routed in members(listener):
                if key == "typed_per_filter_config":
                    routed.pop("guard", None)
    document["static_resources"]["listeners"] = listeners
    return document


async def test_every_rule_has_a_token_of_its_own_when_it_is_in_the_file() -> None:
    """None is untried, and none that is tried here is missing from the file."""
    assert sorted(rules_in(read_document())) == sorted(BAD)


@pytest.mark.parametrize("rule", BAD)
async def test_token_passes_unasked_when_its_one_rule_is_gone(place: Place, rule: str) -> None:
    """So no rule stands there for nothing, and none does another's work."""
    others = [name for name in BAD if name != rule and name.startswith(NO) == rule.startswith(NO)]

    assert await place.status(BAD[rule], rule) == 200
    assert await place.status(BAD[rule]) == 403
    assert await place.status(BAD[rule], others[0]) == 403


@pytest.mark.parametrize("what", FURTHER)
async def test_token_is_refused_unasked_when_it_is_not_of_the_plain_form(
    place: Place, what: str
) -> None:
    """Other ways to be bad by the same rules; an empty value counts as there."""
    assert await place.status(FURTHER[what]) == 403


@pytest.mark.parametrize("what", GOOD)
async def test_token_passes_unasked_when_it_is_good(place: Place, what: str) -> None:
    """Every spelling of a good one that is harmless."""
    assert await place.status(GOOD[what]) == 200


@pytest.mark.parametrize("maker", [good_token, by_forger])
async def test_nothing_passes_unasked_when_the_guard_has_checked_nothing(
    place: Place, maker: Maker
) -> None:
    """Strict believes what the guard read, and no token by itself."""
    assert await place.status(maker, UNGUARDED) == 403
