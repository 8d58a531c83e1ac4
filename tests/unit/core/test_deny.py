"""Under which keys a revocation of an agent can stand."""

from __future__ import annotations

import pytest

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind, keys_of
from sidecar.core.model import Ancestor
from tests.values import ISSUER, NOW, make_agent

OTHER = "https://other.example"


def of(kind: DenyKind, value: str, tenant: str = "acme", issuer: str = ISSUER) -> DenyKey:
    return DenyKey(kind, issuer, tenant, value)


def chains(keys: tuple[DenyKey, ...]) -> list[DenyKey]:
    return [key for key in keys if key.kind is DenyKind.CHAIN]


def test_keys_of_an_agent_that_nobody_sent() -> None:
    """It is the root of its own chain, and stands there once."""
    assert keys_of(make_agent()) == (
        of(DenyKind.JTI, "jti-1"),
        of(DenyKind.AGENT, "agent-1"),
        of(DenyKind.TASK, "task-1"),
        of(DenyKind.KID, "key-1", tenant=""),
        of(DenyKind.CHAIN, "agent-1"),
    )


def test_keys_of_a_delegate_name_everybody_above() -> None:
    """Revoking anybody's chain reaches whatever was delegated below, however deep the agent."""
    child = make_agent(agent="child", ancestors=(Ancestor("root"), Ancestor("middle")))
    keys = keys_of(child)

    assert {of(DenyKind.AGENT, name) for name in ("child", "root", "middle")} <= set(keys)
    assert {of(DenyKind.CHAIN, name) for name in ("child", "root", "middle")} <= set(chains(keys))


def test_keys_of_name_an_ancestor_under_its_own_issuer() -> None:
    """A name is its issuer's: the same name of ours is somebody else."""
    child = make_agent(ancestors=(Ancestor("root", OTHER), Ancestor("middle", OTHER)))
    keys = keys_of(child)

    assert of(DenyKind.AGENT, "middle", issuer=OTHER) in keys
    assert of(DenyKind.AGENT, "middle") not in keys
    assert of(DenyKind.CHAIN, "root", issuer=OTHER) in chains(keys)
    assert of(DenyKind.CHAIN, "root") not in chains(keys)


def test_keys_of_name_subject_agent_and_actor_once_each() -> None:
    """Whoever the token is about, what it runs as and who holds it can each be revoked."""
    child = make_agent(subject="alice", agent="bot", actor="helper", ancestors=(Ancestor("alice"),))
    named = [key for key in keys_of(child) if key.kind is DenyKind.AGENT]

    assert named == [of(DenyKind.AGENT, name) for name in ("bot", "alice", "helper")]


def test_keys_of_name_the_holder_under_its_own_issuer() -> None:
    """An actor of another issuer is revoked by that one; our agent of that name is not it."""
    held = make_agent(
        subject="alice",
        agent="bot",
        actor="bot",
        actor_issuer=OTHER,
        ancestors=(Ancestor("alice"),),
    )
    named = [key for key in keys_of(held) if key.kind is DenyKind.AGENT]

    assert named == [
        of(DenyKind.AGENT, "bot"),
        of(DenyKind.AGENT, "alice"),
        of(DenyKind.AGENT, "bot", issuer=OTHER),
    ]


def test_keys_of_a_root_name_its_chain_by_both_names() -> None:
    """Children know their root by its subject; revoking that chain ends the root's tokens too."""
    keys = keys_of(make_agent(subject="spiffe://acme.test/a1", agent="agent-1"))

    assert chains(keys) == [
        of(DenyKind.CHAIN, "agent-1"),
        of(DenyKind.CHAIN, "spiffe://acme.test/a1"),
    ]


@pytest.mark.parametrize(("issued_at", "refused"), [(NOW - 1, False), (NOW - 11, True)])
def test_an_entry_of_an_ancestor_is_judged_by_the_tokens_iat(
    issued_at: float,
    refused: bool,  # noqa: FBT001 - a case of the table
) -> None:
    """A delegator that is back may have new children; the old ones stay dead."""
    child = make_agent(
        issued_at=issued_at, ancestors=(Ancestor("root"), Ancestor("middle", delegated_at=NOW - 99))
    )
    entry = DenyEntry(of(DenyKind.AGENT, "middle"), NOW + 60, not_before=NOW - 10)

    assert entry.key in keys_of(child)
    assert entry.holds_for(child, NOW) is refused


@pytest.mark.parametrize(
    ("absent", "kind"),
    [
        ({"task": ""}, DenyKind.TASK),
        ({"session": ""}, DenyKind.SESSION),
        ({"kid": None}, DenyKind.KID),
    ],
)
def test_keys_of_leave_out_what_the_token_does_not_say(
    absent: dict[str, str | None], kind: DenyKind
) -> None:
    """Nobody is revoked for having no task, no session or no kid."""
    assert kind not in {key.kind for key in keys_of(make_agent(**absent))}


def test_an_entry_says_what_it_holds_for() -> None:
    """For the record: what it names, and why."""
    key = of(DenyKind.AGENT, "agent-1")

    assert str(DenyEntry(key, NOW)) == "agent agent-1: no reason given"
    assert str(DenyEntry(key, NOW, reason="leaked")) == "agent agent-1: leaked"
