"""Each issuer profile takes real tokens of its issuer, through the whole gate, and no others."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest

from sidecar.config.profiles import PRESETS
from sidecar.core.model import Agent, Scope
from sidecar.core.reasons import Reason
from tests.real_issuers import (
    FOLDER,
    SECTIONS,
    Recorded,
    RecordedKeys,
    authorized,
    configured,
    judged,
    read,
    recorded,
)
from tests.real_parts import spire_server
from tests.spire_server import SpireServer
from tests.tokens import AUDIENCE, reason_of

TOKENS: Final = tuple(recorded())
READ: Final = Scope("read", "orders", "*")

every_token = pytest.mark.parametrize("token", TOKENS, ids=str)


def find(folder: str, name: str) -> Recorded:
    """The first recorded token of that name."""
    return next(token for token in TOKENS if (token.folder, token.name) == (folder, name))


async def agent_of(token: Recorded) -> Agent:
    """The agent that the gate makes of a recorded token, which passes."""
    verdict = await judged(token.request(), token.profile, token.keys, now=token.now)
    assert reason_of(verdict.decision) is None, verdict.decision
    assert verdict.agent is not None
    return verdict.agent


async def refusal(token: Recorded, raw: bytes = b"", *, now: float | None = None) -> Reason | None:
    """Why the check ``raw`` is refused, or that of ``token`` at ``now``."""
    at = token.now if now is None else now
    verdict = await judged(raw or token.request(), token.profile, token.keys, now=at)
    return reason_of(verdict.decision)


def test_every_profile_has_a_real_token_and_its_origin() -> None:
    """No profile is without a recorded token that passes, and each says where it comes from."""
    folders = {folder.name for folder in FOLDER.iterdir() if folder.is_dir()}
    assert folders == PRESETS.keys() == SECTIONS.keys() == {token.folder for token in TOKENS}
    for name in folders:
        assert SECTIONS[name].get("profile", "plain") == name
        assert (FOLDER / name / "origin.md").exists()


@every_token
async def test_real_token_passes_when_it_is_valid(token: Recorded) -> None:
    """The gate takes the token under its issuer's profile and knows whose it is."""
    agent = await agent_of(token)
    assert agent.issuer == token.profile.issuer
    for name, value in token.agent.items():
        assert getattr(agent, name) == value, name


@every_token
async def test_real_token_is_refused_when_its_time_is_over(token: Recorded) -> None:
    """What passed is refused from the second on at which it ends, and not before."""
    ends = (await agent_of(token)).expires_at
    if not token.proof:  # whose own time is over sooner
        assert await refusal(token, now=ends - 1) is None
    assert await refusal(token, now=ends) is Reason.TOKEN_EXPIRED


@every_token
async def test_real_token_is_refused_when_its_signature_is_anothers(token: Recorded) -> None:
    """The same claims under any other signature are nobody's word."""
    signed, _, signature = token.token.rpartition(b".")
    other = b"A" if signature[:1] != b"A" else b"B"
    forged = b".".join((signed, other + signature[1:]))
    assert await refusal(token, token.request(forged)) is Reason.SIGNATURE_INVALID


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("id_token", Reason.TYPE_REFUSED),
        ("refresh_token", Reason.ALGORITHM_REFUSED),
        ("logout_token", Reason.TYPE_REFUSED),
        ("dpop_proof", Reason.TOKEN_MALFORMED),
    ],
)
async def test_keycloak_token_is_refused_when_it_is_no_access_token(
    name: str, reason: Reason
) -> None:
    """Keycloak's other tokens, signed by the same realm, open nothing; its ID token is typ JWT."""
    token = find("keycloak", "token")
    assert await refusal(token, authorized(read("keycloak", name))) is reason


@pytest.mark.parametrize("folder", ["keycloak", "rfc9068"])
async def test_dpop_bound_token_is_refused_when_it_comes_without_its_proof(folder: str) -> None:
    """A bound token is worth nothing as a bearer token, nor with the proof of another key."""
    token = find(folder, "token_dpop")
    assert await refusal(token, authorized(token.token)) is Reason.DPOP_REFUSED
    other = "rfc9068" if folder == "keycloak" else "keycloak"
    stolen = authorized(token.token, read(other, "dpop_proof"))
    assert await refusal(token, stolen) is Reason.DPOP_REFUSED


async def test_keycloak_scopes_are_the_operators_when_words_are_mapped() -> None:
    """What an operator gave no meaning (email, profile) grants nothing and refuses nothing."""
    agent = await agent_of(find("keycloak", "token"))
    assert set(agent.scopes) == {READ, Scope("write", "orders", "*")}


def test_keycloak_key_for_encryption_is_skipped_when_the_realm_publishes_it() -> None:
    """A realm's key set is usable though its first key is not for signatures."""
    ring = find("keycloak", "token").keys.ring
    assert sorted(key.algorithm for key in ring.keys.values()) == ["ES256", "RS256"]
    assert [one.reason for one in ring.skipped] == ["'use' is not sig"]


def test_spiffe_bundle_gives_only_jwt_keys_when_it_has_x509_keys_too() -> None:
    """A key of the X.509 authority, which is in the same document, verifies no token."""
    ring = find("spiffe", "token").keys.ring
    assert len(ring.keys) == 2
    assert {one.reason for one in ring.skipped} == {"'use' is not jwt-svid or sig"}


async def test_agentwrit_chain_is_known_when_a_token_was_delegated_twice() -> None:
    """Both delegators are ancestors, root first, with what they held and when."""
    agent = await agent_of(find("agentwrit", "token_two_hops"))
    root, middle = agent.ancestors
    assert root.scopes == (READ, Scope("write", "orders", "o-1"))
    assert middle.scopes == (READ,)
    assert agent.scopes == (Scope("read", "orders", "o-1"),)
    times = (root.delegated_at, middle.delegated_at, agent.issued_at)
    known = [at for at in times if at is not None]
    assert len(known) == 3
    assert known == sorted(known)


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("token_no_audience", {}, Reason.AUDIENCE_REFUSED),
        ("token_no_issuer", {}, Reason.ISSUER_UNKNOWN),
        ("token_bare", {"issuer": "spiffe://agentwrit.local"}, Reason.AUDIENCE_REFUSED),
        ("token_bare", {"audience": "optional"}, Reason.ISSUER_UNKNOWN),
    ],
)
async def test_agentwrit_token_is_refused_when_what_it_leaves_out_is_not_allowed(
    name: str, changes: dict[str, Any], reason: Reason
) -> None:
    """Tokens without audience or issuer pass only where an operator said that they may."""
    token = find("agentwrit", name)
    strict = configured({**SECTIONS["agentwrit"], **changes})
    verdict = await judged(token.request(), strict, token.keys, now=token.now)
    assert reason_of(verdict.decision) is reason


async def test_kubernetes_token_ends_at_warnafter_when_the_server_made_it_last_a_year() -> None:
    """An extended token counts as expired when its workload should have had the next one."""
    token = find("kubernetes", "token_extended")
    agent = await agent_of(token)
    assert agent.issued_at is not None
    assert agent.expires_at - agent.issued_at == 3607
    year = configured({**SECTIONS["kubernetes"], "claims": {"ends_early": ""}})
    verdict = await judged(token.request(), year, token.keys, now=token.now)
    assert reason_of(verdict.decision) is Reason.LIFETIME_EXCEEDED


async def test_kubernetes_pod_is_the_session_when_the_token_is_bound_to_one() -> None:
    """A pod's token ends with the pod: its uid is what a revocation of the session names."""
    assert len((await agent_of(find("kubernetes", "token"))).session) == len(str(uuid4()))
    assert (await agent_of(find("kubernetes", "token_unbound"))).session == ""


async def test_svid_of_a_running_spire_passes_when_its_bundle_is_the_operators(
    tmp_path: Path,
) -> None:
    """What SPIRE mints now passes with the bundle that it publishes now, and with no other."""
    with SpireServer(spire_server(), tmp_path / "one") as spire:
        svid, bundle = spire.mint("/agent/planner", AUDIENCE), spire.bundle()
    with SpireServer(spire_server(), tmp_path / "two") as spire:
        foreign = spire.bundle()
    profile = configured(SECTIONS["spiffe"])

    async def answer(raw: bytes, keys: bytes) -> Reason | None:
        published = RecordedKeys(keys, profile)
        return reason_of((await judged(raw, profile, published, now=time.time())).decision)

    assert await answer(authorized(svid), bundle) is None
    assert await answer(authorized(svid), foreign) is Reason.KEY_UNKNOWN
