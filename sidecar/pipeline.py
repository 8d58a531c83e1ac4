"""The line: a request's whole way, from the bytes that Envoy sends to the bytes it gets back.

Steps 1 to 9 have the same numbers and names in records, documents and tests; the comments name
each step's file. Steps 2 to 6 never fail open, but for the deny list's freshness. Nothing is
written before step 8, and step 8 is one atomic write: a call that is refused or held for approval
burns no token, which is why the plan of step 9 is made just before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from sidecar.core.bearer import credential_of
from sidecar.core.binding import bind
from sidecar.core.capabilities import minted_for, minted_under
from sidecar.core.credentials import second_credentials
from sidecar.core.freshness import too_old
from sidecar.core.locate import locate
from sidecar.core.model import (
    Action,
    Agent,
    Call,
    Decision,
    Effects,
    Question,
    Refused,
    Request,
    Ruling,
    Verdict,
)
from sidecar.core.question import question_of
from sidecar.core.reasons import Reason
from sidecar.core.scope import scope_floor
from sidecar.core.settle import settle, withhold
from sidecar.core.single_use import CONFLICT_REASON, effects_of
from sidecar.core.verify import admit, profile_of
from sidecar.envoy_api.codec import decode, encode
from sidecar.generation import Generation, Live
from sidecar.logs import place_of
from sidecar.observe import Observation, Observer
from sidecar.outages import Outages
from sidecar.ports import Clock, DenyList, Keys, Ledger, Tokens

ALLOW: Final = Ruling(Action.ALLOW)

_FOR_ASKING: Final = 0.8
"""The share of a check's time that others may take: the rest is to say what silence means."""

_log: Final = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Turns the bytes of a ``CheckRequest`` into those of a ``CheckResponse``; never raises."""

    live: Live
    keys: Keys
    tokens: Tokens
    deny_list: DenyList
    ledger: Ledger
    clock: Clock
    new_id: Callable[[], str]
    observers: tuple[Observer, ...] = ()

    async def check(self, raw: bytes, *, peer: str, deadline: float) -> bytes:
        """Answer one check. ``deadline`` is in seconds of ``clock.monotonic``.

        Whatever happens, what comes back is a complete ``CheckResponse``: an RPC error would let
        Envoy's ``failure_mode_allow`` decide instead of our table.
        """
        started = self.clock.monotonic()
        ask_by = started + _FOR_ASKING * (deadline - started)
        walk = Walk(self, self.live.current, self.new_id(), self.clock.now(), ask_by)
        try:
            async with asyncio.timeout(deadline - started):
                decision = await walk.decide(raw)  # (1) to (7), and the plan of (9)
                decision = await walk.claim(decision)  # (8)
            verdict, answer = walk.end(decision)  # (9)
        except TimeoutError:
            verdict, answer = walk.end(Refused(Reason.DEADLINE_EXCEEDED))
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise  # the caller is gone, or we are
        except BaseException as bug:  # noqa: BLE001 - engines raise panics outside Exception
            _log.error("check_failed", decision_id=walk.decision_id, **place_of(bug))
            verdict, answer = walk.end(Refused(Reason.INTERNAL_ERROR, type(bug).__name__))
        seconds = self.clock.monotonic() - started
        self._tell(Observation(walk.decision_id, walk.now, seconds, peer, verdict))
        return answer

    def refuse(self, reason: Reason, *, peer: str) -> bytes:
        """The answer of a front that cannot take the check."""
        walk = Walk(self, self.live.current, self.new_id(), self.clock.now(), 0.0)
        verdict, answer = walk.end(Refused(reason))
        self._tell(Observation(walk.decision_id, walk.now, 0.0, peer, verdict))
        return answer

    def _tell(self, observation: Observation) -> None:
        for observer in self.observers:
            try:
                observer(observation)
            except Exception as bug:  # noqa: BLE001 - the answer goes out whoever fails to hear
                _log.error("observer_failed", observer=type(observer).__name__, **place_of(bug))


@dataclass(slots=True)
class Walk:
    """One request's way. What it learns is kept for the record; the decision is only returned."""

    parts: Pipeline
    generation: Generation
    decision_id: str
    now: float
    ask_by: float
    outages: Outages | None = None
    request: Request | None = None
    call: Call | None = None
    agent: Agent | None = None
    question: Question | None = None
    ruling: Ruling | None = None
    effects: Effects = Effects()  # noqa: RUF009 - frozen

    async def decide(self, raw: bytes) -> Decision:
        """Steps 1 to 7 and the plan of 9: what would be done, without doing it."""
        gate, now = self.generation, self.now
        if isinstance(request := decode(raw), Refused):  # (1) envoy_api/codec, core/target
            return request
        self.request = request
        call = locate(request, gate.catalogue, gate.markers)  # core/locate
        if isinstance(call, Refused):
            return call
        self.call, self.outages = call, (outages := Outages(call, now))
        agent = await self.authenticate(request, call, outages)  # (2) (3) (4)
        if isinstance(agent, Refused):
            return agent
        if denied := outages.ask_now(lambda: self._denied(agent), assume=None):  # (5) core/deny
            return denied
        if lacking := scope_floor(agent, call):  # (6) core/scope
            return lacking
        if isinstance(second := second_credentials(call), Refused):  # core/credentials
            return second
        question = question_of(call, agent, now=now, revision=gate.policy.revision)
        self.question = question  # (7) core/question, adapters/regorus_policy, core/ruling
        asking = gate.policy.rule_on(question, deadline=self.ask_by)
        if isinstance(ruling := await outages.ask(asking, assume=ALLOW), Refused):
            return ruling
        self.ruling = ruling
        # Only now: an engine that is elsewhere says with its ruling which policy has made it.
        if stale := minted_under(agent, gate.issuers[agent.issuer], gate.policy.revision):
            return stale  # core/capabilities
        plan = settle(ruling, call, agent, gate.outgoing, self.decision_id)  # (9) core/settle
        plan = withhold(plan, second)
        effects = effects_of(plan, ruling, call, agent, now=now)  # core/single_use, core/pins
        if isinstance(effects, Refused):
            return effects
        self.effects = effects
        return plan

    async def authenticate(  # noqa: C901 - a ladder, one rung a refusal
        self, request: Request, call: Call, outages: Outages
    ) -> Agent | Refused:
        """Steps 2 to 4: whose token it is, and if it is good for this call and caller, and now."""
        parts, gate, now = self.parts, self.generation, self.now
        if isinstance(credential := credential_of(request), Refused):  # (2) core/bearer
            return credential
        if isinstance(jws := parts.tokens.parse(credential.token), Refused):  # (3) core/jws
            return jws
        if isinstance(issuer := profile_of(jws, gate.issuers), Refused):  # core/verify
            return issuer
        finding = parts.keys.find(issuer.issuer, jws.kid, deadline=self.ask_by)  # adapters/jwks
        if isinstance(key := await outages.ask(finding, assume=None), Refused):
            return key
        if key is None:
            return Refused(Reason.KEY_UNKNOWN, f"kid {jws.kid!r} of {issuer.name}")
        if isinstance(signed := parts.tokens.prove(jws, key), Refused):  # (4) core/signature
            return signed
        if isinstance(agent := admit(signed, issuer, call, now=now), Refused):  # core/verify
            return agent
        self.agent = agent
        if stale := too_old(agent, call, gate.lifetimes, now=now):  # core/freshness
            return stale
        agent = bind(agent, issuer.bind, call, credential, gate.callers, now=now)  # core/binding
        if isinstance(agent, Refused):
            return agent
        agent = minted_for(agent, issuer, gate.policy.revision, gate.capabilities)
        if isinstance(agent, Agent):  # core/capabilities
            self.agent = agent
        return agent

    async def claim(self, plan: Decision) -> Decision:
        """(8) The only write: what the call uses up, all or nothing, once everything passed."""
        if not self.effects or self.outages is None:
            return plan
        committing = self.parts.ledger.commit(self.effects, now=self.now, deadline=self.ask_by)
        conflict = await self.outages.ask(committing, assume=None)
        if isinstance(conflict, Refused):
            return conflict
        return plan if conflict is None else Refused(CONFLICT_REASON[conflict])

    def end(self, decision: Decision) -> tuple[Verdict, bytes]:
        """(9) The decision with everything that led to it, and the bytes for Envoy."""
        verdict = Verdict(
            decision,
            skipped=self.outages.skipped if self.outages else (),
            request=self.request,
            call=self.call,
            agent=self.agent,
            question=self.question,
            ruling=self.ruling,
            effects=self.effects,
        )
        return verdict, encode(
            verdict, self.decision_id, self.generation.outgoing
        )  # envoy_api/codec

    def _denied(self, agent: Agent) -> Refused | None:
        entry = self.parts.deny_list.find(agent, now=self.now)
        return None if entry is None else Refused(Reason.REVOKED, str(entry))
