"""Under which keys a revocation of an agent can stand."""

from __future__ import annotations

import pytest

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind, keys_of
from sidecar.core.model import Ancestor
from tests.values import ISSUER, NOW, make_agent


def of(kind: DenyKind, value: str, tenant: str = "acme") -> DenyKey:
    return DenyKey(kind, ISSUER, tenant, value)


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
    """The chain is the root's, however deep the agent."""
    child = make_agent(agent="child", ancestors=(Ancestor("root"), Ancestor("middle")))
    keys = keys_of(child)

    assert {of(DenyKind.AGENT, name) for name in ("child", "root", "middle")} <= set(keys)
    assert [key.value for key in keys if key.kind is DenyKind.CHAIN] == ["root"]


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
