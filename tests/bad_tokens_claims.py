"""Rows 53 to 82: dates, audience, issuer, names and scopes."""

from __future__ import annotations

from typing import Final

from sidecar.core.reasons import Reason
from tests.bad_tokens_kit import (
    OTHER_ISSUER,
    Case,
    Guard,
    Maker,
    Mint,
    TwoIssuers,
    claiming,
    dated,
    gate,
)
from tests.gate import Gate
from tests.tokens import ABSENT, signer

STRANGER: Final = signer(name="stranger")
BILLING: Final = "https://billing.test"
NAMESAKE: Final = signer(name="namesake")


def for_audience(*more: object, suffix: str = "", own: bool = True) -> Maker:
    def made(mint: Mint) -> bytes:
        mine = mint.audience + suffix
        return mint.token(aud=[*((mine,) if own else ()), *more] if more or not own else mine)

    return made


def issued_by(form: str) -> Maker:
    return lambda mint: mint.token(iss=form.format(mint.issuer))


def with_scopes(*words: str, count: int = 1) -> Maker:
    """A token that holds what it should, and these."""
    return lambda mint: mint.token(scope=[*mint.scope, *words * count])


def many_scopes(mint: Mint) -> bytes:
    return mint.token(scope=[mint.scope[0]] * 300)


def scope_string(mint: Mint) -> bytes:
    return mint.token(scope=" ".join(mint.scope))


def scope_list_of_lists(mint: Mint) -> bytes:
    return mint.token(scope=[" ".join(mint.scope)])


def scope_object(mint: Mint) -> bytes:
    return mint.token(scope=dict.fromkeys(mint.scope, True))


def apart() -> Gate:
    """The other issuer has a key that the first one does not have."""
    made = TwoIssuers()
    made.signers = (STRANGER,)
    return made


def namesakes() -> Gate:
    """The other issuer has another key under the same kid."""
    made = TwoIssuers()
    made.signers = (NAMESAKE,)
    return made


def by_namesake(mint: Mint) -> bytes:
    return mint.token(iss=OTHER_ISSUER, by=NAMESAKE, header={"kid": NAMESAKE.kid})


def in_name_of_other(mint: Mint) -> bytes:
    return mint.token(iss=OTHER_ISSUER)


def in_name_of_namesake(mint: Mint) -> bytes:
    return mint.token(iss=OTHER_ISSUER, header={"kid": NAMESAKE.kid})


def by_other(mint: Mint) -> bytes:
    return mint.token(iss=OTHER_ISSUER, by=STRANGER, header={"kid": STRANGER.kid})


CLAIM, EARLY, AUDIENCE = Reason.CLAIM_INVALID, Reason.TOKEN_NOT_YET_VALID, Reason.AUDIENCE_REFUSED
UNKNOWN, EXPIRED = Reason.ISSUER_UNKNOWN, Reason.TOKEN_EXPIRED
EXP, NBF, IAT, AUD = "RFC 7519, 4.1.4", "RFC 7519, 4.1.5", "RFC 7519, 4.1.6", "RFC 7519, 4.1.3"
ISS, SCOPE = "RFC 8725, 3.8", "RFC 6749, 3.3"
PASSES: Final = Guard.PASSES

CASES: Final = (
    Case("53", "no `exp`", "RFC 9068, 2.2", CLAIM, claiming(exp=ABSENT), "exp"),
    Case("54", "expired", EXP, EXPIRED, dated(iat=-300, nbf=-300, exp=-60)),
    Case("55", "`exp` is now", EXP, EXPIRED, dated(iat=-9, exp=0), guard=Guard.LEEWAY),
    Case("56", "`exp` is a string", EXP, CLAIM, claiming(exp="1800000300"), "exp"),
    Case("57", "`exp` has a fraction", "RFC 7519, 2", None, dated(exp=299.5), guard=PASSES),
    Case("58a", "`exp` is true", EXP, CLAIM, claiming(exp=True), "exp"),
    Case("58b", "`exp` is negative", EXP, EXPIRED, claiming(exp=-1)),
    Case(
        "59", "lives for 100 years", "scopegate", Reason.LIFETIME_EXCEEDED,
        dated(exp=100 * 31_557_600.0),
    ),
    Case("60", "`nbf` lies in the future", NBF, EARLY, dated(nbf=60), "nbf"),
    Case("61", "`nbf` is no number", NBF, CLAIM, claiming(nbf="soon"), "nbf"),
    Case("62a", "`iat` in one hour", IAT, EARLY, dated(iat=3600, exp=3800), "iat"),
    Case("62b", "`iat` in one minute", IAT, EARLY, dated(iat=60), "iat", guard=PASSES),
    Case("63", "no `iat`", "RFC 9068, 2.2", CLAIM, claiming(iat=ABSENT), "iat"),
    Case("64a", "`exp` before `iat`", IAT, EARLY, dated(iat=20, exp=10), "iat", guard=PASSES),
    Case(
        "64b", "`exp` before `iat`, both within the leeway", IAT, CLAIM, dated(iat=20, exp=10),
        "exp is not after iat", good=dated(iat=20, exp=40), gate=gate(leeway=30.0), guard=PASSES,
    ),
    Case("65", "no `aud`", "RFC 8725, 3.9", AUDIENCE, claiming(aud=ABSENT)),
    Case("66", "`aud` is another one", AUD, AUDIENCE, claiming(aud=BILLING)),
    Case("67a", "`aud` is `*`", AUD, AUDIENCE, claiming(aud="*")),
    Case("67b", "`aud` holds `*` beside ours", AUD, AUDIENCE, for_audience("*")),
    Case("68", "`aud` is empty", AUD, AUDIENCE, for_audience(own=False)),
    Case("69", "`aud` begins with ours", AUD, AUDIENCE, for_audience(suffix="-admin")),
    Case("70", "`aud` holds a number beside ours", AUD, AUDIENCE, for_audience(7)),
    Case("71a", "several audiences", AUD, None, for_audience(BILLING), guard=PASSES),
    Case(
        "71b", "several audiences, and the profile takes one", "RFC 9068, 3", AUDIENCE,
        for_audience(BILLING), gate=gate(single_audience=True), guard=PASSES,
    ),
    Case("72", "no `iss`", ISS, UNKNOWN, claiming(iss=ABSENT)),
    Case("73", "`iss` is another one", ISS, UNKNOWN, claiming(iss="https://elsewhere.test")),
    Case("74", "`iss` with a slash at its end", ISS, UNKNOWN, issued_by("{}/")),
    Case("75", "`iss` is an array", "RFC 7519, 4.1.1", CLAIM, claiming(iss=["a", "b"]), "iss"),
    Case(
        "76a", "one issuer's key and `kid`, another's `iss`", ISS, Reason.KEY_UNKNOWN,
        in_name_of_other, good=by_other, gate=apart,
    ),
    Case(
        "76b", "one issuer's key, another's `iss` and `kid`", ISS, Reason.SIGNATURE_INVALID,
        in_name_of_namesake, good=by_namesake, gate=namesakes,
    ),
    Case("77", "no `sub`", "RFC 9068, 2.2", CLAIM, claiming(sub=ABSENT), "sub"),
    Case("78", "`sub` is a number", "RFC 7519, 4.1.2", CLAIM, claiming(sub=7), "sub"),
    Case("79a", "no `jti`", "RFC 9068, 2.2", CLAIM, claiming(jti=ABSENT), "jti"),
    Case("79b", "`jti` is a number", "RFC 7519, 4.1.7", CLAIM, claiming(jti=7), "jti"),
    Case(
        "79c", "a line end in what becomes a header", "RFC 9110, 5.5", CLAIM,
        claiming(agent_id="a\r\nx-agent-tenant: b"), "agent_id",
    ),
    Case("80", "no `scope`", SCOPE, CLAIM, claiming(scope=ABSENT), "scope"),
    Case(
        "81a", "`scope` is a string, not an array", "RFC 9068, 2.2.3", None, scope_string,
        guard=PASSES,
    ),
    Case(
        "81b", "`scope` is an array of a list in one string", SCOPE, CLAIM, scope_list_of_lists,
        "scope",
    ),
    Case("81c", "`scope` is an object", SCOPE, CLAIM, scope_object, "scope"),
    Case(
        "82a", "a scope of two parts", SCOPE, CLAIM, with_scopes("read:orders"), "scope",
    ),
    Case(
        "82b", "a scope with an empty part", SCOPE, CLAIM, with_scopes("read::o"), "scope",
    ),
    Case(
        "82c", "a scope for every action", SCOPE, CLAIM, with_scopes("*:orders:o"), "scope",
    ),
    Case(
        "82d", "a line end in a scope", SCOPE, CLAIM, with_scopes("read:a:b\n"), "scope",
    ),
    Case("82e", "300 scopes", SCOPE, CLAIM, many_scopes, "scope", guard=PASSES),
)  # fmt: skip
