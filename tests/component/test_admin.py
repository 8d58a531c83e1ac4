"""The operator's port and socket, really listening."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.core.deny import DenyKey, DenyKind
from sidecar.fronts.admin import AdminFront, port_app, socket_app
from sidecar.readiness import Readiness
from tests.tokens import ABSENT, ISSUER, NOW, make_profile
from tests.values import StillClock

ENTRY = {"kind": "agent", "issuer": ISSUER, "tenant": "acme", "value": "a-1", "lasts": 60}
ISSUERS = {ISSUER: make_profile(tenants=frozenset({"acme", "globex"}))}
KEY = {k: v for k, v in ENTRY.items() if k != "lasts"}


def changed(of: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (of | change).items() if value is not ABSENT}


class Documents:
    def document(self, name: str) -> bytes | None:
        return b'{"keys": []}' if name == "demo" else None


class Admin:
    """Both applications over parts that a test can look into."""

    def __init__(self) -> None:
        self.usable = {"demo": False}
        self.readiness = Readiness(lambda: self.usable)
        self.deny_list = MemoryDenyList(capacity=2)
        self.port = 0
        self.socket = Path()

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def deny(self, method: str, **request: Any) -> tuple[int, Any]:
        connector = aiohttp.UnixConnector(str(self.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.request(method, "http://admin/deny", **request) as response,
        ):
            return response.status, await response.json()


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[Admin]:
    made = Admin()
    made.socket = tmp_path / "admin.sock"
    front = AdminFront(
        port_app(CollectorRegistry(), made.readiness, Documents()),
        socket_app(made.deny_list, StillClock(), ISSUERS),
    )
    made.port = await front.start(host="127.0.0.1", port=0, socket=made.socket)
    yield made
    await front.stop()


async def test_readyz_says_what_is_missing(admin: Admin) -> None:
    """Not ready names the part; ready is 200; alive is another question."""
    status, text = await admin.get("/readyz")

    assert (status, '"keys:demo": false' in text) == (503, True)
    admin.usable["demo"] = True
    assert (await admin.get("/readyz"))[0] == 200
    assert (await admin.get("/healthz"))[0] == 200


async def test_readyz_ends_with_the_drain(admin: Admin) -> None:
    """Who drains takes no new checks."""
    admin.usable["demo"] = True
    admin.readiness.drain()

    assert (await admin.get("/readyz"))[0] == 503


async def test_readiness_outlives_every_issuers_keys() -> None:
    """Once complete, old keys are the stance's business: it refuses, Envoy's lane would not."""
    usable = {"a": True, "b": False}
    readiness = Readiness(lambda: usable)

    assert not readiness.ready()
    usable["b"] = True
    assert readiness.ready()
    usable["b"] = False
    assert readiness.ready()
    usable["a"] = False
    assert readiness.ready()


async def test_port_serves_the_issuers_keys(admin: Admin) -> None:
    """Envoy may take an issuer's keys from here."""
    assert await admin.get("/jwks/demo") == (200, '{"keys": []}')
    assert (await admin.get("/jwks/other"))[0] == 404


@pytest.mark.parametrize("path", ["/deny", "/"])
async def test_port_has_no_way_to_the_deny_list(admin: Admin, path: str) -> None:
    """Only the socket can lift a revocation."""
    assert (await admin.get(path))[0] == 404


async def test_socket_is_its_owners_alone(admin: Admin) -> None:
    """Nobody else on the machine can lift a revocation."""
    assert stat.S_IMODE(admin.socket.stat().st_mode) == 0o600


async def test_socket_adds_lists_and_lifts(admin: Admin) -> None:
    """An entry is there until it is lifted."""
    status, added = await admin.deny("POST", json=ENTRY | {"reason": "leaked"})
    _, listed = await admin.deny("GET")

    assert status == 201
    assert added == {"key": KEY, "until": NOW + 60, "not_before": None, "reason": "leaked"}
    assert listed["entries"] == [added]
    assert await admin.deny("DELETE", params=KEY) == (200, {"removed": True})
    assert await admin.deny("DELETE", params=KEY) == (404, {"removed": False})
    assert (await admin.deny("GET"))[1]["entries"] == []


async def test_socket_adds_a_kid_for_every_tenant(admin: Admin) -> None:
    """A key is the issuer's alone."""
    entry = ENTRY | {"kind": "kid", "tenant": "", "value": "k-1"}

    assert (await admin.deny("POST", json=entry))[0] == 201
    assert DenyKey(DenyKind.KID, ISSUER, "", "k-1") in {
        e.key for e in admin.deny_list.entries(now=NOW)
    }


NO_TARGETS = [
    ({"kind": "planet"}, "kind"),
    ({"tenant": ""}, "tenant: required, except for a kid"),
    ({"tenant": ABSENT}, "tenant: required, except for a kid"),
    ({"tenant": "acmee"}, "tenant: is not known; did you mean 'acme'?"),
    ({"tenant": "umbrella"}, "tenant: is not known; known here: acme, globex"),
    ({"value": ""}, "value: must be what a token can say"),
    ({"value": "a-1 "}, "value: must be what a token can say"),
    ({"value": "a" * 257}, "value: must be what a token can say"),
    ({"value": ABSENT}, "value"),
    ({"issuer": ""}, f"issuer: is not known; known here: {ISSUER}"),
    ({"issuer": f"{ISSUER}/"}, f"issuer: is not known; did you mean {ISSUER!r}?"),
    ({"issuer": ISSUER.upper()}, f"issuer: is not known; did you mean {ISSUER!r}?"),
    ({"kind": "kid"}, "tenant"),
    ({"kind": "kid", "tenant": "", "value": "k" * 257}, "value: must be what a token can say"),
    ({"until": "1"}, "until"),
]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        *NO_TARGETS,
        ({"lasts": 0}, "lasts"),
        ({"lasts": "long"}, "lasts"),
        ({"reason": "r" * 4096}, "must have at most 4096 bytes"),
    ],
)
async def test_socket_names_what_is_wrong(admin: Admin, change: dict[str, Any], says: str) -> None:
    """Bad input names its field and changes nothing."""
    status, answer = await admin.deny("POST", json=changed(ENTRY, change))

    assert status == (413 if "bytes" in says else 400)
    assert says in answer["error"]
    assert len(admin.deny_list) == 0


@pytest.mark.parametrize(("change", "says"), NO_TARGETS)
async def test_socket_lifts_only_what_it_would_add(
    admin: Admin, change: dict[str, Any], says: str
) -> None:
    """Who lifts a revocation hears of a typo what who adds it hears: not "no such entry"."""
    status, answer = await admin.deny("DELETE", params=changed(KEY, change))

    assert status == 400
    assert says in answer["error"]


async def test_socket_says_when_the_list_is_full(admin: Admin) -> None:
    """A revocation that was not taken is never reported as taken."""
    statuses = [(await admin.deny("POST", json=ENTRY | {"value": v}))[0] for v in "abc"]

    assert statuses == [201, 201, 400]
