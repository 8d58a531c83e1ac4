"""The operator's side: metrics and probes on a port, the deny list on a Unix socket.

The port is read-only. Whoever can write to the socket can lift a revocation, so it is open to its
owner alone, and there is no way to it over TCP. An entry that no token could ever fall under is
refused: a typo in an emergency must not look like a revocation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.profile import IssuerProfile
from sidecar.fronts.unix_socket import private
from sidecar.nearest import unknown_name
from sidecar.ports import Clock, DenyListAdmin
from sidecar.readiness import Readiness

_LONGEST_ENTRY: Final = 4096
_VALUE: Final = re.compile(r"[!-~]{1,256}")
"""What ``core.verify`` takes from a claim."""
_KID: Final = re.compile(r".{1,256}", re.DOTALL)
"""What ``core.jws`` takes for a ``kid``."""


class KeyDocuments(Protocol):
    """The last good JWKS of an issuer, for an Envoy that must not fetch from elsewhere."""

    def document(self, name: str) -> bytes | None:
        """The document as the issuer served it, or None."""
        ...


class DenyTarget(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The query of ``DELETE /deny``, and what its ``POST`` names."""

    kind: DenyKind
    issuer: str
    tenant: str = ""
    value: str


class DenyRequest(DenyTarget, kw_only=True):
    """The body of ``POST /deny``. ``lasts`` is in seconds from now."""

    lasts: float
    not_before: float | None = None
    reason: str = ""


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

    async def add(request: web.Request) -> web.Response:
        try:
            wanted = msgspec.json.decode(await request.read(), type=DenyRequest)
            entry = _entry(wanted, issuers, clock.now())
            deny_list.add(entry, now=clock.now())
        except web.HTTPRequestEntityTooLarge:
            return _refusal(f"must have at most {_LONGEST_ENTRY} bytes", status=413)
        except (msgspec.MsgspecError, ValueError) as bad:
            return _refusal(str(bad))
        return web.json_response(_plain(entry), status=201)

    async def remove(request: web.Request) -> web.Response:
        try:
            key = _key(msgspec.convert(dict(request.query), DenyTarget), issuers)
        except (msgspec.MsgspecError, ValueError) as bad:
            return _refusal(str(bad))
        found = deny_list.remove(key)
        return web.json_response({"removed": found}, status=200 if found else 404)

    async def entries(_: web.Request) -> web.Response:
        held = deny_list.entries(now=clock.now())
        return web.json_response({"entries": [_plain(entry) for entry in held]})

    app = web.Application(client_max_size=_LONGEST_ENTRY)
    app.router.add_post("/deny", add)
    app.router.add_delete("/deny", remove)
    app.router.add_get("/deny", entries)
    return app


def _refusal(error: str, status: int = 400) -> web.Response:
    return web.json_response({"error": error}, status=status)


def _entry(wanted: DenyRequest, issuers: Mapping[str, IssuerProfile], now: float) -> DenyEntry:
    if wanted.lasts <= 0:
        raise ValueError("lasts: must be a positive number of seconds")
    return DenyEntry(_key(wanted, issuers), now + wanted.lasts, wanted.not_before, wanted.reason)


def _key(wanted: DenyTarget, issuers: Mapping[str, IssuerProfile]) -> DenyKey:
    """Raises ``ValueError`` for what no token could ever fall under."""
    issuer, is_kid = issuers.get(wanted.issuer), wanted.kind is DenyKind.KID
    if issuer is None:
        raise ValueError(f"issuer: {unknown_name(wanted.issuer, issuers)}")
    if is_kid != (not wanted.tenant):
        raise ValueError("tenant: required, except for a kid, which is the issuer's alone")
    if wanted.tenant and wanted.tenant not in issuer.tenants:
        raise ValueError(f"tenant: {unknown_name(wanted.tenant, issuer.tenants)}")
    if not (_KID if is_kid else _VALUE).fullmatch(wanted.value):
        raise ValueError("value: must be what a token can say: 1 to 256 visible ASCII characters")
    return DenyKey(wanted.kind, wanted.issuer, wanted.tenant, wanted.value)


def _plain(entry: DenyEntry) -> Mapping[str, Any]:
    plain: Mapping[str, Any] = msgspec.to_builtins(entry)
    return plain


class AdminFront:
    """Both applications, listening."""

    def __init__(self, port: web.Application, socket: web.Application) -> None:
        self._runners = (
            web.AppRunner(port, access_log=None),
            web.AppRunner(socket, access_log=None),
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
