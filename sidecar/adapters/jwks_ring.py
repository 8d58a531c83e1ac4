"""One issuer's keys over time: refreshed ahead of need, held through failures, never too old.

Nothing but a good document replaces a ring. There is one fetch in flight at most, in a task of
its own: the schedule and every caller share it, and a caller who leaves does not end it. Callers
can bring about one fetch per cool-down, however it ends and whatever they send.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from sidecar.adapters.jwks_fetch import FetchFailed
from sidecar.adapters.jwks_locate import KeyFetcher
from sidecar.adapters.jwks_skew import ClockWatch
from sidecar.adapters.jwks_source import KeyLimits, KeySource
from sidecar.core.keyring import BadKeySet, KeyRing, parse_jwks
from sidecar.core.model import Dependency, Key, Unavailable
from sidecar.ports import Clock

_MIN_REFRESH_S: Final = 1.0
_FIRST_RETRY_S: Final = 1.0
_MAX_DOUBLINGS: Final = 16


@dataclass(frozen=True, slots=True)
class KeySetStatus:
    """What metrics say of one issuer's keys; the counters only grow."""

    age_s: float | None
    """Seconds since the issuer last confirmed the keys in use; None when there never were any."""
    keys: int
    """Usable keys; 0 when they are over the age limit."""
    skipped: int
    """Published keys that are not meant for us."""
    fetches: int
    not_modified: int
    failures: int
    skew_s: float | None = None
    """Seconds that our clock is surely ahead of the issuer's, by its last answer that told."""


class IssuerRing:
    """The current ring of one issuer, and what keeps it current."""

    def __init__(
        self,
        source: KeySource,
        limits: KeyLimits,
        clock: Clock,
        fetcher: KeyFetcher,
        random: Callable[[], float],
    ) -> None:
        self._source = source
        self._limits = limits
        self._clock = clock
        self._fetcher = fetcher
        self._random = random
        self._log = structlog.get_logger().bind(issuer=source.name)
        self._ring: KeyRing | None = None
        self._version: str | None = None
        self._confirmed_at = self._loaded_at = 0.0
        self._watch = ClockWatch(limits.max_skew_s)
        self._fresh_s: float | None = None
        self._flight: asyncio.Task[None] | None = None
        self._cool_at = -math.inf
        self._failed_in_a_row = 0
        self._fetches = self._not_modified = self._failures = 0

    def find(self, kid: str | None) -> Key | None:
        """Look into the ring. Raises ``Unavailable(KEYS)`` when there is no usable one.

        Raises ``Unavailable(CLOCK)`` while the issuer's clock and ours differ: whether a token of
        its has ended is not to be known then, whatever key it is signed with.
        """
        if self._watch.skewed:
            raise Unavailable(Dependency.CLOCK, f"the clock of {self._source.name} is not ours")
        ring = self._usable()
        if ring is None:
            raise Unavailable(Dependency.KEYS, f"no usable keys of {self._source.name}")
        return ring.find(kid)

    async def ask_again(self, *, deadline: float) -> None:
        """Wait for the fetch in flight, or for the one that callers may start now, if any."""
        now = self._clock.monotonic()
        if now < self._cool_at and not self.in_flight():
            return
        flight = self.fly(then_cool=True)
        patience = min(deadline - now, self._limits.wait_s)
        # Unlike ``wait_for``, this leaves the flight alone when time is up or the caller leaves.
        await asyncio.wait({flight}, timeout=patience)

    async def keep_fresh(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Refresh on schedule, until cancelled."""
        while True:
            await sleep(self._next_in())
            await asyncio.wait({self.fly()})

    def fly(self, *, then_cool: bool = False) -> asyncio.Task[None]:
        """Return the fetch in flight, started now if there is none. It never raises.

        With ``then_cool`` the one that is started now ends in a cool-down.
        """
        if self._flight is None or self._flight.done():
            # Its log lines belong to no caller: it starts in a context of its own.
            self._flight = asyncio.create_task(
                self._refresh(then_cool=then_cool), context=contextvars.Context()
            )
        return self._flight

    def in_flight(self) -> bool:
        """Whether a fetch is under way."""
        return self._flight is not None and not self._flight.done()

    @property
    def ready(self) -> bool:
        """Whether ``find`` has an answer."""
        return self._usable() is not None and not self._watch.skewed

    @property
    def in_doubt(self) -> bool:
        """Whether the next fetch is wanted soon, to confirm what the last said of the clocks."""
        return self._watch.in_doubt

    @property
    def document(self) -> bytes | None:
        """The usable JWK Set as it was published, or None."""
        ring = self._usable()
        return None if ring is None else ring.document

    @property
    def status(self) -> KeySetStatus:
        """What there is to measure."""
        usable = self._usable()
        return KeySetStatus(
            age_s=None if self._ring is None else self._age(),
            keys=0 if usable is None else usable.size,
            skipped=0 if usable is None else len(usable.skipped),
            fetches=self._fetches,
            not_modified=self._not_modified,
            failures=self._failures,
            skew_s=self._watch.skew_s,
        )

    def _usable(self) -> KeyRing | None:
        return self._ring if self._age() <= self._limits.max_age_s else None

    def _age(self) -> float:
        return self._clock.monotonic() - self._confirmed_at

    def _next_in(self) -> float:
        """Seconds until the next fetch; spread, so that many sidecars do not ask at once."""
        sooner = min(self._limits.refresh_s, self._limits.cooldown_s)
        if self._failed_in_a_row or self._watch.in_doubt:
            doublings = min(max(self._failed_in_a_row - 1, 0), _MAX_DOUBLINGS)
            return min(sooner, _FIRST_RETRY_S * 2.0**doublings) * (1 + self._random()) / 2
        period = sooner if self._watch.skewed else self._limits.refresh_s
        if self._fresh_s is not None:
            period = min(period, self._fresh_s)
        return max(_MIN_REFRESH_S, period * (9 + self._random()) / 10)

    async def _refresh(self, *, then_cool: bool) -> None:
        asked_at = self._clock.monotonic()
        self._fetches += 1
        try:
            # Callers ask because a kid is missing: a cache that has not heard of it is no answer.
            past_caches = then_cool or self._watch.in_doubt
            fetched = await self._fetcher.fetch(self._to_confirm(), past_caches=past_caches)
            self._note_skew(fetched.skew_s)
            if fetched.document is None:
                self._not_modified += 1
            else:
                self._replace_ring(fetched.document)
                self._loaded_at = asked_at
        except (FetchFailed, BadKeySet) as error:
            self._note_failure(str(error))
        except Exception as bug:  # noqa: BLE001 - a bug here must not end the refreshing
            self._note_failure(type(bug).__name__)
        else:
            self._failed_in_a_row = 0
            self._version, self._fresh_s = fetched.version, fetched.fresh_s
            # What the answer says was true when we asked; it may have been long on its way.
            self._confirmed_at = asked_at
        finally:
            if then_cool:
                self._cool_at = self._clock.monotonic() + self._limits.cooldown_s

    def _to_confirm(self) -> str | None:
        """Which version a 304 may confirm; None: the document itself is wanted.

        That is so after a failure, and once in ``max_age_s``: a server or cache that always says
        304 must not keep a withdrawn key alive.
        """
        loaded_s = self._clock.monotonic() - self._loaded_at
        wanted = self._failed_in_a_row or loaded_s >= self._limits.max_age_s
        return None if wanted else self._version

    def _note_skew(self, skew_s: float | None) -> None:
        if not self._watch.note(skew_s):
            return
        if self._watch.skewed:
            self._log.error("clocks_differ", skew_s=skew_s)
        else:
            self._log.info("clocks_agree", skew_s=skew_s)

    def _replace_ring(self, document: bytes) -> None:
        before = self._ring
        source = self._source
        self._ring = ring = parse_jwks(
            document, source.issuer, source.algorithms, before, uses=source.uses
        )
        if before is None or (before.keys, before.skipped) != (ring.keys, ring.skipped):
            skipped = [f"{one.kid!r}: {one.reason}" for one in ring.skipped]
            self._log.info("keys_changed", kids=list(ring.keys), skipped=skipped)

    def _note_failure(self, why: str) -> None:
        self._fetcher.doubt()
        self._failures += 1
        self._failed_in_a_row += 1
        self._log.warning("keys_not_fetched", why=why, in_a_row=self._failed_in_a_row)
