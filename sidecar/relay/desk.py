"""The relay's Unix socket: the same ``/deny`` as a sidecar's, ``/deny/many``, ``/metrics``.

A revocation is answered when it is on the disk: 201 when Redis has it too, 202 when Redis will get
it as soon as it can be reached. Nothing else may sound like success.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from sidecar.core.deny import DenyEntry
from sidecar.fronts.deny_entries import (
    LONGEST_ENTRY,
    DenyRequest,
    Tenants,
    entry_of,
    plain,
    refusal,
    target_in,
    too_long,
)
from sidecar.ports import Clock
from sidecar.relay.journal import Journal
from sidecar.relay.journal_disk import JournalError
from sidecar.relay.publisher import Publisher

MOST_ENTRIES: Final = 1000
"""In one ``POST /deny/many``."""
MOST_BYTES: Final = 1024 * 1024
PUBLISHED_WITHIN_S: Final = 1.0
"""How long an answer waits for Redis."""


class _BadLineError(ValueError):
    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line


@dataclass(frozen=True, slots=True)
class Desk:
    """Where operators are served."""

    journal: Journal
    publisher: Publisher
    clock: Clock
    tenants: Tenants

    async def add(self, request: web.Request) -> web.Response:
        """``POST /deny``: one entry, as JSON."""
        try:
            raw = await request.read()
            if len(raw) > LONGEST_ENTRY:
                return too_long()
            entry = _entry(raw, self.tenants, self.clock.now())
            published = await self._keep((entry,))
        except web.HTTPRequestEntityTooLarge:
            return too_long()
        except (msgspec.MsgspecError, ValueError) as bad:
            return refusal(str(bad))
        return _kept({**plain(entry), "published": published}, published=published, made=201)

    async def add_many(self, request: web.Request) -> web.Response:
        """``POST /deny/many``: entries as JSON lines, all or none; ``line`` is the one at fault."""
        try:
            raw = await request.read()
            entries = _entries(raw.split(b"\n"), self.tenants, self.clock.now())
            published = await self._keep(entries)
        except web.HTTPRequestEntityTooLarge:
            return refusal(f"must have at most {MOST_BYTES} bytes", status=413)
        except _BadLineError as bad:
            return web.json_response({"error": str(bad), "line": bad.line}, status=400)
        except ValueError as bad:
            return refusal(str(bad))
        answer = {"added": len(entries), "published": published}
        return _kept(answer, published=published, made=201)

    async def remove(self, request: web.Request) -> web.Response:
        """``DELETE /deny``: lift all under one key."""
        try:
            key = target_in(request, self.tenants)
        except (msgspec.MsgspecError, ValueError) as bad:
            return refusal(str(bad))
        self._refuse_if_superseded()
        seq = await self.journal.lift(key, now=self.clock.now())
        if seq is None:
            return web.json_response({"removed": False}, status=404)
        published = await self._publish(seq)
        return _kept({"removed": True, "published": published}, published=published, made=200)

    async def entries(self, _: web.Request) -> web.Response:
        """``GET /deny``: what holds."""
        held = await self.journal.entries(now=self.clock.now())
        body = msgspec.json.encode({"entries": held})
        return web.Response(body=body, content_type="application/json")

    async def _keep(self, entries: Sequence[DenyEntry]) -> bool:
        self._refuse_if_superseded()
        return await self._publish(await self.journal.add(entries, now=self.clock.now()))

    async def _publish(self, seq: int) -> bool:
        self.publisher.wake()
        return await self.publisher.reached(seq, within=PUBLISHED_WITHIN_S)

    def _refuse_if_superseded(self) -> None:
        if self.publisher.superseded:
            raise JournalError(self.publisher.superseded)


def socket_app(desk: Desk, registry: CollectorRegistry) -> web.Application:
    """Everything that the socket answers to."""

    async def metrics(_: web.Request) -> web.Response:
        text = generate_latest(registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application(client_max_size=MOST_BYTES, middlewares=[_outage_in_words])
    app.router.add_post("/deny", desk.add)
    app.router.add_post("/deny/many", desk.add_many)
    app.router.add_delete("/deny", desk.remove)
    app.router.add_get("/deny", desk.entries)
    app.router.add_get("/metrics", metrics)
    return app


class RelayMetrics(Collector):
    """What ``/metrics`` shows, read when it is asked for."""

    def __init__(self, journal: Journal, publisher: Publisher) -> None:
        self._journal = journal
        self._publisher = publisher

    def collect(self) -> Iterable[Metric]:
        """See ``prometheus_client.registry.Collector``."""
        journal, publisher = self._journal, self._publisher
        gauges = (
            ("journal_end", "The number of the last change.", journal.upto),
            ("entries", "Entries in the journal.", journal.held),
            ("published", "Every change up to this number was published.", publisher.upto),
            ("pending", "Changes not yet published.", journal.upto - publisher.upto),
            ("redis_up", "1 while Redis takes what is published.", not publisher.silent),
            ("superseded", "1 when this journal may not be published.", bool(publisher.superseded)),
        )
        for name, text, value in gauges:
            yield GaugeMetricFamily(f"scopegate_relay_{name}", text, float(value))
        yield CounterMetricFamily("scopegate_relay_beats", "Heartbeats.", publisher.beats)
        healed = CounterMetricFamily(
            "scopegate_relay_healed", "Times that Redis was written again.", labels=["reason"]
        )
        for reason, times in publisher.healed.items():
            healed.add_metric([reason], times)
        yield healed


@web.middleware
async def _outage_in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except JournalError as failed:
        return refusal(str(failed), status=503)


def _kept(body: object, *, published: bool, made: int) -> web.Response:
    return web.json_response(body, status=made if published else 202)


def _entry(raw: bytes, tenants: Tenants, now: float) -> DenyEntry:
    return entry_of(msgspec.json.decode(raw, type=DenyRequest), tenants, now)


def _entries(lines: Sequence[bytes], tenants: Tenants, now: float) -> list[DenyEntry]:
    if len(lines) > MOST_ENTRIES + 1:
        raise ValueError(f"must have at most {MOST_ENTRIES} lines")
    found: list[DenyEntry] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found.append(_entry(line, tenants, now))
        except (msgspec.MsgspecError, ValueError) as bad:
            raise _BadLineError(number, str(bad)) from None
    if not found:
        raise ValueError("must hold an entry")
    return found
