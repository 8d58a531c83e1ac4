"""The operator's side: metrics and probes on a port, the deny list on a Unix socket.

The port is read-only. Whoever can write to the socket can lift a revocation, so it is open to its
owner alone, and there is no way to it over TCP.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from sidecar.core.deny import DenyEntry
from sidecar.core.profile import IssuerProfile
from sidecar.fronts.deny_entries import (
    LONGEST_ENTRY,
    DenyRequest,
    entry_of,
    plain,
    refusal,
    target_in,
    too_long,
)
from sidecar.fronts.unix_socket import private
from sidecar.ports import Clock, DenyListAdmin
from sidecar.readiness import Readiness

_LAST_WORDS_S: Final = 1.0
"""How long a request under way may take when the sidecar stops."""


class KeyDocuments(Protocol):
    """The last good JWKS of an issuer, for an Envoy that must not fetch from elsewhere."""

    def document(self, name: str) -> bytes | None:
        """The document as the issuer served it, or None."""
        ...


def port_app(
    registry: CollectorRegistry, readiness: Readiness, keys: KeyDocuments
) -> web.Application:
    """``GET /metrics``, ``/healthz``, ``/readyz``, ``/jwks/{issuer}``."""

    async def metrics(_: web.Request) -> web.Response:
        text = generate_latest(registry)
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def readyz(_: web.Request) -> web.Response:
        ready = readiness.ready()
        body = {"ready": ready, "parts": readiness.parts()}
        return web.json_response(body, status=200 if ready else 503)

    async def jwks(request: web.Request) -> web.Response:
        document = keys.document(request.match_info["issuer"])
        if document is None:
            return web.json_response({"error": "no keys of such an issuer"}, status=404)
        return web.Response(body=document, content_type="application/jwk-set+json")

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/jwks/{issuer}", jwks)
    return app


def socket_app(
    deny_list: DenyListAdmin, clock: Clock, issuers: Mapping[str, IssuerProfile]
) -> web.Application:
    """``POST``, ``DELETE`` and ``GET /deny``, in JSON; ``issuers`` are by exact ``iss``."""
    tenants = {name: issuer.tenants for name, issuer in issuers.items()}

    async def add(request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read(), type=DenyRequest)
            entry = entry_of(wanted, tenants, clock.now())
            deny_list.add(entry, now=clock.now())
        except web.HTTPRequestEntityTooLarge:
            return too_long()
        except (msgspec.MsgspecError, ValueError) as bad:
            return refusal(str(bad))
        return web.json_response(plain(entry), status=201)

    async def remove(request: web.Request) -> web.Response:
        try:
            key = target_in(request, tenants)
        except (msgspec.MsgspecError, ValueError) as bad:
            return refusal(str(bad))
        found = deny_list.remove(key)
        return web.json_response({"removed": found}, status=200 if found else 404)

    async def entries(_: web.Request) -> web.Response:
        held = deny_list.entries(now=clock.now())
        return web.json_response({"entries": [plain(entry) for entry in held]})

    app = web.Application(client_max_size=LONGEST_ENTRY)
    app.router.add_post("/deny", add)
    app.router.add_delete("/deny", remove)
    app.router.add_get("/deny", entries)
    return app


class DenyListing(Protocol):
    """A deny list that somebody else feeds."""

    def entries(self, *, now: float) -> tuple[DenyEntry, ...]:
        """Every entry that has not ended."""
        ...


def fed_socket_app(deny_list: DenyListing, clock: Clock, feed: str) -> web.Application:
    """``GET /deny``; who would change the list is sent to where its feed is signed."""

    async def elsewhere(_: web.Request) -> web.Response:
        return refusal(f"this list is fed by {feed}: use the socket of its relay", status=409)

    async def entries(_: web.Request) -> web.Response:
        held = deny_list.entries(now=clock.now())
        return web.json_response({"entries": [plain(entry) for entry in held]})

    app = web.Application(client_max_size=LONGEST_ENTRY)
    app.router.add_get("/deny", entries)
    for method in ("POST", "DELETE"):
        app.router.add_route(method, "/deny", elsewhere)
    app.router.add_route("POST", "/deny/many", elsewhere)
    return app


class AdminFront:
    """Both applications, listening."""

    def __init__(self, port: web.Application, socket: web.Application) -> None:
        self._runners = (
            web.AppRunner(port, access_log=None, shutdown_timeout=_LAST_WORDS_S),
            web.AppRunner(socket, access_log=None, shutdown_timeout=_LAST_WORDS_S),
        )

    async def start(self, *, host: str, port: int, socket: Path) -> int:
        """Listen on both; the port that was bound. Raises ``OSError`` when one is taken."""
        on_port, on_socket = self._runners
        await on_port.setup()
        await on_socket.setup()
        site = web.TCPSite(on_port, host, port)
        await site.start()
        with private(socket):
            try:
                await web.UnixSite(on_socket, str(socket)).start()
            except OSError as failed:
                raise OSError(f"cannot listen on {socket}: {failed.strerror}") from failed
        bound: int = on_port.addresses[0][1]
        return bound

    async def stop(self) -> None:
        """Stop listening; requests under way are finished."""
        for runner in self._runners:
            await runner.cleanup()
