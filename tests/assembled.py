"""A sidecar assembled from files in which no setting has its default, and ways to look at it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import yaml
from prometheus_client.parser import text_string_to_metric_families
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from sidecar.assembly import Sidecar, serving
from sidecar.config.build import Configuration, load_configuration
from sidecar.core.model import Action, Question, Refused, Ruling
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from tests.gate import ask, check
from tests.jwks_server import JwksServer
from tests.tokens import make_token, signer

FAR: Final = "https://far.test"
"""Publishes an ES256 key, which it may use, and an EdDSA key, which it may not."""
NEAR: Final = "https://near.test"
"""Keeps an EdDSA key in a file."""
LONG: Final = 270_000
"""Bytes of ``FAR``'s JWK Set beside its keys: more than the default limit."""

POLICY: Final = """package gate

answer := {"action": "allow", "headers": {"x-agent-tier": data.tiers.of_all}}
"""
UNUSED_POLICY: Final = """package scopegate

ruling := {"action": "deny", "reason": "default_entrypoint"}
"""
CATALOGUE: Final = {
    "version": 1,
    "routes": [
        {
            "name": "notes",
            "path": "/notes/{note}",
            "audience": "notebook",
            "operations": {"GET": {"scope": "read:notes:{note}"}},
        }
    ],
}
CLAIMS: Final = {
    "agent": "who",
    "tenant": "org",
    "scope": "may",
    "task": "job",
    "session": "login",
    "single_use": "once",
}


def settings_in(folder: Path, jwks_url: str, *, leeway: float = 30) -> dict[str, Any]:
    """The settings; sockets are in ``folder`` itself, files in ``folder / "etc"``."""
    issuer = {
        "types": ["note+jwt"],
        "tenants": ["umbrella"],
        "ceiling": ["read:notes:*"],
        "max_lifetime": 200,
        "leeway": leeway,
        "claims": CLAIMS,
    }
    return {
        "version": 1,
        "listen": f"unix:{folder / 'front.sock'}",
        "admin": {"http": "127.0.0.2:0", "socket": str(folder / "operator.sock")},
        "catalogue": "routes.yaml",
        "policy": {"engine": "embedded", "paths": ["rules"], "entrypoint": "data.gate.answer"},
        "issuers": [
            {
                "name": "far",
                "issuer": FAR,
                "jwks": {"url": jwks_url},
                "algorithms": ["ES256"],
                **issuer,
            },
            {
                "name": "near",
                "issuer": NEAR,
                "jwks": {"file": "near.json"},
                "algorithms": ["EdDSA"],
                **issuer,
            },
        ],
        "keys": {
            "refresh": 50,
            "max_age": 4000,
            "timeout": 15,
            "cooldown": 0.001,
            "wait": 0,
            "max_bytes": 300_000,
            "max_skew": 4,
        },
        "lifetimes": {
            "read": {"max_age": 3000},
            "interactive": {"max_age": 800},
            "high": {"max_age": 200, "max_lifetime": 250},
        },
        "callers": {"trusted_hops": ["spiffe://umbrella.test/hop"]},
        "dpop": {"origins": ["https://notes.test"], "max_age": 30, "leeway": 0.5},
        "identity_headers": {
            "agent": "x-agent-who",
            "tenant": "x-agent-org",
            "scopes": "x-agent-may",
            "task": "x-agent-job",
            "decision": "x-authz-check",
        },
        "policy_headers": ["x-agent-tier"],
        "stores": {
            "kind": "memory",
            "single_use_capacity": 3,
            "single_use_per_agent": 2,
            "verified_tokens": 2,
        },
        "deny_list": {
            "source": "memory",
            "file": str(folder / "state" / "denied"),
            "capacity": 2,
        },
        "replicas": 1,
        "limits": {
            "message_bytes": 70_000,
            "body_bytes": 1000,
            "decision_timeout": 30,
            "concurrency": 3,
        },
        "drain_timeout": 0,
        "log": {"level": "error", "decisions": False},
    }


def far_keys() -> bytes:
    """``FAR``'s JWK Set."""
    keys = [signer("ES256").jwk, signer("EdDSA").jwk]
    return json.dumps({"keys": keys, "comment": "x" * LONG}).encode()


def written(folder: Path, settings: Mapping[str, Any]) -> Path:
    """Write the settings and what they name; the settings' path."""
    etc = folder / "etc"
    (etc / "rules" / "tiers").mkdir(parents=True)
    (etc / "settings.yaml").write_text(yaml.safe_dump(dict(settings)))
    (etc / "routes.yaml").write_text(yaml.safe_dump(CATALOGUE))
    (etc / "near.json").write_text(json.dumps({"keys": [signer("EdDSA", "near").jwk]}))
    (etc / "rules" / "gate.rego").write_text(POLICY)
    (etc / "rules" / "unused.rego").write_text(UNUSED_POLICY)
    (etc / "rules" / "tiers" / "data.json").write_text('{"of_all": "gold"}')
    return etc / "settings.yaml"


def token(**changes: Any) -> bytes:
    """A token of ``FAR`` that is good now, but for these claims, header members and key."""
    claims = {
        "iss": FAR,
        "aud": "notebook",
        "exp": int(time.time()) + 100,
        "who": "clerk",
        "org": "umbrella",
        "may": ["read:notes:*"],
        "job": "sort",
        "login": "l-1",
    }
    by = changes.pop("by", signer("ES256"))
    header = {"typ": "note+jwt", **changes.pop("header", {})}
    return make_token(by=by, header=header, now=time.time(), **{**claims, **changes})


def defaults_in(model: BaseModel, prefix: str = "") -> Iterator[str]:
    """Every setting that has its default's value."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        parts = value if isinstance(value, tuple) else (value,)
        sections = [part for part in parts if isinstance(part, BaseModel)]
        for section in sections:
            yield from defaults_in(section, f"{prefix}{name}.")
        default = field.get_default(call_default_factory=True, validated_data={})
        if not sections and default not in (PydanticUndefined, None) and value == default:
            yield f"{prefix}{name}"


class Held:
    """A policy that allows when a test says so, and remembers how long it was given."""

    revision = "held"

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self.given: list[float] = []
        """Seconds, of each question."""
        self.go = asyncio.Event()
        self._monotonic = monotonic
        self._asked = asyncio.Condition()

    async def rule_on(self, question: Question, *, deadline: float) -> Ruling | Refused:
        del question
        self.given.append(deadline - self._monotonic())
        async with self._asked:
            self._asked.notify_all()
        await self.go.wait()
        return Ruling(Action.ALLOW)

    async def asked(self, times: int) -> None:
        """Wait until so many questions have arrived."""
        async with self._asked:
            await self._asked.wait_for(lambda: len(self.given) >= times)


@dataclass(frozen=True, slots=True)
class Assembled:
    """A serving sidecar, seen from outside."""

    sidecar: Sidecar
    configuration: Configuration
    channel: grpc.aio.Channel
    issuer: JwksServer

    async def ask(self, **changes: Any) -> pb.CheckResponse:
        """Check one read; ``changes`` are those of ``token``, and ``body``."""
        route = self.configuration.catalogue.routes["notes"]
        body = changes.pop("body", b"")
        raw = check(path="/notes/n-1", route=route, body=body, token=token(**changes))
        return await ask(self.channel, raw)

    async def reason(self, **changes: Any) -> str:
        """Why the read is refused, or ``ok``."""
        answer = await self.ask(**changes)
        if answer.status.code == 0:
            return "ok"
        word: str = json.loads(answer.denied_response.body)["reason"]
        return word

    def hold(self) -> Held:
        """Let no check be decided until the test says so."""
        held = Held(self.sidecar.pipeline.clock.monotonic)
        live = self.sidecar.pipeline.live
        live.current = replace(live.current, policy=held)
        return held

    async def get(self, path: str) -> tuple[int, str]:
        """Ask the admin port, at the address that was configured."""
        host = self.configuration.settings.admin.http.host
        url = f"http://{host}:{self.sidecar.admin_port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """Every sample: its name and its labels' values, in the order of their names."""
        _, text = await self.get("/metrics")
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    async def deny(self, **entry: Any) -> int:
        """Revoke something of ``FAR``; the HTTP status."""
        connector = aiohttp.UnixConnector(str(self.configuration.settings.admin.socket))
        wanted = {"issuer": FAR, "tenant": "umbrella", "lasts": 60, **entry}
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.post("http://admin/deny", json=wanted) as response,
        ):
            return response.status


@asynccontextmanager
async def assembled(folder: Path, **changes: Any) -> AsyncIterator[Assembled]:
    """Assemble from files in ``folder`` and serve; ``changes`` are sections of the settings.

    ``leeway`` is that of both issuers.
    """
    async with JwksServer(far_keys()) as issuer:
        settings = settings_in(folder, issuer.url, leeway=changes.pop("leeway", 30)) | changes
        configuration = load_configuration(written(folder, settings), {})
        async with (
            grpc.aio.insecure_channel(str(configuration.settings.listen)) as channel,
            serving(configuration) as sidecar,
        ):
            yield Assembled(sidecar, configuration, channel, issuer)


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, until it is so."""
    async with asyncio.timeout(10):
        while not await holds():
            pass
