"""The relay, put together: journal, publisher and socket, made and closed in one place."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
from collections.abc import AsyncGenerator
from enum import Enum
from pathlib import Path
from typing import Final

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry

from sidecar.adapters.redis_link import connect, hang_up
from sidecar.clock import SystemClock
from sidecar.config.redis_target import redis_target
from sidecar.core.feed import FeedId
from sidecar.fronts.unix_socket import private
from sidecar.ports import Clock
from sidecar.relay.desk import Desk, RelayMetrics, socket_app
from sidecar.relay.journal import Journal
from sidecar.relay.journal_disk import begin
from sidecar.relay.publisher import Publisher
from sidecar.relay.redis_feed import RedisFeed
from sidecar.relay.settings import RelayConfiguration

REDIS_TIMEOUT_S: Final = 2.0
_DRAIN_S: Final = 5.0


class Start(Enum):
    """What a start does with the journal."""

    GO_ON = "go on"
    INIT = "init"
    """Make it; an error when it is there."""
    NEW_FEED = "new feed"
    """Keep what holds, and begin a new feed, which replaces the old one with all readers."""


@contextlib.asynccontextmanager
async def relaying(
    configuration: RelayConfiguration, start: Start, clock: Clock
) -> AsyncGenerator[Publisher]:
    """Run a relay for as long as the context lasts.

    Raises ``JournalError`` and ``SupersededError`` for a journal that must not be used, ``OSError``
    for a socket that is taken. A Redis that is silent holds nothing up.
    """
    settings = configuration.settings
    async with contextlib.AsyncExitStack() as stack:
        journal = await _journal(configuration, start, clock, stack)
        target = redis_target(settings.redis, configuration.passwords, configuration.folder)
        redis = connect(target, timeout=REDIS_TIMEOUT_S)
        stack.push_async_callback(hang_up, redis)
        feed = RedisFeed(redis, settings.feed)
        publisher = Publisher(feed, journal, configuration.signer, configuration.keys, clock)
        stack.push_async_callback(publisher.close)
        await publisher.start()
        registry = CollectorRegistry()
        registry.register(RelayMetrics(journal, publisher))
        desk = Desk(journal, publisher, clock, configuration.tenants)
        runner = web.AppRunner(
            socket_app(desk, registry), access_log=None, shutdown_timeout=_DRAIN_S
        )
        stack.push_async_callback(runner.cleanup)
        await _listen(runner, Path(settings.socket))
        yield publisher


async def run(configuration: RelayConfiguration, start: Start) -> None:
    """Relay until SIGTERM or SIGINT; requests under way are answered."""
    log = structlog.get_logger(__name__)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with relaying(configuration, start, SystemClock()) as publisher:
        log.info("relaying", kid=configuration.signer.kid, published=publisher.upto)
        await stop.wait()
        log.info("draining")
    log.info("stopped")


async def _journal(
    configuration: RelayConfiguration,
    start: Start,
    clock: Clock,
    stack: contextlib.AsyncExitStack,
) -> Journal:
    path = Path(configuration.settings.journal)
    if start is Start.INIT:
        begin(path, FeedId(secrets.token_hex(16), int(clock.now() * 1000)))
    journal = Journal(path, capacity=configuration.settings.capacity)
    await journal.open()
    stack.push_async_callback(journal.close)
    if start is Start.NEW_FEED:
        await journal.begin_again(secrets.token_hex(16), now=clock.now())
    return journal


async def _listen(runner: web.AppRunner, socket: Path) -> None:
    await runner.setup()
    with private(socket):
        try:
            await web.UnixSite(runner, str(socket)).start()
        except OSError as failed:
            raise OSError(f"cannot listen on {socket}: {failed.strerror}") from failed
