"""The composition root: configuration in, a wired sidecar out. Nothing else constructs adapters.

Each part is made, started and closed in one place; closing runs in reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from sidecar.adapters.decision_log import DecisionLog
from sidecar.adapters.jwks import IssuerKeys, KeyLimits, KeySetStatus, KeySource
from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.adapters.memory_ledger import MemoryLedger
from sidecar.adapters.metrics import Metrics
from sidecar.adapters.regorus_policy import EmbeddedPolicy
from sidecar.adapters.verified_tokens import VerifiedTokens
from sidecar.clock import SystemClock
from sidecar.config.address import UnixSocket
from sidecar.config.build import Configuration
from sidecar.config.settings import IssuerSettings, Settings
from sidecar.core.lanes import markers_of
from sidecar.fronts.admin import AdminFront, port_app, socket_app
from sidecar.fronts.grpc_aio import GrpcFront
from sidecar.generation import Generation, Live
from sidecar.observe import Observer
from sidecar.pipeline import Pipeline
from sidecar.ports import Clock
from sidecar.readiness import Readiness

_READINESS_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar that is serving."""

    pipeline: Pipeline
    readiness: Readiness
    admin_port: int


@contextlib.asynccontextmanager
async def serving(configuration: Configuration) -> AsyncGenerator[Sidecar]:
    """Run a sidecar for as long as the context lasts; leaving it drains, then closes.

    Raises ``PolicyLoadError`` for policies that do not load and ``OSError`` for an address that is
    taken. Issuers that do not answer keep it unready, not unborn.
    """
    settings, clock, metrics = configuration.settings, SystemClock(), Metrics()
    async with contextlib.AsyncExitStack() as stack:
        generation = _generation(configuration)
        keys = await _keys(configuration, clock, stack)
        deny_list = MemoryDenyList(capacity=settings.stores.deny_capacity)
        pipeline = Pipeline(
            live=Live(generation),
            keys=keys,
            tokens=VerifiedTokens(settings.stores.verified_tokens),
            deny_list=deny_list,
            ledger=_ledger(settings, clock),
            clock=clock,
            new_id=lambda: uuid4().hex,
            observers=(metrics, *_records(settings, metrics, stack)),
        )
        readiness = Readiness(keys.ready)
        _measure(metrics, keys, deny_list, readiness, generation)
        # The front first: who asks /readyz must not hear "ready" of a gate that does not listen.
        await _front(pipeline, settings, readiness, stack)
        admin = AdminFront(
            port_app(metrics.registry, readiness, keys),
            socket_app(deny_list, clock, configuration.issuers),
        )
        stack.push_async_callback(admin.stop)
        admin_port = await admin.start(
            host=settings.admin.http.host,
            port=settings.admin.http.port,
            socket=Path(settings.admin.socket),
        )
        yield Sidecar(pipeline, readiness, admin_port)


async def _keys(
    configuration: Configuration, clock: Clock, stack: contextlib.AsyncExitStack
) -> IssuerKeys:
    settings = configuration.settings
    sources = [_source(issuer, configuration.folder) for issuer in settings.issuers]
    keys = IssuerKeys(sources, _key_limits(settings), clock, random=random.random)
    stack.push_async_callback(keys.close)
    await keys.start()
    return keys


def _records(
    settings: Settings, metrics: Metrics, stack: contextlib.AsyncExitStack
) -> tuple[Observer, ...]:
    if not settings.log.decisions:
        return ()
    log = DecisionLog(_write_line)
    stack.callback(log.close)
    metrics.counter(
        "scopegate_decision_records_dropped",
        "Records that the log's reader was too slow for.",
        "log",
        lambda: {"decisions": log.dropped},
    )
    return (log,)


def _generation(configuration: Configuration) -> Generation:
    policy = configuration.settings.policy
    return Generation(
        catalogue=configuration.catalogue,
        issuers=configuration.issuers,
        policy=EmbeddedPolicy.load(configuration.policy_paths, policy.entrypoint),
        markers=markers_of(configuration.catalogue),
        outgoing=configuration.outgoing,
    )


def _source(issuer: IssuerSettings, folder: Path) -> KeySource:
    file = issuer.jwks.file
    return KeySource(
        issuer=issuer.issuer,
        name=issuer.name,
        algorithms=issuer.algorithms,
        url=issuer.jwks.url,
        file=None if file is None else folder / file,
    )


def _key_limits(settings: Settings) -> KeyLimits:
    keys = settings.keys
    return KeyLimits(
        refresh_s=keys.refresh,
        max_age_s=keys.max_age,
        timeout_s=keys.timeout,
        cooldown_s=keys.cooldown,
        wait_s=keys.wait,
        max_bytes=keys.max_bytes,
    )


def _ledger(settings: Settings, clock: Clock) -> MemoryLedger:
    stores = settings.stores
    return MemoryLedger(
        capacity=stores.single_use_capacity,
        per_owner=stores.single_use_per_agent,
        since=clock.now(),
    )


async def _front(
    pipeline: Pipeline,
    settings: Settings,
    readiness: Readiness,
    stack: contextlib.AsyncExitStack,
) -> None:
    """Serve; when the stack unwinds: never ready again, then drain."""
    limits, listen = settings.limits, settings.listen
    front = GrpcFront(
        pipeline,
        listen=f"unix:{listen.path}" if isinstance(listen, UnixSocket) else str(listen),
        time_limit=limits.decision_timeout,
        message_bytes=limits.message_bytes,
        concurrency=limits.concurrency,
    )
    await front.start()
    stack.push_async_callback(front.stop, settings.drain_timeout)
    telling = asyncio.create_task(_tell_readiness(front, readiness))
    stack.push_async_callback(_cancelled, telling)
    stack.callback(readiness.drain)


def _measure(
    metrics: Metrics,
    keys: IssuerKeys,
    deny_list: MemoryDenyList,
    readiness: Readiness,
    generation: Generation,
) -> None:
    """Name what is read at each scrape."""
    metrics.gauge(
        "scopegate_jwks_age_seconds",
        "Time since the issuer last confirmed the keys in use.",
        "issuer",
        lambda: {name: of.age_s for name, of in keys.status().items() if of.age_s is not None},
    )
    per_issuer: tuple[tuple[str, str, Callable[[KeySetStatus], int]], ...] = (
        ("scopegate_jwks_fetches", "Fetches of an issuer's keys.", lambda of: of.fetches),
        ("scopegate_jwks_not_modified", "Fetches that answered 304.", lambda of: of.not_modified),
        ("scopegate_jwks_failures", "Fetches that brought no keys.", lambda of: of.failures),
    )
    for name, text, read in per_issuer:
        metrics.counter(name, text, "issuer", partial(_of_issuers, keys, read))
    metrics.gauge(
        "scopegate_jwks_keys", "Usable keys.", "issuer", partial(_of_issuers, keys, _usable_keys)
    )
    metrics.gauge(
        "scopegate_deny_entries",
        "Entries of the deny list.",
        "store",
        lambda: {"memory": len(deny_list)},
    )
    metrics.gauge("scopegate_ready", "1 when the part is ready.", "part", readiness.parts)
    metrics.gauge(
        "scopegate_policy_info",
        "1 for the loaded policy.",
        "revision",
        lambda: {generation.policy.revision: 1.0},
    )


def _of_issuers(keys: IssuerKeys, read: Callable[[KeySetStatus], int]) -> Mapping[str, float]:
    return {name: read(status) for name, status in keys.status().items()}


def _usable_keys(status: KeySetStatus) -> int:
    return status.keys


async def _tell_readiness(front: GrpcFront, readiness: Readiness) -> None:
    told = False
    while True:
        ready = readiness.ready()
        if ready is not told:
            await front.set_ready(ready=ready)
            told = ready
        await asyncio.sleep(_READINESS_EVERY_S)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _write_line(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
