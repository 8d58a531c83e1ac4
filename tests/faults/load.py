"""Calls at a steady rate, whatever becomes of those before them, and what became of each.

Open loop: a call goes out when the clock says so. Its latency counts from the moment at which it
was due, so that a generator that lags cannot make the gate look quick.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from examples.demo.issuer import Issuer
from tests.faults.client import Client, reason_of, request
from tests.faults.expected import ENVOYS_OWN, PASSED, UNASKED, passed_without
from tests.faults.kinds import GUARD, KINDS, REVOKED_AGENT, STRICT, Kind, Token
from tests.faults.tool import CALL_ID, Tool

RATE: Final = 200
"""Calls a second."""
_LONG_S: Final = 890
_SHORT_S: Final = 15
_AGENTS: Final = 20


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one call; times in seconds of ``time.monotonic``."""

    call_id: int
    kind: Kind
    due: float
    sent: float
    answered: float
    status: int
    reason: str


class Tokens:
    """The tokens of all kinds: minted beforehand, but for those that serve one call."""

    def __init__(self, issuer: Issuer, kinds: Sequence[Kind]) -> None:
        self._issuer = issuer
        self._numbers = itertools.count()
        self._kept = {kind.name: itertools.cycle(list(self._many(kind))) for kind in kinds}

    def of(self, kind: Kind) -> str:
        """A token for the next call of this kind."""
        if kind.token in {Token.NEW, Token.SINGLE}:
            return self._single(kind)
        return next(self._kept[kind.name])

    def new(self, kind: Kind) -> str:
        """Mint another one for this kind; ``of`` does not give it yet."""
        return next(self._many(kind))

    def keep(self, kind: Kind, token: str) -> None:
        """Give this one from now on."""
        self._kept[kind.name] = itertools.cycle([token])

    def _single(self, kind: Kind) -> str:
        agent = f"agent-{next(self._numbers) % _AGENTS + 100}"
        marked = {"single_use": True} if kind.token is Token.SINGLE else {}
        return self._issuer.mint(kind.scope, lifetime=_SHORT_S, agent_id=agent, sub=agent, **marked)

    def _many(self, kind: Kind) -> Iterator[str]:
        # One used token is replayed for as long as it is valid, by one agent.
        for number in range(1 if kind.token is Token.USED else _AGENTS):
            agent = REVOKED_AGENT if kind.token is Token.REVOKED else f"agent-{number + 100}"
            yield self._issuer.mint(
                kind.scope, lifetime=_LONG_S, forged=kind.token is Token.FORGED,
                agent_id=agent, sub=agent,
            )  # fmt: skip


@dataclass(slots=True)
class Load:
    """Sends until ``stop``; ``results`` grow as answers come in, ``pending`` are the others."""

    client: Client
    tool: Tool
    tokens: Tokens
    results: list[Result] = field(default_factory=list)
    pending: dict[int, float] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send no more. What is pending is still answered."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check(self) -> None:
        """Raise what ended the sending, if anything did."""
        if self._task is not None and self._task.done():
            self._task.result()

    def send(self, kind: Kind, *, due: float | None = None, token: str = "") -> int:
        """Send one call of this kind now, by default with a token of its kind; returns its id."""
        call_id, sent = next(self._numbers), time.monotonic()
        made = request_of(kind, call_id, token or self.tokens.of(kind))
        self.pending[call_id] = sent
        at = sent if due is None else due

        def answered(status: int, body: bytes) -> None:
            del self.pending[call_id]
            now = time.monotonic()
            self.results.append(
                Result(call_id, kind, at, sent, now, status, reason_of(body) if body else "")
            )

        self.client.send(made, answered)
        return call_id

    def outcome(self, result: Result) -> str:
        """One word or a few: how it passed, or why it did not."""
        arrival = self.tool.arrivals.get(result.call_id)
        if arrival is not None and result.status == 200:
            if arrival.times > 1:
                return f"{PASSED} {arrival.times} times"
            if arrival.unasked:
                return UNASKED
            return passed_without(arrival.skipped) if arrival.named else f"{PASSED} unnamed"
        if arrival is not None:
            return f"{result.status} although it had reached the tool"
        if result.reason:
            return result.reason
        return {401: GUARD, 403: STRICT, 503: ENVOYS_OWN, 0: "no answer"}.get(
            result.status, f"{result.status}"
        )

    async def _run(self) -> None:
        began = time.monotonic()
        for number, kind in enumerate(_mixed()):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self.send(kind, due=due)


def _mixed() -> Iterator[Kind]:
    """Every kind by its share, mixed, the same each time."""
    deck = [kind for kind in KINDS for _ in range(kind.share)]
    random.Random(1).shuffle(deck)
    return itertools.cycle(deck)


def request_of(kind: Kind, call_id: int, token: str) -> tuple[bytes, bytes]:
    """The whole request."""
    headers = [(CALL_ID.decode(), str(call_id)), ("authorization", f"Bearer {token}")]
    if kind.method != "GET":
        headers.append(("content-length", str(len(kind.body))))
    if kind.body:
        headers.append(("content-type", "application/json"))
    return request(kind.method, kind.target, headers, kind.body)
