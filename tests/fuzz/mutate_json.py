"""What is done to a header's or a payload's members, before the right key signs them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from tests.fuzz.issuers import PROFILES, REVISION, THUMBPRINT
from tests.fuzz.json_text import Again, Raw, Tree, copied, places
from tests.tokens import AUDIENCE, NOW

Draw: TypeAlias = random.Random
Mutation: TypeAlias = Callable[[Draw, Tree], str]
"""Changes a tree in place and says how."""

_NOW: Final = int(NOW)

NUMBERS: Final = tuple(
    map(
        Raw,
        (
            *("1e308", "1e309", "-1e308", "5e-324", "1e-400", "-0", "-0.0", "0", "1", "-1", "1.5"),
            *("9223372036854775807", "9223372036854775808", "-9223372036854775809"),
            *("18446744073709551615", "18446744073709551616", "1" + "0" * 400, "0.1", "1E+2"),
            *(
                "NaN",
                "Infinity",
                "-Infinity",
                "01",
                "+1",
                "1.",
                ".5",
                "0x10",
                "1e",
                "1_0",
                "\u0661",
            ),
            *(f"{_NOW}.0", f"{_NOW + 60}.5", "1.80000006e9", "18000000600e-1", f"{_NOW}0e-1"),
            *("0.1000000000000000055511151231257827", "1e-999999999", "0e999999999", f"-{_NOW}"),
        ),
    )
)
TEXTS: Final = (
    *("", " ", "*", "null", "true", "a\0b", "a\r\nb", "\ufeff", "\u202e", "ﬁ", "\u0660", "😀"),
    *(Raw('"\\ud800"'), Raw('"\\udc00\\ud800"'), Raw('"\\u0061"'), Raw('"\t"'), Raw('"\\x41"')),
    *("a" * 255, "a" * 256, "a" * 257, "a" * 4000, "é" * 300, "agent-1,agent-2", "a|b", "../.."),
    *("spiffe://", "spiffe://example.org/", "spiffe://agentwrit.local/a", "http://[::1]:99999/"),
    *(AUDIENCE, f"{AUDIENCE}/", AUDIENCE.upper(), REVISION, THUMBPRINT, THUMBPRINT + "="),
)
OTHERS: Final[tuple[Any, ...]] = (
    *(None, True, False, [], {}, [[]], [None], {"": ""}, Raw(""), Raw("nul"), Raw("undefined")),
    *(Raw("'a'"), Raw("/**/1"), Raw("1,"), Raw('"a" "b"'), Raw("[1,]"), Raw('{"a":1,}')),
    *(Raw("[" * depth + "]" * depth) for depth in (14, 15, 16, 17, 1000)),
    Raw('{"a":' * 15 + "1" + "}" * 15),
)
CLAIMS: Final = (
    *("iss", "sub", "aud", "exp", "nbf", "iat", "jti", "typ", "events", "toe", "at_hash", "htm"),
    *("cnf", "act", "may_act", "delegation_chain", "chain_hash", "policy_version", "status"),
    *("capability_hash", "agent_id", "tenant", "scope", "task_id", "sid", "single_use", "azp"),
    *("client_id", "kubernetes.io", "realm_access", "nonce", "__proto__", "constructor"),
)
HEADERS: Final = (
    *("alg", "kid", "typ", "jku", "x5u", "x5c", "crit", "b64", "enc", "zip", "cty", "jwk"),
    *("x5t", "x5t#S256", "iss", "exp", "p2c", "epk", "svt", "nonce"),
)
ALGORITHMS: Final = (
    *("none", "None", "HS256", "HS512", "EdDSA", "Ed25519", "Ed448", "ES256", "ES384", "ES512"),
    *("ES256K", "RS256", "RS384", "RS512", "PS256", "PS512", "RSA-OAEP", "dir", "eddsa", "ML-DSA"),
)
TYPES: Final = (
    *("JWT", "at+jwt", "AT+JWT", "application/at+jwt", "application/", "jose", "JOSE+JSON"),
    *("dpop+jwt", "logout+jwt", "secevent+jwt", "wit+jwt", "wpt+jwt", "jwt\0", "J\u017fON"),
)


def any_value(draw: Draw) -> Tree:
    """Something that nobody expects."""
    return copied(draw.choice(draw.choice((NUMBERS, TEXTS, OTHERS))))


def _place(draw: Draw, tree: Tree) -> tuple[Any, Any] | None:
    found = places(tree)
    return draw.choice(found) if found else None


def replace_value(draw: Draw, tree: Tree) -> str:
    place = _place(draw, tree)
    if place:
        place[0][place[1]] = any_value(draw)
    return f"value of {place and place[1]}"


def delete(draw: Draw, tree: Tree) -> str:
    place = _place(draw, tree)
    if place:
        del place[0][place[1]]
    return f"without {place and place[1]}"


def wrap(draw: Draw, tree: Tree) -> str:
    place = _place(draw, tree)
    if place:
        value = place[0][place[1]]
        choices = ([value], {"a": value}, [value, value], [value, "b"], str(value), {"": value})
        place[0][place[1]] = draw.choice(choices)
    return f"wrapped {place and place[1]}"


def twice(draw: Draw, tree: Tree) -> str:
    objects = [one for one, key in places(tree) if isinstance(one, dict) and isinstance(key, str)]
    if not objects:
        return "nothing twice"
    members = draw.choice(objects)
    name = draw.choice(list(members))
    members[Again(str(name))] = draw.choice((members[name], any_value(draw)))
    return f"{str(name)[:20]} twice"


_SPELLINGS: Final[tuple[Callable[[str], str], ...]] = (
    str.upper,
    str.title,
    lambda name: f"{name} ",
    lambda name: f"{name}\0",
    lambda name: name.replace("s", "\u017f").replace("k", "\u212a"),  # both fold to ASCII
    lambda name: name[:-1],
)


def rename(draw: Draw, tree: Tree) -> str:
    if not isinstance(tree, dict) or not tree:
        return "no name"
    name = draw.choice(list(tree))
    spelled = draw.choice(_SPELLINGS)(str(name))
    value = tree[name]
    if draw.random() < 0.5:
        del tree[name]
    tree[spelled] = value
    return f"{str(name)[:20]} as {spelled[:20]!r}"


def adder(names: tuple[str, ...]) -> Mutation:
    """Adds a member that means something to somebody."""

    def add(draw: Draw, tree: Tree) -> str:
        name = draw.choice(names)
        if isinstance(tree, dict):
            tree[name] = any_value(draw)
        return f"added {name}"

    return add


def dates(draw: Draw, tree: Tree) -> str:
    """Dates around every limit there is, most of them well-formed."""
    name = draw.choice(("exp", "nbf", "iat"))
    offset = draw.choice((0, 1, -1, 5, -5, 6, -30, -31, -60, -61, 60, 270, 271, 300, 301, 86_400))
    value: Any = _NOW + offset
    if draw.random() < 0.3:
        value = draw.choice((value + 0.5, value + 1e-6, float(value), Raw(f"{value}e0"), -value))
    tree[name] = value
    if name == "exp" and draw.random() < 0.5:
        tree["iat"] = _NOW + offset - draw.choice((0, 1, 300, 301))
    return f"{name} {offset:+}"


def issuer(draw: Draw, tree: Tree) -> str:
    name = draw.choice((*PROFILES, "https://unknown.example", "https://issuer.example/"))
    tree["iss"] = draw.choice(
        (name, name.upper(), name + "\0", [name], name.replace("s", "\u017f"))
    )
    return "another iss"


def audience(draw: Draw, tree: Tree) -> str:
    items = (AUDIENCE, "https://mail.test", "*", "", f"{AUDIENCE}/", None, 1, [AUDIENCE])
    several = [draw.choice(items) for _ in range(draw.choice((0, 1, 2, 3)))]
    tree["aud"] = draw.choice((several, draw.choice(items), {AUDIENCE: True}))
    return "another aud"


def scopes(draw: Draw, tree: Tree) -> str:
    parts = ("read", "write", "delete", "orders", "files", "*", "o-1", "a:b", "ö", "", "read,write")
    words = [
        ":".join(draw.choice(parts) for _ in range(draw.choice((2, 3, 3, 3, 4))))
        for _ in range(draw.choice((0, 1, 2, 3, 100, 101)))
    ]
    tree["scope"] = draw.choice((words, " ".join(words), ",".join(words), "  ".join(words)))
    return f"{len(words)} scopes"


def identity(draw: Draw, tree: Tree) -> str:
    """Claims of who it is, with values that are well-formed but others'."""
    name = draw.choice(("sub", "tenant", "agent_id", "single_use", "typ", "jti", "sid", "task_id"))
    values = ("planner", "globex", "acme", True, "Bearer", "DPoP", "ID", "Refresh", "root")
    tree[name] = draw.choice((*values, "spiffe://example.org/agent/planner"))
    return f"another {name}"


def actor(draw: Draw, tree: Tree) -> str:
    """Actors, most of them well-formed, each perhaps with another issuer or an end of its own."""
    deep = draw.choice((1, 1, 2, 5, 6))
    act: Tree = {}
    for _ in range(deep):
        act = {"sub": draw.choice(("planner", "a", "")), **({"act": act} if act else {})}
        if draw.random() < 0.5:
            act["iss"] = draw.choice((*PROFILES, "https://unknown.example"))
        if draw.random() < 0.2:
            act["exp"] = _NOW + draw.choice((1, 600))
    tree["act"] = act
    return f"{deep} actors"


def stale(draw: Draw, tree: Tree) -> str:
    name = draw.choice(("policy_version", "capability_hash"))
    tree[name] = draw.choice((REVISION, "1" * 16, THUMBPRINT, "unknown"))
    return f"another {name}"


def header_value(draw: Draw, tree: Tree) -> str:
    """Header members with values that somebody takes."""
    name = draw.choice(("alg", "typ", "kid", "crit"))
    if name == "crit":
        tree["crit"] = draw.choice((["b64"], ["exp"], [], ["alg", "alg"]))
        tree["b64"] = draw.choice((False, True))
        return "crit"
    choices = {"alg": ALGORITHMS, "typ": TYPES, "kid": ("", "a" * 257, "../../dev/null", "k\0")}
    tree[name] = draw.choice(choices[name])
    return f"{name} {tree[name][:20]!r}"


ANYWHERE: Final[tuple[Mutation, ...]] = (replace_value, delete, wrap, twice, rename)
ON_CLAIMS: Final[tuple[Mutation, ...]] = (
    *ANYWHERE,
    *(adder(CLAIMS), dates, dates, issuer, audience, scopes, identity, actor, stale),
)
ON_HEADERS: Final[tuple[Mutation, ...]] = (*ANYWHERE, adder(HEADERS), header_value, header_value)
