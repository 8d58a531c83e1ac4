"""Tokens for tests, good and bad: an issuer of our own whose keys are made once a session.

Signing is done on ``cryptography`` alone and JWKs come from joserfc, so that the kit shares no
code with what it tests.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.jwk import ECKey, OKPKey, RSAKey

from sidecar.core import jws as compact
from sidecar.core import signature
from sidecar.core.model import Agent, Call, Key, Refused, Scope
from sidecar.core.profile import IssuerProfile
from sidecar.core.reasons import Reason
from sidecar.core.verify import admit, profile_of
from tests.values import make_call

ISSUER: Final = "https://issuer.test"
AUDIENCE: Final = "https://orders.test"
TENANT: Final = "acme"
NOW: Final = 1_800_000_000.0
"""Seconds since the epoch at which ``make_token`` mints."""
LIFETIME: Final = 300
ALGORITHMS: Final = ("EdDSA", "ES256", "RS256", "PS256")

ABSENT: Final[Any] = object()
"""As an override: the claim or header member is left out."""


JoseKey: TypeAlias = OKPKey | ECKey | RSAKey


@dataclass(frozen=True, slots=True)
class Signer:
    """A key pair of an issuer, for one algorithm."""

    algorithm: str
    kid: str
    private: Any = field(repr=False)
    """The ``cryptography`` private key."""
    jose: JoseKey = field(repr=False)
    """The same pair for joserfc."""
    sign: Callable[[bytes], bytes] = field(repr=False)

    @property
    def thumbprint(self) -> str:
        """RFC 7638, as joserfc computes it."""
        return self.jose.thumbprint()

    @property
    def jwk(self) -> dict[str, Any]:
        """Public JWK with ``kid``, ``alg`` and ``use``."""
        public = self.jose.as_dict(private=False)
        return {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def key(self, issuer: str = ISSUER, **overrides: Any) -> Key:
        """Give the public half as the sidecar knows it."""
        key = Key(issuer, self.kid, self.algorithm, self.thumbprint, self.private.public_key())
        return replace(key, **overrides)


@cache
def signer(algorithm: str = "EdDSA", name: str = "1") -> Signer:
    """Make the key pair of that name, the same one all session long."""
    private, jose, sign = _MAKERS[algorithm]()
    return Signer(algorithm, f"{algorithm.lower()}-{name}", private, jose, sign)


_Pair: TypeAlias = tuple[Any, JoseKey, Callable[[bytes], bytes]]


def _make_ed25519() -> _Pair:
    private = ed25519.Ed25519PrivateKey.generate()
    return private, OKPKey.import_key(private), private.sign


def _make_p256() -> _Pair:
    private = ec.generate_private_key(ec.SECP256R1())

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(private.sign(message, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    return private, ECKey.import_key(private), sign


def _make_rsa() -> _Pair:
    private = rsa.generate_private_key(65537, 2048)

    def sign(message: bytes) -> bytes:
        return private.sign(message, padding.PKCS1v15(), hashes.SHA256())

    return private, RSAKey.import_key(private), sign


def _make_rsa_pss() -> _Pair:
    private = rsa.generate_private_key(65537, 2048)
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)

    def sign(message: bytes) -> bytes:
        return private.sign(message, pss, hashes.SHA256())

    return private, RSAKey.import_key(private), sign


_MAKERS: Final = {
    "EdDSA": _make_ed25519,
    "ES256": _make_p256,
    "RS256": _make_rsa,
    "PS256": _make_rsa_pss,
}


def make_claims(*, now: float = NOW, **overrides: Any) -> dict[str, Any]:
    """Make the claims of a token that is good at ``now``, but for ``overrides``."""
    claims = {
        "iss": ISSUER,
        "sub": "spiffe://acme.test/agent/a1",
        "aud": AUDIENCE,
        "iat": int(now),
        "nbf": int(now),
        "exp": int(now) + LIFETIME,
        "jti": "jti-1",
        "agent_id": "agent-1",
        "tenant": TENANT,
        "task_id": "task-1",
        "sid": "session-1",
        "scope": ["read:orders:*", "write:orders:o-1"],
    }
    return _without_absent({**claims, **overrides})


def make_header(by: Signer, **overrides: Any) -> dict[str, Any]:
    """Make the header of a good token, but for ``overrides``."""
    return _without_absent({"alg": by.algorithm, "kid": by.kid, "typ": "JWT", **overrides})


def make_token(
    *,
    by: Signer | None = None,
    header: Mapping[str, Any] | None = None,
    now: float = NOW,
    **overrides: Any,
) -> bytes:
    """Mint a token, signed by ``signer()`` unless said; ``overrides`` are claims."""
    by = by or signer()
    return sign_compact(
        _json(make_header(by, **(header or {}))), _json(make_claims(now=now, **overrides)), by=by
    )


def sign_compact(header: bytes, payload: bytes, *, by: Signer | None = None) -> bytes:
    """Sign any two byte strings as a compact JWS, JSON or not."""
    signing_input = b".".join((base64url(header), base64url(payload)))
    return b".".join((signing_input, base64url((by or signer()).sign(signing_input))))


def base64url(raw: bytes) -> bytes:
    """Encode without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def make_profile(**overrides: Any) -> IssuerProfile:
    """Make the profile of ``ISSUER``, which takes every token of ``make_token``."""
    profile = IssuerProfile(
        name="test",
        issuer=ISSUER,
        algorithms=frozenset(ALGORITHMS),
        types=frozenset({"jwt", "at+jwt"}),
        tenants=frozenset({TENANT}),
        ceiling=(
            Scope("read", "orders", "*"),
            Scope("write", "orders", "*"),
            Scope("read", "files", "public"),
        ),
        max_lifetime=float(LIFETIME),
        leeway=0.0,
    )
    return replace(profile, **overrides)


def judge(
    token: bytes,
    *,
    key: Key | None = None,
    profile: IssuerProfile | None = None,
    call: Call | None = None,
    now: float = NOW,
) -> Agent | Refused:
    """Walk steps 3 and 4 as the pipeline does; ``key`` is the one that was found."""
    jws = compact.parse(token)
    if isinstance(jws, Refused):
        return jws
    issuer = profile_of(jws, {ISSUER: profile or make_profile()})
    if isinstance(issuer, Refused):
        return issuer
    signed = signature.prove(jws, key or signer().key())
    if isinstance(signed, Refused):
        return signed
    return admit(signed, issuer, call or make_call(audience=AUDIENCE), now=now)


def agent_of(token: bytes, **circumstances: Any) -> Agent:
    """Judge a token that must pass."""
    agent = judge(token, **circumstances)
    assert isinstance(agent, Agent), agent
    return agent


def reason_of(answer: object) -> Reason | None:
    """Tell why somebody was refused; None when he was not."""
    return answer.reason if isinstance(answer, Refused) else None


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _without_absent(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not ABSENT}
