"""The feed's three keys in Redis: the stream, the base, the heartbeat.

Every write that changes more than one of them is a transaction (``MULTI``), so that a reader never
sees a stream whose beginning no base covers. A record's id is ``<upto>-0``: Redis itself refuses to
take one twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import ResponseError

from sidecar.relay.audit import Found

BEAT_LASTS_MS: Final = 10_000
KEPT: Final = 100
"""Changes that stay when the base takes over: who is a little behind need not read the base."""
_MOST_RECORDS: Final = 10_000
_MOST_BASE: Final = 10_000
_PAGE: Final = 200
_BATCHES: Final = 20
"""At once, because each may hold a thousand changes."""
_LAST_ID: Final = "18446744073709551615-18446744073709551615"
"""Nothing can follow it; Redis refuses to be asked what does."""
_FIELD: Final = b"b"


@dataclass(frozen=True, slots=True)
class Glance:
    """As little of what Redis holds as shows that it is what we left."""

    records: int
    last: bytes
    base: int


class RedisFeed:
    """Redis' errors go through to the caller: ``RedisError`` or ``OSError``."""

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._stream = name
        self._base = f"{name}:base"
        self._beat = f"{name}:beat"

    async def look(self) -> Found:
        """Read all of it."""
        beat = b""
        try:
            beat = _bytes(await self._redis.get(self._beat))
            records = await self._redis.xlen(self._stream)
            batches = await self._redis.llen(self._base)
            if records > _MOST_RECORDS or batches > _MOST_BASE:
                return Found(beat=beat, readable=False)
            last_id = await self._last_id() if records or await self._has_stream() else ""
            return Found(await self._records(), last_id, await self._batches(), beat)
        except ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            return Found(beat=beat, readable=False)

    async def glance(self, beat: bytes) -> Glance:
        """Set the heartbeat, and look whether all is still there, in one round trip."""
        async with self._redis.pipeline(transaction=False) as pipe:
            self._set_beat(pipe, beat)
            pipe.xlen(self._stream)
            pipe.xrevrange(self._stream, count=1)
            pipe.llen(self._base)
            _, records, last, batches = await pipe.execute()
        return Glance(records, _content(last[0][1]) if last else b"", batches)

    async def append(self, upto: int, record: bytes, beat: bytes) -> bytes:
        """Add one record; the one that it follows. ``beat`` may be empty."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xrevrange(self._stream, count=1)
            pipe.xadd(self._stream, {_FIELD: record}, id=f"{upto}-0")
            if beat:
                self._set_beat(pipe, beat)
            before, *_ = await pipe.execute()
        return _content(before[0][1]) if before else b""

    async def rewrite(self, base: Sequence[bytes], beat: bytes) -> None:
        """Replace everything by a base."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._stream, self._base)
            pipe.rpush(self._base, *base)
            self._set_beat(pipe, beat)
            await pipe.execute()

    async def fold(self, base: Sequence[bytes], upto: int) -> int:
        """Replace the base by one that goes to ``upto``; the records that the stream keeps.

        Those of the last ``KEPT`` changes before ``upto`` stay, and all after it.
        """
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(self._base)
            pipe.rpush(self._base, *base)
            pipe.xtrim(self._stream, minid=f"{max(0, upto - KEPT)}-0", approximate=False)
            pipe.xlen(self._stream)
            answers = await pipe.execute()
        records: int = answers[-1]
        return records

    async def base_is(self, base: Sequence[bytes]) -> bool:
        """Whether Redis holds exactly this base."""
        for first in range(0, len(base) + 1, _BATCHES):
            last = first + _BATCHES - 1
            if await self._redis.lrange(self._base, first, last) != [*base[first : last + 1]]:
                return False
        return True

    def _set_beat(self, pipe: Pipeline, beat: bytes) -> None:
        pipe.set(self._beat, beat, px=BEAT_LASTS_MS)

    async def _has_stream(self) -> bool:
        return bool(await self._redis.exists(self._stream))

    async def _last_id(self) -> str:
        told = await self._redis.xinfo_stream(self._stream)
        return _text(told["last-generated-id"])

    async def _records(self) -> tuple[tuple[str, bytes], ...]:
        found: list[tuple[str, bytes]] = []
        first = "-"
        while len(found) <= _MOST_RECORDS:
            page = await self._redis.xrange(self._stream, min=first, count=_PAGE) or []
            found += [(_text(record_id), _content(fields)) for record_id, fields in page]
            if len(page) < _PAGE or found[-1][0] == _LAST_ID:
                break
            first = f"({found[-1][0]}"
        return tuple(found)

    async def _batches(self) -> tuple[bytes, ...]:
        found: list[bytes] = []
        while page := await self._redis.lrange(self._base, len(found), len(found) + _BATCHES - 1):
            found += map(_bytes, page)
            if len(found) > _MOST_BASE:
                break
        return tuple(found)


def _content(fields: object) -> bytes:
    """The one field of a record of ours; empty for any other shape."""
    if isinstance(fields, dict) and fields.keys() == {_FIELD}:
        return _bytes(fields[_FIELD])
    return b""


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
