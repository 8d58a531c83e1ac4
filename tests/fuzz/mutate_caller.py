"""What is done beside the token: how it is presented, by whom, and with which proof."""

from __future__ import annotations

import random
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, TypeAlias

from tests.fuzz.draft import Draft, peer_certificate, proof_by
from tests.fuzz.issuers import AGENT, CERTIFICATE, HOP, THUMBPRINT
from tests.fuzz.keys import fuzz_key
from tests.fuzz.mutate_bytes import ON_TEXT, ON_TOKEN
from tests.fuzz.mutate_json import ANYWHERE, NUMBERS, adder, any_value
from tests.tokens import NOW

Draw: TypeAlias = random.Random

_XFCC: Final = "x-forwarded-client-cert"
_NOW: Final = int(NOW)
_HERE: Final = "https://orders.test/orders/o-1"
_URLS: Final = (
    *(_HERE, "HTTPS://ORDERS.TEST:443/orders/o-1", f"{_HERE}?a=b#c", f"{_HERE}/", _HERE + "%00"),
    *("https://orders.test/orders/%6f-1", "http://orders.test/orders/o-1", "//orders.test/orders"),
    *("https://a@orders.test/orders/o-1", "https://orders.test:/orders/o-1", "https://[::1]/", ""),
    *("https://orders.test:0443/orders/o-1", "https://orders.test/orders/../orders/o-1"),
)
_MEMBERS: Final = ("kty", "crv", "x", "y", "n", "e", "d", "k", "use", "key_ops", "alg", "kid", "X")


# --- proofs --------------------------------------------------------------------------------------


def proof(draw: Draw, draft: Draft) -> None:
    """Change the proof, or give the token one and bind it to somebody's key."""
    if draft.proof is None:
        holder = fuzz_key(draw.choice(("EdDSA", "ES256", "ES256", "RS256")), "holder")
        draft.token.claims["cnf"] = {"jkt": holder.thumbprint}
        draft.scheme, draft.proof = b"DPoP", proof_by(holder)
    for _ in range(draw.choice((1, 1, 1, 2))):
        draft.how.append(draw.choice(_PROOFS)(draw, draft))


def _proof_claims(draw: Draw, draft: Draft) -> str:
    assert draft.proof is not None
    claims = draft.proof.claims
    match draw.randrange(5):
        case 0:
            claims["iat"] = draw.choice((_NOW + draw.choice((5, 6, -60, -61, 0.5)), *NUMBERS))
        case 1:
            claims["htu"] = draw.choice(_URLS)
        case 2:
            claims["htm"] = draw.choice(("get", "POST", "", "GET ", None, ["GET"]))
        case 3:
            draft.ath = draw.choice(("", THUMBPRINT, THUMBPRINT + "=", any_value(draw)))
        case _:
            return "proof: " + draw.choice((*ANYWHERE, adder(("nonce", "jti"))))(draw, claims)
    return "proof: another claim"


def _proof_header(draw: Draw, draft: Draft) -> str:
    assert draft.proof is not None
    header = draft.proof.header
    jwk = header.get("jwk")
    if isinstance(jwk, dict) and jwk and draw.random() < 0.5:
        name = draw.choice((*_MEMBERS, *jwk))
        same = "1" if not isinstance(jwk.get(name), str) else jwk[name]
        jwk[name] = draw.choice((same + "=", "AA" + same, same[1:], "AQAB", any_value(draw)))
        return f"proof: jwk {name}"
    names = ("typ", "alg", "jwk", "kid", "crit", "x5c")
    return "proof: " + draw.choice((*ANYWHERE, adder(names)))(draw, header)


def _proof_bytes(draw: Draw, draft: Draft) -> str:
    assert draft.proof is not None
    if draw.random() < 0.3:
        draft.proof.on_text.append((draw.randrange(2), draw.choice(ON_TEXT)))
    else:
        draft.proof.on_token.append(draw.choice(ON_TOKEN))
    return "proof: other bytes"


def _proof_of_another(draw: Draw, draft: Draft) -> str:
    assert draft.proof is not None
    draft.proof.by = fuzz_key(draw.choice(("EdDSA", "ES256")), "thief")
    if draw.random() < 0.5:
        draft.proof = proof_by(draft.proof.by)
    return "proof: by another key"


def _proofs_in_number(draw: Draw, draft: Draft) -> str:
    if draw.random() < 0.5:
        draft.proof = None
        return "no proof"
    draft.extra.append(("DPoP", b"a.b.c"))
    return "two proofs"


def _as_bearer(draw: Draw, draft: Draft) -> str:
    draft.scheme = draw.choice((b"Bearer", b"dpop", b"DPOP"))
    return "another scheme"


def _repeatable(one: Callable[[Draw, Draft], str]) -> Callable[[Draw, Draft], str]:
    def changed(draw: Draw, draft: Draft) -> str:
        return "no proof" if draft.proof is None else one(draw, draft)

    return changed


_PROOFS: Final = tuple(
    map(
        _repeatable,
        (
            *(_proof_claims, _proof_claims, _proof_header, _proof_header, _proof_bytes),
            *(_proof_of_another, _proofs_in_number, _as_bearer),
        ),
    )
)

# --- certificates --------------------------------------------------------------------------------


def caller(draw: Draw, draft: Draft) -> None:
    """Change what the token is bound to, or who brings it."""
    match draw.randrange(4):
        case 0:
            draft.token.claims["cnf"] = _cnf(draw)
            draft.how.append("another cnf")
        case 1:
            draft.principal = draw.choice((HOP, AGENT, "", "spiffe://acme.test/agent/a2"))
            der = draw.choice((CERTIFICATE, b"another", b"", bytes(9000)))
            raw = peer_certificate(der)
            draft.certificate = draw.choice((raw, raw, draw.choice(ON_TEXT)(draw, raw)))
            draft.how.append("another peer")
        case _:
            draft.principal = draw.choice((HOP, HOP, HOP, AGENT, ""))
            draft.extra = [one for one in draft.extra if one[0] != _XFCC]
            for _ in range(draw.choice((1, 1, 2))):
                draft.extra.append((_XFCC, _xfcc(draw)))
            draft.how.append("another XFCC")
    if draw.random() < 0.3:
        draft.token.claims["cnf"] = {"x5t#S256": THUMBPRINT}


def _cnf(draw: Draw) -> Any:
    key = fuzz_key("EdDSA", "holder")
    jwk = key.jose.as_dict(private=False)
    both = {"x5t#S256": THUMBPRINT, "jkt": key.thumbprint}
    shapes: tuple[Any, ...] = (
        *({"x5t#S256": THUMBPRINT}, {"jkt": key.thumbprint}, both, {"jwk": jwk}, {"kid": "k"}),
        *({"x5t#S256": THUMBPRINT + "="}, {"x5t#S256": THUMBPRINT[:-1] + "h"}, {"jkt": ""}, {}),
        *([both], THUMBPRINT, {"X5T#S256": THUMBPRINT}, {"jkt": [key.thumbprint]}, {"jku": "u"}),
    )
    return draw.choice((*shapes, any_value(draw)))


def _xfcc(draw: Draw) -> bytes:
    hashes = (sha256(CERTIFICATE).hexdigest(), sha256(b"another").hexdigest(), "0" * 63, "")
    pairs = (
        *(
            f"Hash={draw.choice(hashes)}",
            f"URI={draw.choice((AGENT, AGENT, HOP, ''))}",
            f"By={HOP}",
        ),
        *('Subject="CN=a,O=\\"b;c\\""', "DNS=a.test", 'Cert="%2D"', "uri=", "Chain=", "x=y", ";"),
    )
    elements = [
        ";".join(draw.sample(pairs[:3], 3) if draw.random() < 0.6 else draw.choices(pairs, k=4))
        for _ in range(draw.choice((1, 1, 2, 3, 16, 17)))
    ]
    raw = draw.choice((",", ", ", " ,", ",,")).join(elements).encode()
    match draw.randrange(8):
        case 0:
            return draw.choice(ON_TOKEN)(draw, raw)
        case 1:  # as many pairs as fit
            tail = b"," + elements[0].encode()
            one = draw.choice((b"URI=;", b"DNS=;", b'By="";', b"URI=" + b"a" * 20 + b";"))
            return one * ((16_381 - len(tail)) // len(one)) + b"By=" + tail
        case 2:
            return b'Subject="' + b"\\a" * 8000 + draw.choice((b'"', b"", b'";URI=a'))
        case _:
            return raw


# --- the credential ------------------------------------------------------------------------------


def credential(draw: Draw, draft: Draft) -> None:
    """Present the token otherwise, more than once, elsewhere, or not at all."""
    schemes = (b"bearer", b"BEARER", b"Basic", b"DPoP", b"", b"Bearer ", b"Bearer\t", b"WPT")
    match draw.randrange(6):
        case 0:
            draft.scheme = draw.choice(schemes)
        case 1:
            draft.send = lambda _scheme, _token: []
        case 2:
            draft.extra.append(("Authorization", b"Bearer a.b.c"))
        case 3:
            draft.query = draw.choice(("access_token=a", "Access_Token=a", "api_key=1", "a=b"))
        case 4:
            draft.send = lambda scheme, token: [("authorization", scheme + b" " + token + b", a")]
        case _:
            draft.extra.append(draw.choice((("x-api-key", b"a"), ("x api key", b"b"))))
    draft.how.append("presented otherwise")
