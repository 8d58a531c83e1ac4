"""Many visits to Redis in one round trip, each of them one atomic script.

``EVALSHA``; where Redis has lost the script (a restart, ``SCRIPT FLUSH``, a failover) it is loaded
and those visits are sent again: ``NOSCRIPT`` says that nothing was done. Nothing else is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha1
from importlib.resources import files
from typing import Any, Final, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from sidecar.core.model import Claim

_TEXT: Final = files("sidecar.adapters").joinpath("redis_ledger.lua").read_bytes()
_NAME: Final = sha1(_TEXT, usedforsecurity=False).hexdigest()  # the name that EVALSHA wants

TOLERANCE_S: Final = 2.0
"""How far a clock may be from the epoch's before it is another clock."""
_PATIENCE_S: Final = 5.0
"""When nobody has agreed with an epoch for so long by Redis' own clock, nobody will."""

_FACTS: Final = ("server", "memory", "replication")


@dataclass(frozen=True, slots=True)
class Visit:
    """What the script is given: one hash tag, and the claims to make there, or none."""

    keys: tuple[str, ...]
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """What the script says."""

    word: str
    """``ok``, or why nothing was claimed."""
    began: str
    """Why a new epoch began with this visit: ``none`` was there, ``node``, ``clock``; or empty."""


Answer: TypeAlias = Found | ResponseError


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all visits of one ledger."""

    per_owner: int
    """Live claims of one owner."""
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
        arguments = [repr(now), str(self.per_owner), str(TOLERANCE_S), str(_PATIENCE_S)]
        arguments += [repr(self.ahead), "1" if insist else "0"]
        for claim in claims:
            if tag_of(claim.key) != tag or tag_of(claim.owner) != tag:
                raise ValueError("the claims of one commit have one hash tag")
            keys += [claim.key, claim.owner]
            issued_at = "" if claim.issued_at is None else repr(claim.issued_at)
            arguments += [repr(claim.until), issued_at]
        return Visit(tuple(keys), tuple(arguments))


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
        await redis.script_load(_TEXT)
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
        pipeline.execute_command("EVALSHA", _NAME, len(visit.keys), *visit.keys, *visit.arguments)
    answers = await pipeline.execute(raise_on_error=False)
    return [_read(answer) for answer in answers]


def _read(answer: Any) -> Answer:
    if isinstance(answer, ResponseError):
        return answer
    word, began = answer
    return Found(word.decode(), began.decode())
