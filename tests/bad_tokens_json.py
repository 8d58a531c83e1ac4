"""Rows 32 to 52: tokens of another kind, and JSON that parsers read differently."""

from __future__ import annotations

from typing import Final

from sidecar.core.reasons import Reason
from tests.bad_tokens_kit import Case, Guard, Maker, Mint, claiming, dumped, headed, preset
from tests.tokens import ABSENT


def payload(before: bytes, after: bytes) -> Maker:
    """A good token in whose payload one text stands for another."""

    def made(mint: Mint) -> bytes:
        claims = dumped(mint.claims())
        assert before in claims
        return mint.signed(dumped(mint.header()), claims.replace(before, after))

    return made


def two_algorithms(mint: Mint) -> bytes:
    header = dumped(mint.header())
    return mint.signed(header.replace(b"{", b'{"alg":"none",', 1), dumped(mint.claims()))


def two_ends(mint: Mint) -> bytes:
    claims = dumped(mint.claims())
    return mint.signed(
        dumped(mint.header()), claims.replace(b"{", b'{"exp":%d,' % (mint.now + 10**7), 1)
    )


def ending(literal: bytes) -> Maker:
    """``exp`` is this, byte for byte."""

    def made(mint: Mint) -> bytes:
        claims = dumped(mint.claims(exp="here"))
        return mint.signed(dumped(mint.header()), claims.replace(b'"here"', literal))

    return made


def as_payload(mint: Mint, raw: bytes) -> bytes:
    return mint.signed(dumped(mint.header()), raw)


def nested(depth: int) -> Maker:
    """A good token with a claim of so many arrays inside each other."""

    def made(mint: Mint) -> bytes:
        arrays = b"[" * depth + b"]" * depth
        claims = dumped(mint.claims(x="here")).replace(b'"here"', arrays)
        return as_payload(mint, claims)

    return made


def latin(mint: Mint) -> bytes:
    """A claim in Latin-1: no UTF-8."""
    return as_payload(mint, dumped(mint.claims(x="here")).replace(b"here", b"caf\xe9"))


RFC9068 = preset("rfc9068")
AT_JWT: Final = {"header": {"typ": "at+jwt"}, "client_id": "agent-1"}

TYPE, MALFORMED = Reason.TYPE_REFUSED, Reason.TOKEN_MALFORMED
TYPING, TWICE, TEXT, NUMBER = "RFC 8725, 3.11", "RFC 7519, 4", "RFC 8259, 8.1", "RFC 8259, 6"
PASSES: Final = Guard.PASSES

CASES: Final = (
    Case("32", "a DPoP proof by its `typ`", TYPING, TYPE, headed(typ="dpop+jwt")),
    Case(
        "33", "a security event by its `typ`", "RFC 8417, 2.3", TYPE,
        headed(typ="secevent+jwt"),
    ),
    Case(
        "34", "a logout token by its `typ`", "OIDC Back-Channel Logout, 2.4", TYPE,
        headed(typ="logout+jwt"),
    ),
    Case(
        "35", "an ID-JAG, which is a grant, by its `typ`", TYPING, TYPE,
        headed(typ="oauth-id-jag+jwt"),
    ),
    Case(
        "36", "no `typ`, and the profile wants `at+jwt`", "RFC 9068, 4", TYPE,
        claiming(header={"typ": ABSENT}, client_id="agent-1"),
        good=claiming(**AT_JWT), gate=RFC9068,
    ),
    Case(
        "37", "`cty` is `JWT`", "RFC 7519, 5.2", MALFORMED, headed(cty="JWT"), "cty",
    ),
    Case(
        "38", "`zip` is `DEF`", "RFC 8725, 3.6", MALFORMED, headed(zip="DEF"), "zip",
    ),
    Case("39", "`alg` twice", "RFC 7515, 4", MALFORMED, two_algorithms, "header: a member stands"),
    Case(
        "40", "`sub` twice", TWICE, MALFORMED,
        payload(b'"sub":', b'"sub":"somebody","sub":'), "payload: a member stands",
    ),
    Case("41", "`exp` twice", TWICE, MALFORMED, two_ends, "payload: a member stands"),
    Case(
        "42a", "`Alg` beside `alg`", "RFC 7515, 5.3", MALFORMED, headed(Alg="none"),
        "header: a member's name in another case", guard=PASSES,
    ),
    Case(
        "42b", "`SUB` beside `sub`", "RFC 7515, 5.3", MALFORMED, claiming(SUB="boss"),
        "payload: a member's name in another case", guard=PASSES,
    ),
    Case(
        "43", "bytes after the payload's object", TEXT, MALFORMED,
        lambda mint: as_payload(mint, dumped(mint.claims()) + b"{}"), "payload: Extra data",
    ),
    Case(
        "44", "a byte order mark before the payload", TEXT, MALFORMED,
        lambda mint: as_payload(mint, b"\xef\xbb\xbf" + dumped(mint.claims())), "payload:",
    ),
    Case(
        "45", "payload in UTF-16", TEXT, MALFORMED,
        lambda mint: as_payload(mint, dumped(mint.claims()).decode().encode("utf-16")), "payload:",
    ),
    Case("46", "payload that is no UTF-8", TEXT, MALFORMED, latin, "payload: not UTF-8"),
    Case(
        "47", "payload is an array", "RFC 7519, 7.2", MALFORMED,
        lambda mint: as_payload(mint, b"[" + dumped(mint.claims()) + b"]"), "not an object",
    ),
    Case(
        "48", "payload is an empty object", "RFC 7519, 7.2", Reason.ISSUER_UNKNOWN,
        lambda mint: as_payload(mint, b"{}"),
    ),
    Case("49", "`exp` is NaN", NUMBER, MALFORMED, ending(b"NaN"), "NaN is not JSON"),
    Case("50", "`exp` is Infinity", NUMBER, MALFORMED, ending(b"Infinity"), "is not JSON"),
    Case("51", "`exp` is 1e400", NUMBER, MALFORMED, ending(b"1e400"), "beyond a double"),
    Case(
        "52a", "100,000 arrays inside each other", "RFC 8259, 9", MALFORMED,
        nested(100_000), "longer than 8192",
    ),
    Case(
        "52b", "17 arrays and objects inside each other", "RFC 8259, 9", MALFORMED,
        nested(16), "nested deeper than 16", good=nested(15), guard=PASSES,
    ),
)  # fmt: skip
