"""A sidecar from files that a test may change between two starts, and calls from any peer.

Here for the rows of promises and attacks: what is asserted is what a tester sees, the HTTP status
and the reason that a caller gets, of a gate that was put together as an operator does it.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

import aiohttp
import grpc

from sidecar.assembly import Sidecar, serving
from sidecar.config.build import Configuration, load_configuration
from sidecar.core.model import Peer
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from sidecar.pipeline import Pipeline
from tests.gate import Gate, ask, check
from tests.redis_server import eventually
from tests.sidecars import Numbers, numbers_in
from tests.tokens import AUDIENCE, ISSUER, TENANT, Signer, make_token, signer

Said: TypeAlias = tuple[int, str]
"""The HTTP status and the reason that a caller gets."""
OK: Final[Said] = (200, "ok")
GLOBEX: Final = "globex"
"""A second tenant."""
ALLOW: Final = 'package scopegate\n\nruling := {"action": "allow"}\n'


_numbers: Final = count(1)


def minted(**claims: Any) -> bytes:
    """A token that is good now, but for what is said; keywords are those of ``make_token``."""
    return make_token(**{"now": time.time(), **claims})


def said_in(answer: pb.CheckResponse) -> Said:
    """What the caller gets; a refusal's status is in its body, too."""
    if answer.status.code == 0:
        assert not answer.HasField("denied_response")
        return OK
    status = int(answer.denied_response.status.code)
    problem = json.loads(answer.denied_response.body)
    assert problem["status"] == status
    return status, problem["reason"]


def headers_in(answer: pb.CheckResponse) -> dict[str, str]:
    """What the tool is told in headers."""
    told = answer.ok_response.headers
    return {one.header.key.decode(): one.header.value.decode() for one in told}


def coming_from(raw: bytes, peer: Peer) -> bytes:
    """The same check over another connection."""
    request = pb.CheckRequest.FromString(raw)
    source = request.attributes.source
    source.address.socket_address.address = peer.address.encode()
    source.principal = peer.principal.encode()
    source.certificate = peer.certificate
    return request.SerializeToString()


@dataclass(slots=True)
class Line:
    """One pipeline of a ``Gate``: what it remembers, it remembers from call to call."""

    gate: Gate
    _pipeline: Pipeline = field(init=False)

    def __post_init__(self) -> None:
        self._pipeline = self.gate.pipeline()

    async def answer(self, raw: bytes) -> pb.CheckResponse:
        deadline = self.gate.clock.monotonic() + 10
        return pb.CheckResponse.FromString(
            await self._pipeline.check(raw, peer="test", deadline=deadline)
        )

    async def said(self, raw: bytes) -> Said:
        return said_in(await self.answer(raw))


def jwks_of(*signers: Signer) -> bytes:
    """A JWK Set of these keys."""
    return json.dumps({"keys": [one.jwk for one in signers]}).encode()


def route(name: str, scope: str, **members: Any) -> dict[str, Any]:
    """A route with a ``GET`` of ``/NAME/{id}``, as the catalogue's file has it."""
    operations = {"GET": {"scope": scope}}
    own = {"name": name, "path": f"/{name}/{{id}}", "audience": AUDIENCE}
    return {**own, "operations": operations, **members}


def issuer(place: Mapping[str, str], **members: Any) -> dict[str, Any]:
    """An issuer whose tokens are those of ``make_token``; ``place`` is where its keys are."""
    return {
        "name": "test",
        "issuer": ISSUER,
        "jwks": dict(place),
        "algorithms": ["EdDSA"],
        "tenants": [TENANT, GLOBEX],
        "ceiling": ["read:orders:*", "write:orders:*", "read:data:*"],
        "max_lifetime": 300,
        "leeway": 1,
        **members,
    }


@dataclass(slots=True)
class Place:
    """What stands in the files of a sidecar; ``serving`` writes them and starts it.

    Unless said, the issuer's keys are in a file and the routes are ``orders`` and ``refunds``.
    """

    folder: Path
    routes: Iterable[Mapping[str, Any]] = (
        route("orders", "read:orders:{id}"),
        route("refunds", "write:orders:{id}"),
    )
    servers: Mapping[str, Any] = field(default_factory=dict)
    issuers: Iterable[Mapping[str, Any]] = (issuer({"file": "keys.json"}),)
    policy: str = ALLOW
    sections: dict[str, Any] = field(default_factory=dict)
    """Of the settings."""
    files: dict[str, bytes] = field(default_factory=dict)
    """Beside them, by name."""

    def configuration(self) -> Configuration:
        """Write the files, and read them as a start does."""
        etc = self.folder / "etc"
        (etc / "rules").mkdir(parents=True, exist_ok=True)
        catalogue = {"version": 1, "routes": [*self.routes], "servers": {**self.servers}}
        (etc / "catalogue.yaml").write_text(json.dumps(catalogue))
        (etc / "rules" / "gate.rego").write_text(self.policy)
        for name, content in {"keys.json": jwks_of(signer()), **self.files}.items():
            (etc / name).write_bytes(content)
        (etc / "settings.yaml").write_text(json.dumps(self._settings()))
        return load_configuration(etc / "settings.yaml", {})

    def _settings(self) -> dict[str, Any]:
        return {
            "version": 1,
            "listen": f"unix:{self.folder / 's'}",
            "admin": {"http": "127.0.0.1:0", "socket": str(self.folder / "a")},
            "catalogue": "catalogue.yaml",
            "policy": {"engine": "embedded", "paths": ["rules"]},
            "issuers": [*self.issuers],
            "deny_list": {"source": "memory", "file": str(self.folder / "state" / "denied")},
            # Cores are shared by all tests: that somebody waited for one is no fact of ours.
            "limits": {"decision_timeout": 5},
            "drain_timeout": 0,
            "log": {"level": "info", "decisions": False},
            **self.sections,
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Running]:
        """A sidecar of these files, for as long as the context lasts."""
        configuration = self.configuration()
        async with (
            grpc.aio.insecure_channel(str(configuration.settings.listen)) as channel,
            serving(configuration) as sidecar,
        ):
            yield Running(sidecar, configuration, channel)


@dataclass(frozen=True, slots=True)
class Running:
    """A sidecar that serves, seen from outside."""

    sidecar: Sidecar
    configuration: Configuration
    channel: grpc.aio.Channel

    async def answer(
        self,
        token: bytes,
        name: str = "orders",
        path: str = "o-1",
        *,
        method: str = "GET",
        peer: Peer | None = None,
        **sent: Any,
    ) -> pb.CheckResponse:
        """Check a call of the route ``name``; ``sent`` are keywords of ``tests.gate.check``."""
        called = self.configuration.catalogue.routes[name]
        raw = check(method, f"/{name}/{path}" if path else f"/{name}", route=called,
                    token=token, **sent)  # fmt: skip
        return await ask(self.channel, coming_from(raw, peer or Peer("192.0.2.7")))

    async def said(
        self, token: bytes, name: str = "orders", path: str = "o-1", **sent: Any
    ) -> Said:
        return said_in(await self.answer(token, name, path, **sent))

    async def get(self, path: str) -> tuple[int, str]:
        """Ask the admin port."""
        url = f"http://127.0.0.1:{self.sidecar.admin_port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def ready(self) -> tuple[bool, Mapping[str, bool]]:
        """Whether ``/readyz`` says so, and what it says of each part."""
        status, text = await self.get("/readyz")
        return status == 200, json.loads(text)["parts"]

    async def metrics(self) -> Numbers:
        return numbers_in((await self.get("/metrics"))[1])

    async def begun(self) -> None:
        """Wait until a token that is minted now is younger than the ledger beyond doubt.

        For the issuer's leeway, one that says so may be older than it.
        """

        async def known() -> bool:
            token = minted(single_use=True, jti=f"begun-{next(_numbers)}")
            return await self.said(token) != (401, "use_unknown")

        await eventually(known, "the ledger began")

    async def revoke(
        self, kind: str, value: str, *, tenant: str = TENANT, of: str = ISSUER
    ) -> None:
        """``scopegate deny add``: tell the sidecar's own socket."""
        entry = {"issuer": of, "tenant": tenant, "lasts": 60, "kind": kind, "value": value}
        connector = aiohttp.UnixConnector(str(self.configuration.settings.admin.socket))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post("http://admin/deny", json=entry) as response,
        ):
            assert response.status == 201, await response.text()
