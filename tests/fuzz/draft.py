"""A request in the making: what is changed before the right key signs, and what after."""

from __future__ import annotations

import random
from base64 import encodebytes
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, TypeAlias
from urllib.parse import quote_from_bytes

from tests.fuzz.case import PATHS, Case
from tests.fuzz.issuers import AGENT, CERTIFICATE, HOP, Good
from tests.fuzz.json_text import Tree, copied, write
from tests.fuzz.mutate_bytes import Change
from tests.tokens import NOW, Signer, base64url, sign_compact

Draw: TypeAlias = random.Random
Sender: TypeAlias = Callable[[bytes, bytes], list[tuple[str, bytes]]]
"""Takes the scheme and the token, and gives the headers that carry them."""


@dataclass(slots=True)
class Jot:
    """A compact JWS in the making: a token, or a proof."""

    header: Tree
    claims: Tree
    by: Signer
    on_text: list[tuple[int, Change]] = field(default_factory=list)
    """Of the header (0) or the payload (1)."""
    on_token: list[Change] = field(default_factory=list)

    def made(self, draw: Draw) -> bytes:
        """Sign, and change what was signed."""
        ascii_only = draw.random() < 0.5
        texts = [
            write(tree, ascii_only=ascii_only).encode("utf-8", "surrogatepass")
            for tree in (self.header, self.claims)
        ]
        for part, change in self.on_text:
            texts[part] = change(draw, texts[part])
        token = sign_compact(*texts, by=self.by)
        for change in self.on_token:
            token = change(draw, token)
        return token


def as_authorization(scheme: bytes, token: bytes) -> list[tuple[str, bytes]]:
    """The one header that a token belongs in."""
    return [("authorization", scheme + b" " + token)]


@dataclass(slots=True)
class Draft:
    """All of a request; as it begins, it passes."""

    good: Good
    token: Jot
    route: str = "orders"
    query: str = ""
    principal: str = ""
    certificate: bytes = b""
    scheme: bytes = b"Bearer"
    send: Sender = as_authorization
    proof: Jot | None = None
    ath: Any = None
    """Of the proof; None: what it should be."""
    extra: list[tuple[str, bytes]] = field(default_factory=list)
    how: list[str] = field(default_factory=list)

    def case(self, draw: Draw) -> Case:
        """What is sent in the end."""
        token = self.token.made(draw)
        headers = self.send(self.scheme, token)
        if self.proof is not None:
            ath = base64url(sha256(token).digest()).decode()
            if isinstance(self.proof.claims, dict) and "ath" in self.proof.claims:
                self.proof.claims["ath"] = ath if self.ath is None else self.ath
            headers.append(("dpop", self.proof.made(draw)))
        how = "; ".join((self.good.name, *self.how))
        where = (self.route, self.query, self.principal, self.certificate)
        return Case(how, (*headers, *self.extra), *where)


def begun(good: Good) -> Draft:
    """A request with a good token, and with whatever that token wants beside it."""
    token = Jot(copied(dict(good.header)), copied(dict(good.claims)), good.by)
    draft = Draft(good, token)
    if good.holder is not None:
        draft.scheme, draft.proof = b"DPoP", proof_by(good.holder)
    if good.certified:
        draft.principal = HOP
        digest = sha256(CERTIFICATE).hexdigest()
        element = f'By={HOP};Hash={digest};Subject="CN=a,O=b";URI={AGENT}'
        draft.extra.append(("x-forwarded-client-cert", element.encode()))
    return draft


def proof_by(holder: Signer) -> Jot:
    """A good proof for a read through the first route (RFC 9449, section 4.2)."""
    jwk = holder.jose.as_dict(private=False)
    header = {"typ": "dpop+jwt", "alg": holder.algorithm, "jwk": jwk}
    url = f"https://orders.test{PATHS['orders']}"
    claims = {"jti": "p-1", "htm": "GET", "htu": url, "iat": int(NOW), "ath": ""}
    return Jot(header, claims, holder)


def peer_certificate(der: bytes) -> bytes:
    """A certificate as Envoy sends it with ``include_peer_certificate``."""
    text = b"-----BEGIN CERTIFICATE-----\n" + encodebytes(der) + b"-----END CERTIFICATE-----\n"
    return quote_from_bytes(text).encode()
