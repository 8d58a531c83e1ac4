"""Reads that may not pass, each with a token of its own and its kind in a header of its own."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt

from examples.demo.issuer import Issuer

KIND: Final = "x-kind"
"""The header by which the tool knows what reached it; nobody on the way touches it."""

REVOKED_AGENT: Final = "agent-9"
_SCOPE: Final = "read:customers:7"
_LEGAL: Final = bytes((*range(0x21, 0x7F), *range(0x80, 0x100)))  # RFC 9110, section 5.5


def forged(issuer: Issuer, number: int) -> bytes:
    """Everything right but the signature: by another key, by none, or of another token."""
    match number % 3:
        case 0:
            return _read("forged", _bearer(issuer.mint(_SCOPE, forged=True)))
        case 1:
            claims: dict[str, Any] = jwt.decode(
                issuer.mint(_SCOPE), options={"verify_signature": False}
            )
            unsigned = jwt.encode(claims, "", "none", headers={"kid": issuer.kid})
            return _read("forged", _bearer(unsigned))
        case _:
            head, _, signature = issuer.mint("read:items:1").split(".")
            claims_of_another = issuer.mint(_SCOPE).split(".")[1]
            return _read("forged", _bearer(f"{head}.{claims_of_another}.{signature}"))


def garbage(issuer: Issuer, number: int) -> bytes:
    """What is no token at all, in every way that a header may be filled."""
    chance = random.Random(number)

    def some(length: int) -> bytes:
        return base64.urlsafe_b64encode(chance.randbytes(length)).rstrip(b"=")

    odd = bytes(chance.choices(_LEGAL, k=chance.randint(1, 300)))
    head = base64.urlsafe_b64encode(b'{"alg":"EdDSA","kid":"%s"}' % issuer.kid.encode())
    three = b".".join(some(chance.randint(1, 300)) for _ in range(3))
    values: tuple[tuple[bytes, ...], ...] = (
        (odd,),
        (b"Bearer " + odd,),
        (b"Bearer " + three,),
        (b"Bearer %s.%s.%s" % (head.rstrip(b"="), some(300), some(64)),),
        (b"Bearer " + some(12_000),),
        (b"Bearer " + some(30_000),),
        (b"Bearer Bearer " + three,),
        (b"Bearer " + three, b"Bearer " + three),
        (b"Bearer",),
        (b"Bearer ..",),
        (),
    )
    return _read("garbage", *values[number % len(values)])


def revoked(issuer: Issuer, _: int) -> bytes:
    """A good token of an agent that the deny list has."""
    token = issuer.mint(_SCOPE, agent_id=REVOKED_AGENT, sub=REVOKED_AGENT)
    return _read("revoked", _bearer(token))


def unscoped(issuer: Issuer, number: int) -> bytes:
    """A good token for another customer, or to do something else."""
    scope = "read:customers:8" if number % 2 else "write:customers:7"
    return _read("unscoped", _bearer(issuer.mint(scope)))


KINDS: Final[Mapping[str, Callable[[Issuer, int], bytes]]] = {
    "forged": forged,
    "garbage": garbage,
    "revoked": revoked,
    "unscoped": unscoped,
}


def many(issuer: Issuer, kinds: tuple[str, ...], each: int) -> dict[str, list[bytes]]:
    """``each`` requests of every kind, no two alike where a token can be other than others."""
    return {kind: [KINDS[kind](issuer, number) for number in range(each)] for kind in kinds}


def _bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


def _read(kind: str, *authorization: bytes) -> bytes:
    fields = (b"Authorization: " + value for value in authorization)
    head = f"GET /customers/7 HTTP/1.1\r\nHost: tools.example\r\n{KIND}: {kind}".encode()
    return b"\r\n".join((head, *fields)) + b"\r\n\r\n"
