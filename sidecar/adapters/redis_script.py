"""Many visits to Redis in one round trip, each of them one atomic script, for claims or for a pin.

``EVALSHA``; where Redis has lost a script (a restart, ``SCRIPT FLUSH``, a failover) it is loaded
and those visits are sent again: ``NOSCRIPT`` says that nothing was done. Nothing else is repeated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from sidecar.core.model import Claim, Pin

TOLERANCE_S: Final = 2.0
"""How far a clock may be from the epoch's before it is another clock."""
_PATIENCE_S: Final = 5.0
"""When nobody has agreed with an epoch for so long by Redis' own clock, nobody will."""

_FACTS: Final = ("server", "memory", "replication")


@dataclass(frozen=True, slots=True)
class Script:
    """A script, and the name that ``EVALSHA`` wants: the SHA-1 of its text."""

    text: bytes = field(repr=False)
    name: str


def _script(file: str) -> Script:
    text = files("sidecar.adapters").joinpath(file).read_bytes()
    return Script(text, sha1(text, usedforsecurity=False).hexdigest())


_LEDGER: Final = _script("redis_ledger.lua")
_PINS: Final = _script("redis_pins.lua")


@dataclass(frozen=True, slots=True)
class Visit:
    """What a script is given: one hash tag, and the claims to make there or none, or one pin."""

    script: Script
    keys: tuple[str, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What a script says."""

    word: str
    """``ok``, or why nothing was claimed or held."""
    began: str
    """Why a new epoch began with this visit: ``none`` was there, ``node``, ``clock``; or empty."""


Answer: TypeAlias = Found | ResponseError


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all visits of one ledger."""

    per_owner: int
    """Live claims of one owner, where a claim has no quota of its own."""
    ahead: float
    """Seconds that an ``iat`` may lie ahead of a sidecar's clock when its token is used."""

    def visit(
        self, tag: str, claims: Sequence[Claim], now: float, *, insist: bool = False
    ) -> Visit:
        """Ask for these claims, all of the hash tag ``{tag}``, at ``now``.

        ``insist`` after the answer ``jumped``: a new epoch begins with the clock as it is now.
        Raises ``ValueError`` for a key of another tag: a cluster would refuse the script.
        """
        keys = [f"{tag}:epoch"]
        arguments = [repr(now), str(TOLERANCE_S), str(_PATIENCE_S), repr(self.ahead)]
        arguments += ["1" if insist else "0"]
        for claim in claims:
            if tag_of(claim.key) != tag or tag_of(claim.owner) != tag:
                raise ValueError("the claims of one commit have one hash tag")
            keys += [claim.key, claim.owner]
            issued_at = "" if claim.issued_at is None else repr(claim.issued_at)
            quota = self.per_owner if claim.quota is None else claim.quota
            arguments += [repr(claim.until), issued_at, str(quota)]
        return Visit(_LEDGER, tuple(keys), tuple(arguments))


def hold(pin: Pin, now: float, *, new: bool) -> Visit:
    """Ask for this pin at ``now``, in seconds since the epoch; not ``new``: only if it is held.

    Redis' clock need not be ours: it is told for how long. As claims do, a pin outlives its end by
    the tolerance, so that no sidecar whose clock is accepted finds it gone before.
    """
    lasts = math.ceil((pin.until - now + TOLERANCE_S) * 1000)
    return Visit(_PINS, (pin.key,), (pin.holder, str(lasts), "1" if new else "0"))


def tag_of(key: str) -> str:
    """The hash tag of a key, with its braces; every key of ours starts with one."""
    tag, closing, _ = key.partition("}")
    if not (tag.startswith("{") and len(tag) > 1 and closing):
        raise ValueError("a key of the ledger starts with a hash tag")
    return tag + closing


async def visit_all(redis: Redis, visits: Sequence[Visit]) -> list[Answer]:
    """Answer every visit, in one round trip.

    Raises what redis-py raises when the connection fails: then nobody knows what was done.
    """
    answers = await _ask(redis, visits)
    again = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if again:
        for script in {visits[at].script for at in again}:
            await redis.script_load(script.text)
        for at, answer in zip(again, await _ask(redis, [visits[at] for at in again]), strict=True):
            answers[at] = answer
    return answers


async def facts_of(redis: Redis) -> Mapping[str, Any]:
    """What Redis says of itself and its settings: ``INFO server memory replication``."""
    facts: Mapping[str, Any] = await redis.info(*_FACTS)
    return facts


async def _ask(redis: Redis, visits: Sequence[Visit]) -> list[Answer]:
    pipeline = redis.pipeline(transaction=False)
    for visit in visits:
        name, keys = visit.script.name, visit.keys
        pipeline.execute_command("EVALSHA", name, len(keys), *keys, *visit.arguments)
    answers = await pipeline.execute(raise_on_error=False)
    return [_read(answer) for answer in answers]


def _read(answer: Any) -> Answer:
    if isinstance(answer, ResponseError):
        return answer
    word, began = answer
    return Found(word.decode(), began.decode())
