"""Tokens as large as a gate takes them, filled with what costs most to look at."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from sidecar.core.bearer import MAX_TOKEN_BYTES
from sidecar.core.dpop import MAX_PROOF_BYTES
from tests.chains import before, chain_claims, make_record
from tests.fuzz.draft import Draft, Jot
from tests.fuzz.json_text import Raw, write
from tests.tokens import AUDIENCE

Filler = Callable[[int], tuple[str, Any]]
"""Takes a number of bytes; a claim's name, and a value that takes about as many."""


def _array(item: str) -> Filler:
    def filled(size: int) -> tuple[str, Any]:
        return "filler", Raw(f"[{','.join([item] * max(1, (size - 2) // (len(item) + 1)))}]")

    return filled


def _text(item: str) -> Filler:
    return lambda size: ("filler", Raw(f'"{item * (size // len(item))}"'))


def _members(size: int) -> tuple[str, Any]:
    return "filler", {f"{n:x}": 0 for n in range(size // 8)}


def _claims(size: int) -> tuple[str, Any]:
    return "filler", {f"\u017f{n:x}": Raw("0") for n in range(size // 12)}


def _nested(size: int) -> tuple[str, Any]:
    one = "[" * 13 + "]" * 13
    return "filler", Raw(f"[{','.join([one] * max(1, size // 27))}]")


def _scopes(size: int) -> tuple[str, Any]:
    return "scope", [f"read:orders:{n:07}" for n in range(min(100, size // 22))]


def _long_scopes(size: int) -> tuple[str, Any]:
    return "scope", ["read:orders:" + "a" * 200 + str(n) for n in range(size // 220)]


def _audiences(size: int) -> tuple[str, Any]:
    return "aud", [*(f"a{n}" for n in range(size // 8)), AUDIENCE]


def _actors(size: int) -> tuple[str, Any]:
    act: dict[str, Any] = {"sub": "a"}
    for n in range(4):
        act = {"sub": f"a{n}", "act": act, "filler": "a" * (size // 6)}
    return "act", act


_FILLERS: Final[tuple[Filler, ...]] = (
    *map(_array, ("1.5", "1e9", "1e-300", "0.1", "[]", "{}", '""', "0", "null", "-9e99", '"é"')),
    *map(_array, ("12345678901234567890", "1.7976931348623157e308", "2.2250738585072014e-308")),
    *map(_text, ("a", "\\u0000", "\\ud83d\\ude00", "é", '\\"', "\\\\", "{[,")),
    *(_members, _claims, _nested, _scopes, _long_scopes, _audiences, _actors),
)


def _fill(draw: random.Random, jot: Jot, limit: int) -> str:
    """Grow a JWS to about so many bytes."""
    size = len(write(jot.header)) + len(write(jot.claims)) + len(jot.by.sign(b""))
    free = limit * 3 // 4 - size - draw.choice((8, 8, 8, -8))
    name, value = draw.choice(_FILLERS)(max(0, free))
    jot.claims[name] = value
    return f"{name} of {free} bytes"


def size(draw: random.Random, draft: Draft) -> None:
    """Grow the token, its proof, or the chain."""
    if "delegation_chain" in draft.token.claims and draw.random() < 0.7:
        draft.how.append(_chain(draw, draft))
        return
    draft.how.append(_fill(draw, draft.token, MAX_TOKEN_BYTES))
    if draft.proof is not None and draw.random() < 0.7:
        draft.how.append("proof: " + _fill(draw, draft.proof, MAX_PROOF_BYTES))


def _chain(draw: random.Random, draft: Draft) -> str:
    """Five records of as many scopes as fit; all is right, and all of it must be looked at."""
    claims = draft.token.claims
    hops = draw.choice((1, 2, 5, 5, 5))
    room = draw.choice((5200, 5300, 5400)) - 250 * hops
    each = draw.choice((100, max(1, room // (hops + 1) // 16)))
    held = [f"a:b:{n:02}" for n in range(each)]
    scope = draw.choice((held, ["read:orders:*", *held]))
    claims |= chain_claims([make_record(f"agent-{n}", scope, before(100 - n)) for n in range(hops)])
    claims["scope"] = scope
    return f"chain of {hops} with {each} scopes each"
