"""The composition root: configuration in, a wired sidecar out. Nothing else constructs adapters.

Each part is made, started and closed in one place; closing runs in reverse.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from sidecar.adapters.decision_log import DecisionLog
from sidecar.adapters.metrics import Metrics
from sidecar.adapters.peer_watch import PeerWatch
from sidecar.adapters.verified_tokens import VerifiedTokens
from sidecar.assembly.keys import issuer_keys
from sidecar.assembly.measures import Parts, measure
from sidecar.assembly.policy import policy_part
from sidecar.assembly.stores import LedgerPart, deny_part, ledger_part
from sidecar.clock import SystemClock
from sidecar.config.address import UnixSocket
from sidecar.config.build import Configuration
from sidecar.config.sections import AdminSettings
from sidecar.config.settings import Settings
from sidecar.core.lanes import markers_of
from sidecar.fronts.admin import AdminFront, port_app
from sidecar.fronts.grpc_aio import GrpcFront
from sidecar.generation import Generation, Live
from sidecar.observe import Observer
from sidecar.pipeline import Pipeline
from sidecar.ports import Policy
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

    Raises ``PolicyLoadError`` for policies that do not load, ``ValueError`` for a deny list's file
    that cannot be used, and ``OSError`` for an address that is taken. Issuers, an OPA or a feed
    that do not answer keep it unready, not unborn.
    """
    settings, clock, metrics = configuration.settings, SystemClock(), Metrics()
    async with contextlib.AsyncExitStack() as stack:
        policy = await policy_part(configuration, clock, stack)
        generation = _generation(configuration, policy.policy)
        keys = await issuer_keys(configuration, clock, random.random, stack)
        denied = await deny_part(configuration, clock, random.random, stack)
        ledger = await ledger_part(configuration, clock, stack)
        pipeline = Pipeline(
            live=Live(generation),
            keys=keys,
            tokens=VerifiedTokens(settings.stores.verified_tokens, clock.now),
            deny_list=denied.deny_list,
            ledger=ledger.ledger,
            clock=clock,
            new_id=lambda: uuid4().hex,
            observers=(
                metrics,
                _peer_watch(settings, metrics),
                *_records(settings, metrics, stack),
            ),
        )
        parts = Parts(keys, policy, denied, ledger)
        readiness = _readiness(parts, settings)
        measure(metrics, readiness, parts)
        metrics.stance_exceptions(lambda: pipeline.live.current.catalogue, clock.now)
        # The front first: who asks /readyz must not hear "ready" of a gate that does not listen.
        await _front(pipeline, settings, readiness, stack)
        admin = AdminFront(port_app(metrics.registry, readiness, keys), denied.socket)
        admin_port = await _admin(admin, settings.admin, stack)
        stack.callback(readiness.drain)  # first of all: whoever asks is told while the rest ends
        yield Sidecar(pipeline, readiness, admin_port)


def _readiness(parts: Parts, settings: Settings) -> Readiness:
    others: dict[str, Callable[[], bool]] = {
        "policy": parts.policy.reachable,
        "deny_list": parts.denied.ready,
        "clock": partial(_clocks_agree, parts.ledger, settings.keys.max_skew),
    }
    return Readiness(parts.keys.ready, others)


def _clocks_agree(ledger: LedgerPart, most: float | None) -> bool:
    skew = ledger.skew_s()
    return skew is None or most is None or abs(skew) <= most


def _peer_watch(settings: Settings, metrics: Metrics) -> Observer:
    watch = PeerWatch(settings.stores.verified_tokens)
    metrics.counter(
        "scopegate_tokens_from_two_peers",
        "Tokens that were used from more than one place.",
        "watch",
        lambda: {"peers": watch.seen},
    )
    return watch


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


def _generation(configuration: Configuration, policy: Policy) -> Generation:
    return Generation(
        catalogue=configuration.catalogue,
        issuers=configuration.issuers,
        policy=policy,
        markers=markers_of(configuration.catalogue),
        outgoing=configuration.outgoing,
        lifetimes=configuration.settings.lifetimes.limits(),
        callers=configuration.callers,
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


async def _admin(
    admin: AdminFront, settings: AdminSettings, stack: contextlib.AsyncExitStack
) -> int:
    stack.push_async_callback(admin.stop)
    http, socket = settings.http, Path(settings.socket)
    return await admin.start(host=http.host, port=http.port, socket=socket)


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
