"""What the sidecar remembers: the ledger of single use and the deny list, here or shared."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from sidecar.adapters.deny_snapshot import DenySnapshot
from sidecar.adapters.fed_deny_list import FedDenyList
from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.config.build import Configuration
from sidecar.core.single_use import hash_tag
from sidecar.fronts.admin import fed_socket_app, socket_app
from sidecar.ports import Clock, DenyList, Ledger

_LEDGER_TIMEOUT_S: Final = 1.0
"""Of one step on a connection; a commit's own deadline holds besides."""
_FEED_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class LedgerPart:
    """A ledger, and whether it can be reached now."""

    kind: str
    ledger: Ledger
    reachable: Callable[[], bool]
    skew_s: Callable[[], float | None] = lambda: None
    """How far ahead of ours the store's clock is, in seconds; None where it has none."""


@dataclass(frozen=True, slots=True)
class FeedNumbers:
    """What a fed list can be asked for at a scrape."""

    reachable: Callable[[], bool]
    age_s: Callable[[], float | None]
    lag_s: Callable[[], float | None]
    upto: Callable[[], int]
    counts: Callable[[], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class DenyPart:
    """A deny list, its side of the admin socket, and what is measured of it."""

    source: str
    deny_list: DenyList
    socket: web.Application
    entries: Callable[[], int]
    ready: Callable[[], bool]
    feed: FeedNumbers | None = None


async def ledger_part(
    configuration: Configuration, clock: Clock, stack: contextlib.AsyncExitStack
) -> LedgerPart:
    """The ledger that the settings name. A Redis that is not there yet is an outage, not an error.

    Raises ``OSError`` for certificates that cannot be loaded.
    """
    stores = configuration.settings.stores
    if stores.kind == "redis":
        return await _shared_ledger(configuration, clock, stack)
    memory = MemoryLedger(
        capacity=stores.single_use_capacity,
        per_owner=stores.single_use_per_agent,
        since=clock.now() + _ahead(configuration),
    )
    return LedgerPart("memory", memory, lambda: True)


async def deny_part(
    configuration: Configuration,
    clock: Clock,
    chance: Callable[[], float],
    stack: contextlib.AsyncExitStack,
) -> DenyPart:
    """The deny list that the settings name, with what was kept of it.

    Raises ``OSError`` or ``ValueError`` for a file that cannot be used: forgetting a revocation is
    worse than not starting.
    """
    settings = configuration.settings.deny_list
    Path(settings.file).parent.mkdir(mode=0o700, exist_ok=True)
    if settings.source == "redis":
        return await _fed_deny_list(configuration, clock, chance, stack)
    memory = MemoryDenyList(capacity=settings.capacity, file=Path(settings.file))
    stack.callback(memory.close)
    socket = socket_app(memory, clock, configuration.issuers)
    return DenyPart("memory", memory, socket, lambda: len(memory), lambda: True)


async def _shared_ledger(
    configuration: Configuration, clock: Clock, stack: contextlib.AsyncExitStack
) -> LedgerPart:
    from sidecar.adapters.redis_ledger import RedisLedger  # noqa: PLC0415 - an extra
    from sidecar.adapters.redis_script import TOLERANCE_S  # noqa: PLC0415 - as above

    issuers = configuration.issuers.values()
    ledger = RedisLedger(
        redis=_redis(configuration, _LEDGER_TIMEOUT_S, stack),
        per_owner=configuration.settings.stores.single_use_per_agent,
        tags=[hash_tag(one.issuer, tenant) for one in issuers for tenant in sorted(one.tenants)],
        clock=clock,
        ahead=_ahead(configuration) + 2 * TOLERANCE_S,  # sidecars' clocks differ, too
        waiting=configuration.settings.limits.concurrency,
    )
    stack.push_async_callback(ledger.close)
    await ledger.start()
    return LedgerPart("redis", ledger, lambda: ledger.reachable, lambda: ledger.skew_s)


async def _fed_deny_list(
    configuration: Configuration,
    clock: Clock,
    chance: Callable[[], float],
    stack: contextlib.AsyncExitStack,
) -> DenyPart:
    from sidecar.adapters.redis_deny_feed import RedisDenyFeed  # noqa: PLC0415 - an extra

    settings = configuration.settings.deny_list
    fed = FedDenyList(
        keys=configuration.files.feed_keys,
        capacity=settings.capacity,
        stale_after=settings.stale_after,
        clock=clock,
        snapshot=DenySnapshot(Path(settings.file)),
    )
    stack.push_async_callback(fed.close)
    await fed.start()
    feed = RedisDenyFeed(
        _redis(configuration, _FEED_TIMEOUT_S, stack), settings.feed, fed, clock, random=chance
    )
    stack.push_async_callback(feed.close)
    feed.start()
    numbers = FeedNumbers(
        reachable=lambda: feed.reachable,
        age_s=lambda: fed.age(clock.now()),
        lag_s=lambda: fed.lag,
        upto=lambda: fed.upto,
        counts=fed.tally.by_word,
    )
    return DenyPart(
        "redis",
        fed,
        fed_socket_app(fed, clock, settings.feed),
        lambda: len(fed),
        lambda: fed.ready,
        numbers,
    )


def _ahead(configuration: Configuration) -> float:
    """Seconds by which an issuer's clock may be ahead: its token may be older than it says."""
    return max(one.leeway for one in configuration.issuers.values())


def _redis(configuration: Configuration, timeout: float, stack: contextlib.AsyncExitStack) -> Any:
    """A client of its own for each use: a reader that waits must not hold up a commit."""
    from sidecar.adapters.redis_link import connect, hang_up  # noqa: PLC0415 - an extra
    from sidecar.config.redis_target import redis_target  # noqa: PLC0415 - as above

    settings = configuration.settings.redis
    if settings is None:
        raise ValueError("there is no section redis")  # refused by config.checks
    target = redis_target(settings, configuration.files.redis, configuration.folder)
    redis = connect(target, timeout=timeout)
    stack.push_async_callback(hang_up, redis)
    return redis
