"""The feed from its genesis on, compacted and signed: what a new reader begins with.

Kept in memory as Redis should hold it, so that a Redis that forgot everything has it back at once:
only what came since is signed then. From time to time it is made anew, without what has ended.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from sidecar.relay.journal import Journal
from sidecar.relay.keys import Signer


@dataclass(frozen=True, slots=True)
class Base:
    """Signed batches without a gap, from the genesis to ``upto``."""

    batches: tuple[bytes, ...] = ()
    upto: int = 0


async def extended(base: Base, upto: int, journal: Journal, signer: Signer) -> Base:
    """``base`` and what the journal has between its end and ``upto``.

    Signing is done in a thread: a thousand changes take milliseconds. Raises ``JournalError``.
    """
    batches, after = list(base.batches), base.upto
    while (stretch := await journal.stretch(after, upto)).batch is not None:
        batches.append(await asyncio.to_thread(signer.batch, stretch.batch))
        after = stretch.batch.upto
    return Base(tuple(batches), after)
