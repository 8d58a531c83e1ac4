"""What the table of bad tokens is made of: who mints, what a caller sends, what a row says.

A row does not know where it is played: before the pipeline with a clock that stands still, or
before a real Envoy whose guard has to do alone. Both hand it a ``Mint``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from sidecar.config.profiles import PRESETS
from sidecar.core.reasons import Reason
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from sidecar.generation import Live
from sidecar.pipeline import Pipeline
from tests.fakes_keys import FakeKeys
from tests.gate import Gate, check
from tests.tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    Signer,
    make_claims,
    make_header,
    make_profile,
    sign_compact,
    signer,
)
from tests.values import StillClock

PROFILE_MEMBERS: Final = (
    "types", "claims", "required", "delegation", "key_uses", "plain_header",
)  # fmt: skip


def dumped(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Mint:
    """An issuer, and the one call for which its tokens are made."""

    issuer: str
    audience: str
    by: Signer
    now: int
    scope: tuple[str, ...]
    """The first one covers the call."""
    url: str
    """What is called."""

    def claims(self, **overrides: Any) -> dict[str, Any]:
        """The claims of a good token, but for ``overrides``."""
        own = {"iss": self.issuer, "aud": self.audience, "scope": list(self.scope)}
        return make_claims(now=self.now, **{**own, **overrides})

    def header(self, **overrides: Any) -> dict[str, Any]:
        return make_header(self.by, **overrides)

    def token(
        self, *, header: Mapping[str, Any] | None = None, by: Signer | None = None, **claims: Any
    ) -> bytes:
        """A good token, but for what is said; another signer keeps the header."""
        return self.signed(
            dumped(self.header(**(header or {}))), dumped(self.claims(**claims)), by=by
        )

    def signed(self, header: bytes, payload: bytes, *, by: Signer | None = None) -> bytes:
        """Any two byte strings with the issuer's signature, or somebody else's."""
        return sign_compact(header, payload, by=by or self.by)


CLOSED_LANE: Final = Mint(
    ISSUER,
    AUDIENCE,
    signer(),
    int(NOW),
    ("read:orders:*", "write:orders:o-1"),
    "https://orders.test/orders/o-1",
)
"""Mints for a ``Gate``."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a caller sends beside method and path, and what Envoy says of its connection."""

    headers: tuple[tuple[str, bytes], ...]
    query: str = ""
    principal: str = ""


Maker: TypeAlias = Callable[[Mint], bytes | Sent]
"""Makes a token, or all that is sent."""


def good_token(mint: Mint) -> bytes:
    return mint.token()


def headed(**header: Any) -> Maker:
    """A good token with other members in its header."""
    return lambda mint: mint.token(header=header)


def claiming(**claims: Any) -> Maker:
    """A good token with other claims."""
    return lambda mint: mint.token(**claims)


def dated(**seconds: float) -> Maker:
    """A good token with dates so many seconds from now."""

    def made(mint: Mint) -> bytes:
        dates: dict[str, Any] = {name: mint.now + at for name, at in seconds.items()}
        return mint.token(**dates)

    return made


def sent_by(maker: Maker, mint: Mint) -> Sent:
    made = maker(mint)
    return made if isinstance(made, Sent) else Sent((("authorization", b"Bearer " + made),))


def closed_check(sent: Sent) -> bytes:
    """The ``CheckRequest`` of a read through the closed lane."""
    path = "/orders/o-1" + (f"?{sent.query}" if sent.query else "")
    request = pb.CheckRequest.FromString(check(path=path, token=b""))
    for name, value in sent.headers:
        added = request.attributes.request.http.header_map.headers
        added.add(key=name.encode(), raw_value=value)
    request.attributes.source.principal = sent.principal.encode()
    return request.SerializeToString()


def gate(**profile: Any) -> Callable[[], Gate]:
    """Gates whose issuer has this profile."""
    return lambda: Gate(profile=profile)


def preset(name: str, **more: Any) -> Callable[[], Gate]:
    """Gates whose issuer has a profile that scopegate ships, as far as it says how tokens look."""
    looks = {member: getattr(PRESETS[name], member) for member in PROFILE_MEMBERS}
    return gate(**{**looks, **more})


def publishing(*signers: Signer) -> Callable[[], Gate]:
    """Gates whose issuer has these keys."""

    def made() -> Gate:
        clock = StillClock()
        keys = FakeKeys(clock)
        keys.publish(ISSUER, dumped({"keys": [one.jwk for one in signers]}))
        keys.refresh(ISSUER)
        return Gate(clock=clock, keys=keys)

    return made


OTHER_ISSUER: Final = "https://other.test"


class TwoIssuers(Gate):
    """A gate that trusts a second issuer, which has keys of its own."""

    signers: tuple[Signer, ...] = ()

    def pipeline(self) -> Pipeline:
        one = super().pipeline()
        assert isinstance(one.keys, FakeKeys)
        one.keys.publish(OTHER_ISSUER, dumped({"keys": [by.jwk for by in self.signers]}))
        one.keys.refresh(OTHER_ISSUER)
        before = one.live.current
        issuers = {**before.issuers, OTHER_ISSUER: make_profile(issuer=OTHER_ISSUER)}
        return replace(one, live=Live(replace(before, issuers=MappingProxyType(issuers))))


class Guard(Enum):
    """What Envoy's guard and ``strict`` do with a row, while the sidecar is dead."""

    REFUSES = "refuses"
    PASSES = "passes"
    LEEWAY = "passes within its second of leeway"
    NO_LANE = "has no open lane for it"
    NOT_SENT = "no HTTP header can hold it"


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a bad token, and the good one of its kind."""

    number: str
    """Of the table of facts, and a letter where it has several tokens."""
    what: str
    standard: str
    """Who says that it is bad, and where."""
    reason: Reason | None
    """What the gate says; None: it passes."""
    bad: Maker
    detail: str = ""
    """What the record says of it: part of the refusal's detail."""
    good: Maker = good_token
    gate: Callable[[], Gate] = Gate
    guard: Guard = Guard.REFUSES
    after_good: bool = False
    """It is bad only because the good one went before it."""

    def __str__(self) -> str:
        return self.number
