"""Whether it was this journal that was published, and not another copy of it.

A restored backup gives numbers again that were published with other changes, and so do two relays
with copies of one journal. Readers take a number once: what comes second under it is lost.
"""

from __future__ import annotations

import asyncio

from redis.exceptions import RedisError

from sidecar.adapters.redis_link import silence
from sidecar.logs import place_of
from sidecar.relay.audit import Found, Ours, SupersededError, changes_after
from sidecar.relay.journal import Journal
from sidecar.relay.journal_disk import JournalError


def why(error: Exception) -> str:
    """Say why nothing is published now, in words for a log."""
    if isinstance(error, RedisError | OSError):
        return silence(error)
    return str(error) if isinstance(error, JournalError) else f"a bug: {place_of(error)}"


class PublishedHere:
    """How far Redis is known to say what the journal says.

    At first that is the journal's end: what it had when it was closed, it had to itself.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._upto = journal.upto

    def note(self, upto: int) -> None:
        """Learn that this process has published so far."""
        self._upto = max(self._upto, upto)

    async def refuse_another(self, found: Found, ours: Ours, upto: int) -> None:
        """Raise ``SupersededError`` where Redis says something else up to ``upto``."""
        told = await asyncio.to_thread(changes_after, self._upto, found, ours)
        after = self._upto
        while after < upto and (stretch := await self._journal.stretch(after, upto)).batch:
            if not told.issuperset(stretch.batch.changes):
                raise SupersededError(
                    f"what was published after change {self._upto} is not what this journal says: "
                    "it is an old copy, or another relay has one. Start once with --new-feed"
                )
            after = stretch.batch.upto
        self.note(upto)
