"""What is fuzzed: steps 2 to 4 alone, which are timed, and the whole gate.

``judge`` walks them as ``sidecar.pipeline`` does, without waiting for anybody; a run compares what
it says with what the gate says, so that it cannot become another walk unnoticed.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, TypeAlias

from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.core import jws as compact
from sidecar.core import signature
from sidecar.core.bearer import credential_of
from sidecar.core.binding import bind
from sidecar.core.capabilities import Capabilities, minted_for, minted_under
from sidecar.core.freshness import too_old
from sidecar.core.lanes import markers_of
from sidecar.core.locate import locate
from sidecar.core.model import Agent, Allowed, Call, Refused, Request, Verdict
from sidecar.core.reasons import Reason
from sidecar.core.verify import admit, profile_of
from sidecar.envoy_api.codec import decode
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from sidecar.observe import Observation
from tests.fakes_policy import FakePolicy
from tests.fuzz.issuers import CALLERS, LIFETIMES, PROFILES, REVISION, RINGS, RingKeys
from tests.gate import CATALOGUE, Gate
from tests.tokens import NOW

Judge: TypeAlias = Callable[[Request, Call], Agent | Refused]
"""Steps 2 to 4."""
Answer: TypeAlias = Callable[[bytes], Awaitable["Answered"]]
"""The whole gate, from the bytes of a check to those of the answer."""

_ALL: Final = tuple(Reason)
TOKEN_REASONS: Final = frozenset(
    _ALL[_ALL.index(Reason.TOKEN_MISSING) : _ALL.index(Reason.REVOKED)]
)
"""Every reason of steps 2 to 4, as ``core.reasons`` groups them."""
LATER: Final = frozenset(_ALL) - TOKEN_REASONS | {Reason.CREDENTIAL_REFUSED}
"""What a good token can still be refused for; a second credential is found in the last step."""

_MARKERS: Final = markers_of(CATALOGUE)
_CAPABILITIES: Final = Capabilities(CATALOGUE)


@dataclass(frozen=True, slots=True)
class Answered:
    """What the gate said of one check."""

    complete: bool
    """Envoy would do what the answer says, and nothing else."""
    reason: Reason | None
    """None: it passed."""
    verdict: Verdict


def asked(raw: bytes) -> tuple[Request, Call] | Refused:
    """Step 1: what the token is for."""
    if isinstance(request := decode(raw), Refused):
        return request
    call = locate(request, CATALOGUE, _MARKERS)
    return call if isinstance(call, Refused) else (request, call)


def judge(request: Request, call: Call) -> Agent | Refused:
    """Steps 2 to 4, as ``Walk._authenticate`` has them, with the keys at hand."""
    if isinstance(credential := credential_of(request), Refused):
        return credential
    if isinstance(jws := compact.parse(credential.token), Refused):
        return jws
    if isinstance(issuer := profile_of(jws, PROFILES), Refused):
        return issuer
    key = RINGS[issuer.issuer].find(jws.kid)
    if key is None:
        return Refused(Reason.KEY_UNKNOWN)
    if isinstance(signed := signature.prove(jws, key), Refused):
        return signed
    if isinstance(agent := admit(signed, issuer, call, now=NOW), Refused):
        return agent
    if stale := too_old(agent, call, LIFETIMES, now=NOW):
        return stale
    agent = bind(agent, issuer.bind, call, credential, CALLERS, now=NOW)
    if isinstance(agent, Refused):
        return agent
    agent = minted_for(agent, issuer, REVISION, _CAPABILITIES)
    if isinstance(agent, Refused):
        return agent
    return minted_under(agent, issuer, REVISION) or agent


def gate(policy: FakePolicy | None = None) -> Answer:
    """A whole gate that trusts every issuer of ``PROFILES`` and lets every call pass."""
    policy = policy or FakePolicy(revision=REVISION)
    room = 10**9
    parts = Gate(
        policy=policy,
        keys=RingKeys(),
        ledger=MemoryLedger(capacity=room, per_owner=room),
        lifetimes=LIFETIMES,
        callers=CALLERS,
    )
    pipeline = parts.pipeline()
    current = replace(pipeline.live.current, issuers=MappingProxyType(dict(PROFILES)))
    pipeline.live.current = current
    seen: list[Observation] = parts.seen

    async def answer(raw: bytes) -> Answered:
        deadline = parts.clock.monotonic() + 60
        answered = await pipeline.check(raw, peer="fuzz", deadline=deadline)
        verdict = seen[-1].verdict
        seen.clear()
        policy.asked.clear()
        decision = verdict.decision
        reason = decision.reason if isinstance(decision, Refused) else None
        whole = _is_complete(answered, passed=isinstance(decision, Allowed))
        return Answered(whole, reason, verdict)

    return answer


def _is_complete(raw: bytes, *, passed: bool) -> bool:
    response = pb.CheckResponse.FromString(raw)
    if response.status.code == 0:
        return passed and response.HasField("ok_response")
    if passed or response.HasField("ok_response"):
        return False
    status: int = response.denied_response.status.code
    told: int = json.loads(response.denied_response.body)["status"]
    return told == status >= 400
