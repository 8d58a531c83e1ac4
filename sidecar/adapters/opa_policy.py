"""The policy engine in a local OPA, asked over HTTP: ``POST /v1/data/<entry point>``.

Only OPA's absence is ``Unavailable``, and only ``opa_health`` says so. What a caller could bring
about is a refusal: an answer that is no ruling, an error of evaluation, one that takes too long,
one at which OPA hangs up, more questions at once than are allowed.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Final

import msgspec
import structlog
from msgspec import Raw

from sidecar.adapters.opa_answer import UNKNOWN_REVISION, read_answer
from sidecar.adapters.opa_client import (
    Answer,
    CannotConnectError,
    DisconnectedError,
    NobodyListensError,
    OpaAddress,
    OpaClient,
)
from sidecar.adapters.opa_health import OpaHealth, Presence, ProbeTimes
from sidecar.core.model import Dependency, Question, Refused, Ruling, Unavailable
from sidecar.core.reasons import Reason
from sidecar.ports import Clock

__all__ = ["MAX_DOCUMENT", "UNKNOWN_REVISION", "OpaAddress", "OpaPolicy", "ProbeTimes"]

MAX_DOCUMENT: Final = 256 * 1024
"""Bytes of a question; a larger one is refused, as by the embedded engine."""

_LONGEST_S: Final = 2.0
"""No question waits longer than this, whatever its deadline."""
_IN_TIME: Final = 0.95
"""The share of the time until the deadline that a question takes: the rest is to say so."""
_UNDOUBTED: Final = 0.4
"""The share of its time after which a question doubts that OPA is there; it still waits on."""
_ON_RETURN_S: Final = 0.5
_NOT_ALLOWED: Final = frozenset({401, 403})
_ENTRYPOINT: Final = re.compile(r"data(?:\.[A-Za-z_][A-Za-z0-9_]*)+")

_log: Final = structlog.get_logger(__name__)


_read_json: Final = msgspec.json.Decoder(Raw).decode


class OpaPolicy:
    """``ports.Policy`` over a local OPA at ``address``. The constructor does no I/O.

    ``entrypoint`` is the rule that rules, for example ``data.scopegate.ruling``; ``token`` is the
    bearer token that OPA's ``system.authz`` wants, empty for none; at most ``concurrency``
    questions are under way at once. Raises ``ValueError`` for an entry point that is none.
    """

    def __init__(
        self,
        *,
        address: OpaAddress,
        entrypoint: str,
        token: str,
        clock: Clock,
        concurrency: int,
        times: ProbeTimes | None = None,
    ) -> None:
        if not _ENTRYPOINT.fullmatch(entrypoint):
            raise ValueError(f"entry point {entrypoint!r} is not like data.scopegate.ruling")
        path = entrypoint.replace(".", "/")
        self._path = f"{path}?strict-builtin-errors=true&provenance=true"
        self._address = address
        self._clock = clock
        self._concurrency = concurrency
        self._waiting = 0
        self._revision = UNKNOWN_REVISION
        self._kept = OpaClient(address, token=token, keep=True)
        self._fresh = OpaClient(address, token=token, keep=False)
        self._health = OpaHealth(
            self._fresh.knock, on_return=self._introduce, times=times or ProbeTimes()
        )

    async def start(self) -> None:
        """Open the sessions, probe once, and keep probing; OPA need not be there yet."""
        await self._kept.open()
        await self._fresh.open()
        await self._health.start()

    async def close(self) -> None:
        """End the probes and every connection."""
        await self._health.close()
        await self._kept.close()
        await self._fresh.close()

    @property
    def reachable(self) -> bool:
        """Whether OPA is there, by the probes; one that is merely doubted counts as there."""
        return self._health.presence is not Presence.ABSENT

    @property
    def revision(self) -> str:
        """What OPA said last that it has loaded: the revision of its one bundle that has one.

        Of several revisions, or of one that is no plain word, the first 16 hexadecimal digits of
        a SHA-256 over names and revisions. ``UNKNOWN_REVISION`` when there is none.
        """
        return self._revision

    async def rule_on(self, question: Question, *, deadline: float) -> Ruling | Refused:
        """What policy says; see ``ports.Policy``. ``OVERLOADED`` beyond ``concurrency``."""
        document = question.document
        if len(document) > MAX_DOCUMENT:
            return _refused(f"the question is larger than {MAX_DOCUMENT} bytes")
        if not _is_json(document):
            return _refused("the question is no JSON")
        if self._waiting >= self._concurrency:
            return Refused(Reason.OVERLOADED, f"{self._concurrency} questions are under way")
        self._waiting += 1
        try:
            return await self._ask(b'{"input":%b}' % document, deadline)
        finally:
            self._waiting -= 1

    async def _ask(self, body: bytes, deadline: float) -> Ruling | Refused:
        seconds = min(_IN_TIME * (deadline - self._clock.monotonic()), _LONGEST_S)
        silence = Refused(Reason.OVERLOADED, "OPA is silent and not known to be absent")
        try:
            async with asyncio.timeout(seconds) as limit:
                if await self._health.settled() is Presence.ABSENT:
                    raise self._absent()
                silence = _refused("evaluation took too long")
                with self._health.question(limit, doubt_after_s=_UNDOUBTED * seconds):
                    return self._read(await self._exchange(body))
        except TimeoutError:
            if not self.reachable or self._health.silent_to_one:
                raise self._absent() from None
            return silence
        except DisconnectedError:
            return await self._disconnected(deadline)
        except CannotConnectError:
            return Refused(Reason.OVERLOADED, "no connection to OPA could be opened")
        except NobodyListensError:
            self._health.doubt()
            raise self._absent() from None

    async def _exchange(self, body: bytes) -> Answer:
        try:
            return await self._kept.ask(self._path, body)
        except DisconnectedError:  # a kept connection may be one to an OPA that has gone since
            return await self._fresh.ask(self._path, body)

    async def _disconnected(self, deadline: float) -> Refused:
        """Twice: OPA went, or the question brings its handler down. The next probe knows."""
        seconds = min(_IN_TIME * (deadline - self._clock.monotonic()), _LONGEST_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._health.verdict()
        if not self.reachable:
            raise self._absent()
        return _refused("OPA hung up")

    def _read(self, answer: Answer) -> Ruling | Refused:
        said = read_answer(answer)
        self._revision = said.revision or self._revision
        return said.ruling

    async def _introduce(self) -> None:
        """Ask one question about nothing: its answer names the revision, its refusal a mistake."""
        try:
            async with asyncio.timeout(_ON_RETURN_S):
                answer = await self._fresh.ask(self._path, b'{"input":{}}')
        except (TimeoutError, DisconnectedError, CannotConnectError, NobodyListensError):
            return
        self._read(answer)
        if answer.status in _NOT_ALLOWED:
            _log.error("opa_does_not_let_us_ask", status=answer.status, address=str(self._address))

    def _absent(self) -> Unavailable:
        return Unavailable(Dependency.POLICY, f"OPA at {self._address} is not there")


def _refused(detail: str) -> Refused:
    return Refused(Reason.POLICY_ERROR, detail)


def _is_json(document: bytes) -> bool:
    """Whether it is one JSON value: a tampered record could end the member that it stands in."""
    try:
        _read_json(document)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return True
