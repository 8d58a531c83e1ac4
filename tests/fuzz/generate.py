"""One case for every seed and number: the same one in every run."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final, TypeAlias

from tests.fuzz.case import PATHS, Case
from tests.fuzz.draft import Draft, begun
from tests.fuzz.issuers import GOODS, SIGNERS
from tests.fuzz.keys import fuzz_key
from tests.fuzz.mutate_bytes import ON_TEXT, ON_TOKEN
from tests.fuzz.mutate_caller import caller, credential, proof
from tests.fuzz.mutate_chain import chain
from tests.fuzz.mutate_json import ON_CLAIMS, ON_HEADERS
from tests.fuzz.mutate_size import size
from tests.tokens import NOW

Draw: TypeAlias = random.Random
Family: TypeAlias = Callable[[Draw, Draft], None]


def _claims(draw: Draw, draft: Draft) -> None:
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        draft.how.append(draw.choice(ON_CLAIMS)(draw, draft.token.claims))


def _header(draw: Draw, draft: Draft) -> None:
    for _ in range(draw.choice((1, 1, 2))):
        draft.how.append("header: " + draw.choice(ON_HEADERS)(draw, draft.token.header))


def _text(draw: Draw, draft: Draft) -> None:
    part, change = draw.randrange(2), draw.choice(ON_TEXT)
    draft.token.on_text.append((part, change))
    draft.how.append(f"{('header', 'payload')[part]} text{change.__name__}")


def _bytes(draw: Draw, draft: Draft) -> None:
    for _ in range(draw.choice((1, 1, 1, 2))):
        change = draw.choice(ON_TOKEN)
        draft.token.on_token.append(change)
        draft.how.append(f"token{change.__name__}")


def _key(draw: Draw, draft: Draft) -> None:
    """Signed by somebody else, with or without his name and algorithm."""
    issuers = draw.choice((list(SIGNERS), [draft.good.issuer]))
    own = list(SIGNERS[draw.choice(issuers)].values())
    draft.token.by = draw.choice((draw.choice(own), fuzz_key("EdDSA", "thief")))
    said = draw.choice(("", "kid", "alg", "both"))
    if said in ("kid", "both"):
        draft.token.header["kid"] = draft.token.by.kid
    if said in ("alg", "both"):
        draft.token.header["alg"] = draft.token.by.algorithm
    draft.how.append(f"signed by {draft.token.by.kid}, says {said or 'nothing'}")


def _route(draw: Draw, draft: Draft) -> None:
    draft.route = draw.choice(tuple(PATHS))
    if draw.random() < 0.5:  # too long ago for a sensitive read, and for nothing else
        draft.token.claims |= {"iat": int(NOW) - 61, "exp": int(NOW) + 60}
    draft.how.append(f"through {draft.route}")


def _nothing(draw: Draw, draft: Draft) -> None:
    del draw, draft


_FAMILIES: Final[dict[Family, int]] = {
    _claims: 36,
    _header: 12,
    _text: 6,
    _bytes: 14,
    _key: 4,
    chain: 8,
    proof: 8,
    caller: 7,
    credential: 3,
    size: 5,
    _route: 5,
    _nothing: 2,
}
_NAMES: Final = tuple(_FAMILIES)
_WEIGHTS: Final = tuple(_FAMILIES.values())


def case_of(seed: int, number: int) -> Case:
    """The case of that number; ``how`` begins with both, so that it can be made again."""
    draw = random.Random(f"{seed}:{number}")
    good = draw.choice(GOODS)
    families = draw.choices(_NAMES, _WEIGHTS, k=draw.choice((1, 1, 1, 2)))
    if chain in families and "delegation_chain" not in good.claims and draw.random() < 0.9:
        good = draw.choice(_WITH_CHAIN)
    draft = begun(good)
    draft.how.append(f"seed {seed}, number {number}")
    # The others read what a header or a claim holds, and any of these may take it away.
    for family in sorted(families, key=_NAMES.index, reverse=True):
        family(draw, draft)
    return draft.case(draw)


_WITH_CHAIN: Final = tuple(good for good in GOODS if "delegation_chain" in good.claims)
