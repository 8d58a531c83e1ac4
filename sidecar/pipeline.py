"""The line: a request's whole way, from the bytes that Envoy sends to the bytes it gets back.

Steps 1 to 9 have the same numbers and names in records, documents and tests. Steps 2 to 6 never
fail open. Nothing is written before step 8, and step 8 is one atomic write: a call that is
refused or held for approval burns no token, which is why step 9's plan is made just before it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import structlog

from sidecar.core.bearer import bearer_token
from sidecar.core.locate import locate
from sidecar.core.model import (
    Access,
    Action,
    Agent,
    Call,
    Dependency,
    Refused,
    Ruling,
    Unavailable,
    Verdict,
)
from sidecar.core.question import question_of
from sidecar.core.reasons import Reason
from sidecar.core.scope import scope_floor
from sidecar.core.settle import settle
from sidecar.core.single_use import CONFLICT_REASON, effects_of
from sidecar.core.stance import OUTAGE_REASON, STANCE, Stance
from sidecar.core.verify import admit, profile_of
from sidecar.envoy_api.codec import decode, encode
from sidecar.generation import Generation, Live
from sidecar.observe import Observation, Observer
from sidecar.ports import Clock, DenyList, Keys, Ledger, Tokens

T = TypeVar("T")
_log: Final = structlog.get_logger(__name__)

UNDECIDED: Final = Verdict(Refused(Reason.INTERNAL_ERROR))
ALLOW: Final = Ruling(Action.ALLOW)


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
        generation, decision_id = self.live.current, self.new_id()
        started, verdict = self.clock.monotonic(), UNDECIDED
        try:
            async with asyncio.timeout(deadline - started):
                verdict = await self._decide(raw, generation, decision_id, deadline)
                verdict = await self._claim(verdict, deadline)  # (8)
            answer = encode(verdict, decision_id, generation.outgoing)  # (9)
        except TimeoutError:
            verdict = Verdict(Refused(Reason.DEADLINE_EXCEEDED))
            answer = encode(verdict, decision_id, generation.outgoing)
        except (asyncio.CancelledError, KeyboardInterrupt, SystemExit):
            raise  # the caller is gone, or we are
        except BaseException as bug:  # noqa: BLE001 - engines raise panics outside Exception
            verdict = Verdict(Refused(Reason.INTERNAL_ERROR, type(bug).__name__))
            answer = encode(verdict, decision_id, generation.outgoing)
        self._tell(Observation(decision_id, self.clock.now(), self._since(started), peer, verdict))
        return answer

    def refuse(self, reason: Reason, *, peer: str) -> bytes:
        """The answer of a front that cannot take the check."""
        decision_id, verdict = self.new_id(), Verdict(Refused(reason))
        self._tell(Observation(decision_id, self.clock.now(), 0.0, peer, verdict))
        return encode(verdict, decision_id, self.live.current.outgoing)

    async def _decide(
        self, raw: bytes, generation: Generation, decision_id: str, deadline: float
    ) -> Verdict:
        """Steps 1 to 7 and the plan of 9: what would be done, without doing it."""
        request = decode(raw)  # (1)
        if isinstance(request, Refused):
            return Verdict(request)
        call = locate(request, generation.catalogue, generation.markers)
        if isinstance(call, Refused):
            return Verdict(call, request=request)
        outages, now = Outages(call.access), self.clock.now()
        agent = await self._identify(call, generation, outages, now, deadline)  # (2) (3) (4)
        if isinstance(agent, Refused):
            return Verdict(agent, request=request, call=call)
        known = Verdict(UNDECIDED.decision, request=request, call=call, agent=agent)

        denied = outages.ask_now(lambda: self._denied(agent, now), assume=None)  # (5)
        if denied is not None:
            return replace(known, decision=denied)
        lacking = scope_floor(agent, call)  # (6)
        if lacking is not None:
            return replace(known, decision=lacking)
        question = question_of(call, agent, now=now, revision=generation.policy.revision)
        known = replace(known, question=question)
        asked = generation.policy.rule_on(question, deadline=deadline)  # (7)
        ruling = await outages.ask(asked, assume=ALLOW)
        if isinstance(ruling, Refused):
            return replace(known, decision=ruling, skipped=outages.skipped)
        decision = settle(ruling, call, agent, generation.outgoing, decision_id)  # (9)
        effects = effects_of(decision, ruling, call, agent)
        return replace(
            known, decision=decision, ruling=ruling, effects=effects, skipped=outages.skipped
        )

    async def _identify(
        self, call: Call, generation: Generation, outages: Outages, now: float, deadline: float
    ) -> Agent | Refused:
        """Who asks: steps 2 to 4."""
        token = bearer_token(call.request)  # (2)
        if isinstance(token, Refused):
            return token
        jws = self.tokens.parse(token)  # (3)
        if isinstance(jws, Refused):
            return jws
        issuer = profile_of(jws, generation.issuers)
        if isinstance(issuer, Refused):
            return issuer
        finding = self.keys.find(issuer.issuer, jws.kid, deadline=deadline)
        key = await outages.ask(finding, assume=None)
        if isinstance(key, Refused):
            return key
        if key is None:
            return Refused(Reason.KEY_UNKNOWN, f"kid {jws.kid!r} of {issuer.name}")
        signed = self.tokens.prove(jws, key)  # (4)
        if isinstance(signed, Refused):
            return signed
        return admit(signed, issuer, call, now=now)

    def _denied(self, agent: Agent, now: float) -> Refused | None:
        entry = self.deny_list.find(agent, now=now)
        return None if entry is None else Refused(Reason.REVOKED, str(entry))

    async def _claim(self, verdict: Verdict, deadline: float) -> Verdict:
        """The only write: what the call uses up, all or nothing, once everything else passed."""
        if not verdict.effects or verdict.call is None:
            return verdict
        outages = Outages(verdict.call.access, verdict.skipped)
        committing = self.ledger.commit(verdict.effects, now=self.clock.now(), deadline=deadline)
        conflict = await outages.ask(committing, assume=None)
        if isinstance(conflict, Refused):
            return replace(verdict, decision=conflict)
        if conflict is not None:
            return replace(verdict, decision=Refused(CONFLICT_REASON[conflict]))
        return replace(verdict, skipped=outages.skipped)

    def _since(self, started: float) -> float:
        return self.clock.monotonic() - started

    def _tell(self, observation: Observation) -> None:
        for observer in self.observers:
            try:
                observer(observation)
            except Exception:  # noqa: BLE001 - the answer goes out whoever fails to hear
                _log.exception("observer_failed", observer=type(observer).__name__)


@dataclass(slots=True)
class Outages:
    """Which silences a call of this access may live with, by the stance table, and which it did."""

    access: Access
    skipped: tuple[Dependency, ...] = field(default=())

    async def ask(self, question: Awaitable[T], *, assume: T) -> T | Refused:
        """The answer; on silence ``assume`` where the stance is open, else a refusal."""
        try:
            return await question
        except Unavailable as outage:
            return self._without(outage, assume)

    def ask_now(self, question: Callable[[], T], *, assume: T) -> T | Refused:
        """``ask`` for a question that this process answers itself."""
        try:
            return question()
        except Unavailable as outage:
            return self._without(outage, assume)

    def _without(self, outage: Unavailable, assume: T) -> T | Refused:
        if STANCE[outage.dependency, self.access] is Stance.OPEN:
            self.skipped = (*self.skipped, outage.dependency)
            return assume
        return Refused(OUTAGE_REASON[outage.dependency], outage.detail)
