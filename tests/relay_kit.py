"""A relay in a folder of its own, an operator at its socket, and readers of what it publishes."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml
from redis.asyncio import Redis

from sidecar.core.deny import DenyEntry, DenyKey
from sidecar.core.feed import Denied, Lifted, Reading, Taken
from sidecar.core.feed_wire import FeedKeys, ForgedError, open_batch, open_beat
from sidecar.ports import Clock
from sidecar.relay.app import Start, relaying
from sidecar.relay.keys import make_keys, read_public
from sidecar.relay.publisher import Publisher
from sidecar.relay.settings import load_relay
from tests.tokens import ISSUER

FEED: Final = "scopegate:deny"
OF: Final = {"issuer": ISSUER, "tenant": "acme"}


def agent(value: str, lasts: float = 3600) -> dict[str, Any]:
    """The request that revokes an agent."""
    return {"kind": "agent", **OF, "value": value, "lasts": lasts}


class Shifting:
    """The machine's clocks; a test moves the wall clock, or lets time pass for both."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self.passed = 0.0

    def now(self) -> float:
        return time.time() + self.passed + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


class RelayFolder:
    """Everything that an operator prepares, and his hand on the socket."""

    def __init__(self, folder: Path, redis: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.socket = folder / "r"
        self.journal = folder / "journal.db"
        self.config = folder / "relay.yaml"
        self.settings: dict[str, Any] = {
            "version": 1,
            "socket": str(self.socket),
            "journal": str(self.journal),
            "key": "key.pem",
            "keys": "keys.json",
            "redis": {"address": f"unix:{redis}"},
            "issuers": [{"issuer": ISSUER, "tenants": ["acme", "globex"]}],
        }
        self.new_key("key.pem")

    def new_key(self, name: str) -> None:
        """Make a key, add it to the public set, and let the relay sign with it."""
        make_keys(self.folder / name, self.folder / "keys.json")
        self.write(key=name)

    def write(self, **changes: Any) -> None:
        """Write the settings with these changes."""
        self.settings |= changes
        self.config.write_text(yaml.safe_dump(self.settings))

    @property
    def keys(self) -> FeedKeys:
        return read_public(self.folder / "keys.json")

    @asynccontextmanager
    async def relay(
        self, start: Start = Start.GO_ON, clock: Clock | None = None
    ) -> AsyncIterator[Publisher]:
        """A relay in this process."""
        async with relaying(load_relay(self.config), start, clock or Shifting()) as publisher:
            yield publisher

    async def ask(self, method: str, path: str = "/deny", **request: Any) -> tuple[int, Any]:
        """Status and JSON of one request at the socket."""
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, f"http://relay{path}", **request) as response,
        ):
            return response.status, json.loads(await response.text())

    async def deny(self, value: str, lasts: float = 3600) -> bool:
        """Revoke an agent; whether that is published."""
        status, answer = await self.ask("POST", json=agent(value, lasts))
        assert status in {201, 202}, answer
        return bool(answer["published"])

    async def lift(self, value: str) -> int:
        status, _ = await self.ask("DELETE", params={"kind": "agent", **OF, "value": value})
        return status

    async def listed(self) -> set[str]:
        """What the relay says holds."""
        _, answer = await self.ask("GET")
        return {entry["key"]["value"] for entry in answer["entries"]}

    async def metrics(self) -> str:
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get("http://relay/metrics") as response,
        ):
            return await response.text()


class FeedReader:
    """Reads the feed as a sidecar does; believes nothing but signatures."""

    def __init__(self, redis: Redis, keys: FeedKeys) -> None:
        self._redis = redis
        self._keys = keys
        self.reading = Reading()
        self.forged = 0
        self._held: dict[DenyKey, set[DenyEntry]] = defaultdict(set)

    @property
    def holds(self) -> set[str]:
        """The values of the entries that hold."""
        now = time.time()
        held = (entry for entries in self._held.values() for entry in entries)
        return {entry.key.value for entry in held if now < entry.until}

    async def read(self) -> bool:
        """Take all there is; whether it is everything that the last heartbeat promises."""
        await self._read_stream()
        told = await self._hear()
        if told is Taken.GAP or self.reading.behind or self.reading.feed is None:
            for text in await self._redis.lrange(f"{FEED}:base", 0, -1):
                self._take(text)
            await self._read_stream()
            await self._hear()
        return self.reading.complete_at is not None and not self.reading.behind

    async def _hear(self) -> Taken | None:
        beat = await self._redis.get(f"{FEED}:beat")
        if not isinstance(beat, bytes):
            return None
        told, self.reading = self.reading.hear(open_beat(beat, self._keys), now=time.time())
        return told

    async def _read_stream(self) -> None:
        after = f"({self.reading.upto}-0" if self.reading.upto else "-"
        for record_id, fields in await self._redis.xrange(FEED, min=after) or []:
            upto = self._take((fields or {}).get(b"b", b""))
            self.forged += record_id != f"{upto}-0".encode()

    def _take(self, text: Any) -> int:
        try:
            batch = open_batch(text, self._keys)
        except ForgedError:
            self.forged += 1
            return 0
        told, after = self.reading.take(batch)
        if told is Taken.APPLIED:
            if self.reading.feed != after.feed:
                self._held.clear()
            for change in self.reading.news(batch):
                if isinstance(change, Denied):
                    self._held[change.entry.key].add(change.entry)
                elif isinstance(change, Lifted):
                    self._held.pop(change.key, None)
            self.reading = after
        return batch.upto
