"""A token that is used from two places is told."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.peer_watch import PeerWatch
from sidecar.core.model import Allowed, Refused, Verdict
from sidecar.core.reasons import Reason
from sidecar.observe import Observation
from tests.values import NOW, REQUEST, make_agent

HERE, THERE = "192.0.2.7", "192.0.2.8"


def seen(watch: PeerWatch, peer: str, *, jti: str = "jti-1", allowed: bool = True) -> None:
    decision = Allowed((), ()) if allowed else Refused(Reason.POLICY_DENIED)
    verdict = Verdict(decision, request=REQUEST, agent=make_agent(jti=jti, peer=peer))
    watch(Observation("d-1", NOW, 0.001, "envoy", verdict))


@pytest.mark.parametrize("allowed", [True, False])
def test_watch_tells_once_when_a_token_comes_from_a_second_peer(*, allowed: bool) -> None:
    """Row 70 of the mission: same jti, two addresses; one line, whatever became of the calls."""
    watch = PeerWatch(10)
    with capture_logs() as lines:
        for peer in (HERE, HERE, THERE, HERE, THERE):
            seen(watch, peer, allowed=allowed)

    assert watch.seen == 1
    [line] = lines
    assert (line["event"], line["jti"]) == ("token_from_two_peers", "jti-1")
    assert (line["first_peer"], line["peer"]) == ("192.0.2.7", "192.0.2.8")


def test_watch_says_nothing_when_nobody_names_the_peer() -> None:
    """Who stands behind a proxy that says nothing may be anybody."""
    watch = PeerWatch(10)
    for peer in (HERE, ""):
        seen(watch, peer)

    assert watch.seen == 0


def test_watch_says_nothing_when_two_tokens_come_from_two_peers() -> None:
    """Each to its own."""
    watch = PeerWatch(10)
    seen(watch, HERE)
    seen(watch, THERE, jti="jti-2")

    assert watch.seen == 0


def test_watch_says_nothing_when_nobody_was_verified() -> None:
    """A forged token names a jti that is not its own."""
    watch = PeerWatch(10)
    refused = Verdict(Refused(Reason.SIGNATURE_INVALID), request=REQUEST)
    watch(Observation("d-1", NOW, 0.001, "envoy", refused))

    assert watch.seen == 0
