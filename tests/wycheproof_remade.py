"""Wycheproof's cases around claims: tokens that are good but for the one fault of the vector.

The JSON files hold their groups' private keys, so the fault is carried over: the header stays, the
payload becomes claims, and the signature is made anew and then broken in the vector's way. Of an
RSA signature the encoded message is taken out, the digest in it replaced, and signed again; into an
ECDSA signature the new r and s go where the old ones stood; an Ed25519 signature, whose private key
nobody published, is broken under a key of our own by the rule that its comment tells.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.tokens import base64url, make_claims, make_token
from tests.wycheproof import ED25519, SIGNATURE, Case, cases
from tests.wycheproof_eddsa import OWN_KEY_SET, broken_signature
from tests.wycheproof_rsa import Rsa

Sent: TypeAlias = tuple[bytes, bytes]
"""A token, and the key set that its issuer publishes."""

_CURVES: Final[dict[str, Any]] = {
    "ES256": (ec.SECP256R1(), hashes.SHA256()),
    "ES512": (ec.SECP521R1(), hashes.SHA512()),
}
_P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_JUNK: Final = re.compile(r"([^\w-]*)(.*?)([^\w-]*)", re.ASCII)
_FOREIGN: Final = re.compile(r"[^\w-]", re.ASCII)
_PLAIN: Final = re.compile(r"[\w-]*", re.ASCII)


def as_it_stands(case: Case) -> Sent:
    """The vector as a caller would send it; an Ed25519 signature has to be put under claims."""
    if case.file != ED25519:
        return case.token.encode(), case.key_set
    signature = base64url(bytes.fromhex(case.test["sig"]))
    header = _segment({"alg": "EdDSA", "kid": "none"})
    return b".".join((header, _claims().encode(), signature)), case.key_set


def around_claims(case: Case) -> Sent | None:
    """The vector's fault in a token that is good but for it; None for what is encrypted."""
    if case.file == ED25519:
        return _eddsa(case)
    if "jwe" in case.test:
        return None
    if "keys" in case.group["private"] and "public" not in case.group:
        return _for_symmetric_set(case), case.key_set
    return _remade(case).encode(), case.key_set


def _for_symmetric_set(case: Case) -> bytes:
    """A token whose algorithm is taken, so that it comes to the set; by a key of it if one can."""
    public = next((jwk for jwk in case.private_keys if jwk["kty"] == "EC"), None)
    if public is None:
        return make_token(header={"kid": case.private_keys[0]["kid"]})
    whole = next(other for other in cases(SIGNATURE) if _same_key(other.private_keys[0], public))
    header = _segment({"alg": public["alg"], "kid": public["kid"]})
    signing_input = b".".join((header, _claims().encode()))
    signature = _sign(whole, header.decode(), signing_input.decode())
    return b".".join((signing_input, base64url(signature)))


def _same_key(private: dict[str, Any], public: dict[str, Any]) -> bool:
    return "d" in private and private.get("x") == public["x"]


def _eddsa(case: Case) -> Sent:
    header = _segment({"alg": "EdDSA", "kid": "own", "typ": "JWT"})
    signing_input = b".".join((header, _claims().encode()))
    signature = base64url(broken_signature(case, signing_input))
    return b".".join((signing_input, signature)), OWN_KEY_SET


def _segment(members: dict[str, Any]) -> bytes:
    return base64url(json.dumps(members).encode())


@cache
def _claims(jti: str = "jti-1") -> str:
    """Good claims as a segment whose last character has spare bits."""
    raw = json.dumps(make_claims(jti=jti)).encode()
    return base64url(raw + b" " * (len(raw) % 3 == 0)).decode()


# --- segments ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sound:
    """The valid case of a group: header, payload and signature, as they were and around claims."""

    old: tuple[str, str, str]
    new: tuple[str, str, str]


def _remade(case: Case) -> str:
    sound = _sound_of(case)
    known = dict(zip(sound.old, sound.new, strict=True)) if sound else {}
    if case.token.startswith("{"):  # a JSON serialisation
        text = case.token
        for old, new in known.items():
            text = text.replace(old, new)
        return text
    segments = case.token.split(".")
    if len(segments) != 3 or not all(segments[::2]):
        return ".".join(known.get(segment, segment) for segment in segments)
    header, payload, signature = segments
    if signature in known and payload not in known:  # other claims than were signed, or none
        other = _like(payload, _claims("jti-2")) if payload else ""
        return ".".join((header, other, known[signature]))
    claims = _like(payload, _claims())
    remade = known.get(signature) or _like(signature, _signed(case, sound, header, claims))
    return f"{header}.{claims}.{remade}"


def _sound_of(case: Case) -> _Sound | None:
    return _sounds(case.file).get(id(case.group))


@cache
def _sounds(file: str) -> dict[int, _Sound]:
    """What the other cases of a group are made from, by the group's identity."""
    wanted = {"acceptsValid", "ValidMac", "valid"}
    valid = (case for case in cases(file) if case.comment in wanted and "jws" in case.test)
    return {id(case.group): _sound(case) for case in valid}


def _sound(valid: Case) -> _Sound:
    header, payload, signature = valid.token.split(".")
    new = base64url(_sign(valid, header, f"{header}.{_claims()}")).decode()
    return _Sound((header, payload, signature), (header, _claims(), new))


def _like(old: str, new: str) -> str:
    """Give ``new`` what ``old`` has around its base64url, and spare bits that are set if it has."""
    before, core, after = _parts(old)
    if _PLAIN.fullmatch(core) and base64url(_bytes(core)).decode() != core:
        new = new[:-1] + chr(ord(new[-1]) + 1)
    return before + new + after


def _parts(segment: str) -> tuple[str, str, str]:
    match = _JUNK.fullmatch(segment)
    assert match is not None
    before, core, after = match.groups()
    return before, core, after


# --- signatures ----------------------------------------------------------------------------------


def _signed(case: Case, sound: _Sound | None, header: str, claims: str) -> str:
    """The signature of ``header.claims`` with the fault that the vector's own has."""
    signed, _, text = case.token.rpartition(".")
    signature, message = _bytes(text), f"{header}.{claims}"
    algorithm, jwk = _named(case, header)
    if sound is not None and (broken := _flipped(signature, sound)) is not None:
        remade = broken
    elif jwk is None or algorithm.startswith("HS") != (jwk["kty"] == "oct"):
        remade = signature
    elif algorithm[0] in "RP":
        remade = Rsa.of(jwk).carry_over(signature, signed.encode(), message.encode())
    elif algorithm.startswith("ES") and sound is not None:
        remade = _ecdsa_carried_over(signature, sound)
    else:
        remade = _sign(case, header, message)
    return base64url(remade).decode()


def _flipped(signature: bytes, sound: _Sound) -> bytes | None:
    """Flip the bits in which ``signature`` differs from the valid one, if they are few."""
    old, new = _bytes(sound.old[2]), _bytes(sound.new[2])
    flips = bytes(a ^ b for a, b in zip(signature, old, strict=False))
    if not len(signature) == len(old) == len(new) or flips.count(0) < len(flips) // 2:
        return None
    return bytes(a ^ b for a, b in zip(new, flips, strict=True))


def _ecdsa_carried_over(signature: bytes, sound: _Sound) -> bytes:
    """Replace r and s wherever they stand, plus the order too; edge values stay as they are."""
    old, new = _bytes(sound.old[2]), _bytes(sound.new[2])
    for at in (0, 32):
        was, now = (int.from_bytes(raw[at : at + 32]) for raw in (old, new))
        for a, b in ((was, now), (_P256_ORDER - was, _P256_ORDER - now)):
            signature = signature.replace(a.to_bytes(32), b.to_bytes(32))
            above, now_above = ((number + _P256_ORDER).to_bytes(33) for number in (a, b))
            signature = signature.replace(above, now_above)
    return signature


def _named(case: Case, header: str) -> tuple[str, dict[str, Any] | None]:
    """The header's algorithm, and the private key that it names."""
    members = json.loads(_bytes(_parts(header)[1]))
    kid = members.get("kid")
    return members["alg"], next((jwk for jwk in case.private_keys if jwk["kid"] == kid), None)


def _sign(case: Case, header: str, signing_input: str) -> bytes:
    """Sign well, as the header says."""
    algorithm, jwk = _named(case, header)
    assert jwk is not None
    message = signing_input.encode()
    if algorithm.startswith("HS"):
        return hmac.digest(_bytes(jwk["k"]), message, f"sha{algorithm[2:]}")
    if algorithm.startswith("ES"):
        curve, digest = _CURVES[algorithm]
        private = ec.derive_private_key(int.from_bytes(_bytes(jwk["d"])), curve)
        pair = decode_dss_signature(private.sign(message, ec.ECDSA(digest)))
        return b"".join(number.to_bytes((curve.key_size + 7) // 8) for number in pair)
    return Rsa.of(jwk).sign(message)


def _bytes(text: str) -> bytes:
    text = _FOREIGN.sub("", text)
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
