"""Proofs of possession: every check of RFC 9449, section 4.3; bad tokens 90 to 96."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sidecar.core.dpop import MAX_PROOF_BYTES, DpopRules, check_proof, origin_of
from sidecar.core.model import Proof, Refused, Request
from sidecar.core.reasons import Reason
from tests import proofs
from tests.proofs import URL, public_jwk
from tests.requests import make_request
from tests.tokens import ABSENT, ALGORITHMS, NOW, Signer, base64url, sign_compact, signer

TOKEN = b"header.payload.signature"
RULES = DpopRules()
OTHER_KEY = signer(name="2")
make_proof = partial(proofs.make_proof, TOKEN)


def check(
    *headers: bytes,
    by: Signer | None = None,
    rules: DpopRules = RULES,
    now: float = NOW,
    **overrides: Any,
) -> Proof | Refused:
    """Check proofs for a GET of ``URL`` whose token is bound to the key of ``by``."""
    request = make_request(headers={"dpop": headers}, **overrides)
    return check_proof(request, TOKEN, (by or signer()).thumbprint, rules, now=now)


def why(answer: Proof | Refused) -> str:
    """The detail of a refusal that must be one."""
    assert isinstance(answer, Refused), answer
    assert answer.reason is Reason.DPOP_REFUSED
    return answer.detail


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_check_proof_returns_proof_when_every_check_passes(algorithm: str) -> None:
    """What it says of itself is kept, and until when it has to be remembered."""
    by = signer(algorithm)

    proof = check(make_proof(by=by), by=by)

    assert proof == Proof(by.thumbprint, "proof-1", NOW, NOW + 65)


# RFC 9449, sections 4.1, 6.1 and 7.1; the proof for the token endpoint has no ath.
RFC_KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
RFC_TOKEN = b"Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_HEAD = (
    b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNo"
    b"UklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERW"
    b"clUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19."
)
RFC_AT_RESOURCE = RFC_HEAD + (
    b"eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxl"
    b"Lm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0Ji"
    b"MHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVn"
    b"mcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
RFC_AT_TOKEN_ENDPOINT = RFC_HEAD + (
    b"eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUu"
    b"Y29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdL"
    b"XiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)


def test_check_proof_takes_the_proof_of_the_rfc_at_its_time() -> None:
    """RFC 9449, section 7.1: a proof that we did not make."""
    request = make_request(
        "/protectedresource", host="resource.example.org", headers={"dpop": (RFC_AT_RESOURCE,)}
    )

    proof = check_proof(request, RFC_TOKEN, RFC_KEY, RULES, now=1_562_262_620)

    assert proof == Proof(RFC_KEY, "e1j3V_bKic8-LAEB", 1_562_262_618, 1_562_262_683)


def test_check_proof_refuses_when_the_proof_was_for_the_token_endpoint() -> None:
    """RFC 9449, section 4.2: right key, signature, method and URI, and no ath."""
    request = make_request(
        "/token",
        method="POST",
        host="server.example.com",
        headers={"dpop": (RFC_AT_TOKEN_ENDPOINT,)},
    )

    refused = check_proof(request, RFC_TOKEN, RFC_KEY, RULES, now=1_562_262_620)

    assert why(refused) == "ath is another token's"


def test_check_proof_refuses_when_there_is_no_header() -> None:
    """90: a token that is bound to a key is nothing without a proof."""
    assert why(check()) == "0 DPoP headers"


def test_check_proof_refuses_when_there_are_two_headers() -> None:
    """RFC 9449, 4.3 (1): else the tool could read the other one."""
    assert why(check(make_proof(), make_proof())) == "2 DPoP headers"


@pytest.mark.parametrize("htm", ["POST", "get", "", 1, None, ["GET"], ABSENT])
def test_check_proof_refuses_when_method_is_another(htm: object) -> None:
    """91: RFC 9449, 4.3 (8); methods are case-sensitive."""
    assert why(check(make_proof(htm=htm))) == "htm is another method"


@pytest.mark.parametrize(
    "htu",
    [
        "https://data.example/data/customer-2",
        "https://data.example/data/customer-1/",
        "https://data.example/data/Customer-1",
        "https://data.example/data/customer%2D1%2F",
        "https://data.example",
        "https://data.example//data/customer-1",
        "https://data.example/x/../data/customer-1",
        "/data/customer-1",
        "data.example/data/customer-1",
        "ftp://data.example/data/customer-1",
        "https://user@data.example/data/customer-1",
        "https://data.example\\@evil.example/data/customer-1",
        "https://data.example:x/data/customer-1",
        " https://data.example/data/customer-1",
        "https://data.example/data/customer-1\n",
        "https://data.ex\u0430mple/data/customer-1",
        "http\u017f://data.example/data/customer-1",
        "",
        None,
        7,
        [URL],
        ABSENT,
    ],
)
def test_check_proof_refuses_when_uri_is_another(htu: object) -> None:
    """92: RFC 9449, 4.3 (9)."""
    assert why(check(make_proof(htu=htu))) == "htu is another path, or no URL"


@pytest.mark.parametrize(
    "htu",
    [
        "https://data.example.evil.example/data/customer-1",
        "https://data.example:8443/data/customer-1",
        "http://data.example/data/customer-1",
        "https://[::1]/data/customer-1",
    ],
)
def test_check_proof_refuses_when_origin_is_another(htu: str) -> None:
    """92: a proof that was made for another server."""
    assert why(check(make_proof(htu=htu))) == "htu is another origin"


@pytest.mark.parametrize(
    "htu",
    [
        "HTTPS://DATA.example/data/customer-1",
        "https://data.example:443/data/customer-1",
        "https://data.example:/data/customer-1",
        "https://data.example:00443/data/customer-1",
        "https://data.example/data/customer-1?q=1",
        "https://data.example/data/customer-1#there",
        "https://data.example/data/customer-1?q=1#there?",
        "https://data.example/d%61ta/customer%2d1",
    ],
)
def test_check_proof_takes_uri_when_spelt_another_way(htu: str) -> None:
    """RFC 9449, 4.3 (9): no query, no fragment; RFC 3986, sections 6.2.2 and 6.2.3."""
    assert isinstance(check(make_proof(htu=htu)), Proof)


def test_check_proof_keeps_reserved_escapes_apart() -> None:
    """An escape of what separates is not what separates; its digits have no case."""
    proof = make_proof(htu="https://data.example/a%3bb")
    headers = {"dpop": (proof,)}

    same = make_request("/a%3Bb", headers=headers)
    other = make_request("/a;b", headers=headers)

    assert isinstance(check_proof(same, TOKEN, signer().thumbprint, RULES, now=NOW), Proof)
    assert why(check_proof(other, TOKEN, signer().thumbprint, RULES, now=NOW)) == (
        "htu is another path, or no URL"
    )


def test_check_proof_takes_a_bare_origin_for_its_root() -> None:
    """RFC 3986, section 6.2.3: an empty path is ``/``."""
    request = make_request("/", headers={"dpop": (make_proof(htu="https://data.example?q"),)})

    assert isinstance(check_proof(request, TOKEN, signer().thumbprint, RULES, now=NOW), Proof)


@pytest.mark.parametrize(("scheme", "host"), [("", "data.example"), ("https", ""), ("ws", "a")])
def test_check_proof_refuses_when_the_request_says_no_origin(scheme: str, host: str) -> None:
    """Without origins of the operator's there is nothing to compare with."""
    assert why(check(make_proof(), scheme=scheme, host=host)) == "htu is another path, or no URL"


PUBLIC = DpopRules(origins=frozenset({"https://tools.example", "https://tools.example:8443"}))


@pytest.mark.parametrize("origin", ["https://tools.example", "https://TOOLS.example:8443"])
def test_check_proof_goes_by_the_operators_origins_when_there_are_some(origin: str) -> None:
    """Behind a proxy, callers know another name than Envoy does."""
    proof = make_proof(htu=f"{origin}/data/customer-1")

    assert isinstance(check(proof, rules=PUBLIC, scheme="http", host="10.0.0.1:8080"), Proof)


def test_check_proof_believes_no_host_header_when_there_are_origins() -> None:
    """Whoever got a proof as another server names that server in ``Host``."""
    proof = make_proof(htu="https://evil.example/data/customer-1")

    assert isinstance(check(proof, host="evil.example"), Proof)
    assert why(check(proof, rules=PUBLIC, host="evil.example")) == "htu is another origin"


@pytest.mark.parametrize(
    "ath",
    [
        base64url(sha256(b"another.token.").digest()).decode(),
        base64url(sha256(TOKEN).digest()).decode() + "=",
        sha256(TOKEN).hexdigest(),
        "",
        None,
        1,
        ABSENT,
    ],
)
def test_check_proof_refuses_when_it_is_for_another_token(ath: object) -> None:
    """93: RFC 9449, 4.3 (12)."""
    assert why(check(make_proof(ath=ath))) == "ath is another token's"


@pytest.mark.parametrize("age", [60.5, 61, 3600, 1e9])
def test_check_proof_refuses_when_it_is_old(age: float) -> None:
    """94: RFC 9449, 4.3 (11)."""
    assert why(check(make_proof(iat=NOW - age))) == "older than 60 s"


@pytest.mark.parametrize("ahead", [5.5, 6, 3600])
def test_check_proof_refuses_when_it_is_from_the_future(ahead: float) -> None:
    """A proof that was made ahead would be good for as long as one likes."""
    assert why(check(make_proof(iat=NOW + ahead))) == "iat lies in the future"


@pytest.mark.parametrize("shift", [-60, -59.5, 0.25, 5])
def test_check_proof_takes_age_when_within_the_window(shift: float) -> None:
    """Both ends belong to it, and what has to be remembered outlives it."""
    proof = check(make_proof(iat=NOW + shift))

    assert isinstance(proof, Proof)
    assert proof.until == NOW + shift + 65
    assert why(check(make_proof(iat=NOW + shift), now=proof.until)) == "older than 60 s"


@pytest.mark.parametrize("iat", [True, str(int(NOW)), None, [NOW], 2**60, ABSENT])
def test_check_proof_refuses_when_iat_is_no_date(iat: object) -> None:
    """RFC 9449, 4.3 (3)."""
    assert why(check(make_proof(iat=iat))) == "iat is missing or no date"


@pytest.mark.parametrize("jti", ["", "a b", "a\n", "\u00e9", "a" * 257, 1, None, ["a"], ABSENT])
def test_check_proof_refuses_when_jti_is_no_text(jti: object) -> None:
    """RFC 9449, 4.3 (3): without it, a replay could not be told."""
    assert why(check(make_proof(jti=jti))) == "jti is missing or no text"


def test_check_proof_names_a_replay_the_same_when_it_comes_again() -> None:
    """95: the same proof is the same value at any time, and another jti is another one."""
    proof = make_proof()

    again = check(proof, now=NOW + 30)

    assert check(proof) == again
    assert check(make_proof(jti="proof-2")) != again


PRIVATE: list[tuple[str, dict[str, Any]]] = [
    ("EdDSA", {"d": "AA"}),
    ("EdDSA", {"d": None}),
    ("ES256", {"d": "AA"}),
    ("RS256", {"d": "AQAB", "p": "AQ", "q": "AQ", "dp": "AQ", "dq": "AQ", "qi": "AQ"}),
    *[("RS256", {name: "AQ"}) for name in ("p", "q", "dp", "dq", "qi", "oth", "k")],
]


@pytest.mark.parametrize(("algorithm", "members"), PRIVATE)
def test_check_proof_refuses_when_key_is_private(algorithm: str, members: dict[str, Any]) -> None:
    """96: RFC 9449, 4.3 (7); the signature is right and so is the thumbprint."""
    by = signer(algorithm)
    proof = make_proof(by=by, header={"jwk": {**public_jwk(by), **members}})

    assert why(check(proof, by=by)) == "jwk: a private or secret key"


@pytest.mark.parametrize("name", ["D", "Kty", "USE", "K"])
def test_check_proof_refuses_when_a_member_of_the_key_is_in_another_case(name: str) -> None:
    """Parsers that ignore case would read a private key, or another one."""
    proof = make_proof(header={"jwk": {**public_jwk(signer()), name: "AA"}})

    assert why(check(proof)) == "jwk: a member's name in another case"


@pytest.mark.parametrize(
    "typ", ["JWT", "at+jwt", "DPoP+JWT", "application/dpop+jwt", "", None, 1, ABSENT]
)
def test_check_proof_refuses_when_it_is_another_kind_of_token(typ: object) -> None:
    """RFC 9449, 4.3 (4): nothing that was signed for another purpose is a proof."""
    assert why(check(make_proof(header={"typ": typ}))) == "header: typ is not dpop+jwt"


@pytest.mark.parametrize("alg", ["none", "HS256", "eddsa", "ES256K", "", None, ["EdDSA"], ABSENT])
def test_check_proof_refuses_when_algorithm_is_not_accepted(alg: object) -> None:
    """RFC 9449, 4.3 (5): an allow-list of asymmetric algorithms."""
    assert why(check(make_proof(header={"alg": alg}))) == "header: alg is not accepted"


def test_check_proof_refuses_when_algorithm_is_not_one_of_the_rules() -> None:
    """RFC 9449, 4.3 (5): what the policy of the place takes, not what the library can."""
    rules = DpopRules(algorithms=frozenset({"ES256"}))

    assert why(check(make_proof(), rules=rules)) == "header: alg is not accepted"


@pytest.mark.parametrize(
    ("algorithm", "change"),
    [
        ("EdDSA", {"alg": "ES256"}),
        ("RS256", {"alg": "PS256"}),
        ("RS256", {"use": "enc"}),
        ("RS256", {"key_ops": ["sign"]}),
        ("EdDSA", {"kty": "oct"}),
        ("EdDSA", {"crv": "X25519"}),
        ("EdDSA", {"x": "AA"}),
        ("EdDSA", {"x": 1}),
        ("EdDSA", {"x": "A" * 43}),  # a point of small order: anybody could sign
        ("ES256", {"y": "A" * 43}),  # no point of the curve
        ("RS256", {"n": "AQAB"}),
        ("RS256", {"e": "Aw"}),
    ],
)
def test_check_proof_refuses_when_key_does_not_fit_or_is_weak(
    algorithm: str, change: dict[str, Any]
) -> None:
    """A proof's key is looked at like an issuer's."""
    by = signer(algorithm)
    proof = make_proof(by=by, header={"jwk": {**public_jwk(by), **change}})

    assert why(check(proof, by=by))


def test_check_proof_refuses_when_key_is_of_another_algorithm_than_the_header() -> None:
    """The key has one algorithm, and the header must say that one."""
    by = signer("ES256")

    assert why(check(make_proof(by=by, header={"alg": "EdDSA"}), by=by)).startswith("jwk: ")


@pytest.mark.parametrize("jwk", [None, "key", [], ABSENT])
def test_check_proof_refuses_when_there_is_no_key(jwk: object) -> None:
    """RFC 9449, 4.3 (3)."""
    assert why(check(make_proof(header={"jwk": jwk}))) == "header: jwk is missing or no object"


@pytest.mark.parametrize("kid", ["any", "", 7, ["a"], {"a": 1}])
def test_check_proof_reads_no_kid_when_the_key_has_one(kid: object) -> None:
    """It is a name that the caller made up; the thumbprint is the key's name."""
    proof = make_proof(header={"kid": kid, "jwk": {**public_jwk(signer()), "kid": kid}})

    assert isinstance(check(proof), Proof)


def test_check_proof_refuses_when_key_is_another_than_the_tokens() -> None:
    """RFC 9449, 4.3 (12): a thief can make a proof, by his own key."""
    assert why(check(make_proof(by=OTHER_KEY))) == "the proof is by another key than the token's"


def test_check_proof_refuses_when_another_key_signed() -> None:
    """RFC 9449, 4.3 (6): the public key is public; showing it proves nothing."""
    proof = make_proof(by=OTHER_KEY, header={"jwk": public_jwk(signer())})

    assert why(check(proof)) == "its signature is not valid"


def last_bit(proof: bytes) -> bytes:
    return proof[:-1] + (b"B" if proof[-1:] == b"A" else b"A")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda proof: proof + b"=", id="padding"),
        pytest.param(lambda proof: proof + b"\n", id="line end"),
        pytest.param(lambda proof: b" " + proof, id="space"),
        pytest.param(lambda proof: proof + b"," + proof, id="joined"),
        pytest.param(lambda proof: proof + b".", id="four segments"),
        pytest.param(lambda proof: proof.rpartition(b".")[0], id="two segments"),
        pytest.param(lambda proof: proof.rpartition(b".")[0] + b".", id="no signature"),
        pytest.param(lambda proof: b"." + proof.partition(b".")[2], id="no header"),
        pytest.param(lambda proof: b"%" + proof[1:], id="foreign byte"),
        pytest.param(lambda proof: b"\xff" + proof[1:], id="not ASCII"),
        pytest.param(last_bit, id="last bit"),
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"{}", id="JSON"),
    ],
)
def test_check_proof_refuses_when_its_form_is_not_that_of_a_compact_jws(
    change: Callable[[bytes], bytes],
) -> None:
    """RFC 9449, 4.3 (2): one spelling."""
    assert why(check(change(make_proof())))


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (0, lambda good: good[:-1] + b',"typ":"dpop+jwt"}'),
        (0, lambda good: good[:-1] + b',"Alg":"none"}'),
        (0, lambda good: good.replace(b'"kty"', b'"kty":"RSA","kty"')),
        (0, lambda _: b"[]"),
        (1, lambda good: good[:-1] + b',"htm":"GET"}'),
        (1, lambda good: good[:-1] + b',"HTU":"https://evil.example/"}'),
        (1, lambda good: good[:-1] + b',"x":NaN}'),
        (1, lambda good: b"\xef\xbb\xbf" + good),
        (1, lambda _: b"not JSON"),
        *[
            (0, lambda good, name=name: good[:-1] + b',"%s":["x"]}' % name)
            for name in (b"crit", b"b64", b"jku", b"x5u", b"x5c", b"enc", b"zip", b"cty")
        ],
    ],
)
def test_check_proof_refuses_when_json_could_be_read_in_two_ways(
    part: int, text: Callable[[bytes], bytes]
) -> None:
    """RFC 9449, 4.3 (2): read as strictly as a token is; the signature is right each time."""
    head = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": public_jwk(signer())}
    claims = {"jti": "1", "htm": "GET", "htu": URL, "iat": NOW}
    claims["ath"] = base64url(sha256(TOKEN).digest()).decode()
    parts = [json.dumps(head).encode(), json.dumps(claims).encode()]
    assert isinstance(check(sign_compact(*parts)), Proof)

    parts[part] = text(parts[part])

    assert why(check(sign_compact(*parts))).startswith(("header: ", "payload: "))


def test_check_proof_refuses_when_it_is_long() -> None:
    """Size comes before everything that costs more."""
    padding = MAX_PROOF_BYTES - len(make_proof(pad=""))
    fitting = make_proof(pad="a" * (padding * 3 // 4 - 4))

    assert isinstance(check(fitting), Proof)
    assert why(check(make_proof(pad="a" * padding))) == f"longer than {MAX_PROOF_BYTES} bytes"


@pytest.mark.parametrize("nonce", ["any", 1, None])
def test_check_proof_ignores_nonce_when_there_is_one(nonce: object) -> None:
    """RFC 9449, 4.3 (10): none is given out here."""
    assert isinstance(check(make_proof(nonce=nonce)), Proof)


def test_check_proof_shows_nothing_of_the_proof_when_it_refuses() -> None:
    """A detail is recorded; a URL can hold secrets, and a proof is a credential."""
    secret = "s3cret"
    urls = make_proof(htu=f"https://data.example/?key={secret}", jti=secret, htm=secret)
    texts = make_proof(header={"typ": secret, "alg": secret, secret: secret})
    for proof in (urls, texts, make_proof(jti=f"{secret} ")):
        assert secret not in repr(check(proof))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Tools.Example", "https://tools.example"),
        ("https://tools.example:443/x", "https://tools.example"),
        ("http://tools.example:80", "http://tools.example"),
        ("http://tools.example:443", "http://tools.example:443"),
        ("https://[2001:DB8::1]:8443/", "https://[2001:db8::1]:8443"),
        ("https://user@tools.example", None),
        ("tools.example", None),
        ("spiffe://tools.example", None),
    ],
)
def test_origin_of_has_one_spelling_when_there_are_several(url: str, origin: str | None) -> None:
    """What configuration is to hold, so that it can be compared as text."""
    assert origin_of(url) == origin


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
HEADERS = st.sampled_from(["typ", "alg", "jwk", "kid", "crit"])
CLAIMS = st.sampled_from(["htm", "htu", "iat", "jti", "ath", "nonce"])
MEMBERS = st.sampled_from(["kty", "crv", "x", "alg", "use", "key_ops", "kid", "n", "e", "y"])


@settings(deadline=None)
@given(proof=st.binary(max_size=200) | st.from_regex(rb"[A-Za-z0-9_-]*\.[\w-]*\.[\w-]*"))
@example(proof=b"..")
def test_check_proof_never_raises_when_bytes_are_odd(proof: bytes) -> None:
    """Whatever the header holds, the answer is a value."""
    assert why(check(proof))


@settings(deadline=None)
@given(
    header=st.dictionaries(HEADERS, json_values, max_size=2),
    jwk=st.dictionaries(MEMBERS, json_values, max_size=2),
    claims=st.dictionaries(CLAIMS, json_values, max_size=2),
)
def test_check_proof_never_raises_when_members_are_odd(
    header: dict[str, Any], jwk: dict[str, Any], claims: dict[str, Any]
) -> None:
    """The signature is right; the members are of any type. What passes is what was asked for."""
    answer = check(make_proof(header={"jwk": {**public_jwk(signer()), **jwk}, **header}, **claims))

    if isinstance(answer, Proof):
        assert answer.jwk_thumbprint == signer().thumbprint
        assert NOW - 60 <= answer.issued_at <= NOW + 5
    else:
        assert answer.reason is Reason.DPOP_REFUSED


@settings(deadline=None)
@given(url=st.text(max_size=60) | st.text(max_size=40).map("https://a/".__add__))
def test_check_proof_never_raises_when_request_or_uri_is_odd(url: str) -> None:
    """Envoy's words are no different: whatever they are, the answer is a value."""
    request: Request = replace(make_request(headers={"dpop": (make_proof(htu=url),)}), host=url)

    answer = check_proof(request, TOKEN, signer().thumbprint, RULES, now=NOW)

    assert isinstance(answer, Refused)
