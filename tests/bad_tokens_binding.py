"""Rows 90 to 101: tokens that belong to somebody else's key, certificate or workload."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from sidecar.core.binding import Callers
from sidecar.core.reasons import Reason
from tests.bad_tokens_kit import Case, Maker, Mint, Sent, dumped
from tests.gate import Gate
from tests.tokens import base64url, sign_compact, signer

HOLDER: Final = signer(name="holder")
HOP: Final = "spiffe://acme.test/ingress"
CERTIFICATE: Final = sha256(b"a certificate")
OTHER: Final = sha256(b"another certificate")


# --- DPoP ----------------------------------------------------------------------------------------


def proof(mint: Mint, token: bytes, *, jwk: dict[str, Any] | None = None, **claims: Any) -> bytes:
    """A proof by the holder for this token and call, but for what is said."""
    own = jwk or HOLDER.jose.as_dict(private=False)
    header = {"typ": "dpop+jwt", "alg": HOLDER.algorithm, "jwk": own}
    ath = base64url(sha256(token).digest()).decode()
    good = {"jti": "proof-1", "htm": "GET", "htu": mint.url, "iat": mint.now, "ath": ath}
    return sign_compact(dumped(header), dumped({**good, **claims}), by=HOLDER)


def bound(mint: Mint) -> bytes:
    return mint.token(cnf={"jkt": HOLDER.thumbprint})


def presented(mint: Mint, *proofs: bytes, scheme: bytes = b"DPoP ") -> Sent:
    return Sent((("authorization", scheme + bound(mint)), *(("dpop", value) for value in proofs)))


def proving(**claims: Any) -> Maker:
    """A bound token with a proof that says this."""
    return lambda mint: presented(mint, proof(mint, bound(mint), **claims))


def stale(mint: Mint) -> Sent:
    return presented(mint, proof(mint, bound(mint), iat=mint.now - 61))


def for_another_token(mint: Mint) -> Sent:
    return presented(mint, proof(mint, mint.token(jti="another")))


def with_private_key(mint: Mint) -> Sent:
    return presented(mint, proof(mint, bound(mint), jwk=HOLDER.jose.as_dict(private=True)))


def as_bearer(mint: Mint) -> Sent:
    return presented(mint, proof(mint, bound(mint)), scheme=b"Bearer ")


# --- certificates --------------------------------------------------------------------------------


def from_certificate(
    *seen: Any, principal: str = HOP, uri: str = "spiffe://acme.test/agent/a1"
) -> Maker:
    """A token bound to ``CERTIFICATE``, over a hop that has seen this one."""

    def made(mint: Mint) -> Sent:
        token = mint.token(cnf={"x5t#S256": base64url(CERTIFICATE.digest()).decode()})
        xfcc = (f"By={HOP};Hash={one.hexdigest()};URI={uri}".encode() for one in seen)
        headers = (("x-forwarded-client-cert", value) for value in xfcc)
        return Sent((("authorization", b"Bearer " + token), *headers), principal=principal)

    return made


def behind_a_hop() -> Gate:
    return Gate(callers=Callers(trusted_hops=frozenset({HOP})))


# --- WIMSE ---------------------------------------------------------------------------------------


def workload(**claims: Any) -> Callable[[Mint], tuple[bytes, bytes]]:
    """A workload's identity token and its proof (``draft-ietf-wimse-wpt``)."""

    def made(mint: Mint) -> tuple[bytes, bytes]:
        cnf = {"jwk": HOLDER.jose.as_dict(private=False)}
        identity = mint.token(header={"typ": "wit+jwt"}, cnf=cnf)
        header = dumped({"typ": "wpt+jwt", "alg": HOLDER.algorithm})
        wth = base64url(sha256(identity).digest()).decode()
        good = {"aud": mint.audience, "exp": mint.now + 60, "jti": "wpt-1", "wth": wth}
        return identity, sign_compact(header, dumped({**good, **claims}), by=HOLDER)

    return made


def wpt(*, bearer: bool = False, **claims: Any) -> Maker:
    def made(mint: Mint) -> Sent:
        identity, own_proof = workload(**claims)(mint)
        second = (("authorization", b"Bearer " + mint.token()),) if bearer else ()
        first = ("authorization", b"WPT " + own_proof)
        return Sent((first, *second, ("workload-identity-token", identity)))

    return made


DPOP, BINDING, MISSING = Reason.DPOP_REFUSED, Reason.BINDING_REFUSED, Reason.TOKEN_MISSING
CNF, WPT = "RFC 8705, 3", "draft-ietf-wimse-wpt"
GOOD: Final = proving()

CASES: Final = (
    Case("90", "bound to a key, no proof", "RFC 9449, 4.3 (1)", DPOP, presented, "0 DPoP", GOOD),
    Case(
        "91", "proof for another method", "RFC 9449, 4.3 (8)", DPOP, proving(htm="PUT"),
        "htm is another", GOOD,
    ),
    Case(
        "92", "proof for another URL", "RFC 9449, 4.3 (9)", DPOP,
        proving(htu="https://orders.test/orders/o-2"), "htu is another", GOOD,
    ),
    Case(
        "93", "proof for another token", "RFC 9449, 4.3 (12)", DPOP, for_another_token,
        "ath is another", GOOD,
    ),
    Case("94", "proof of a minute ago", "RFC 9449, 4.3 (11)", DPOP, stale, "older than 60", GOOD),
    Case(
        "95", "proof used a second time", "RFC 9449, 11.1", Reason.REPLAYED, GOOD, good=GOOD,
        after_good=True,
    ),
    Case(
        "96a", "private key in the proof", "RFC 9449, 4.3 (7)", DPOP, with_private_key,
        "private", GOOD,
    ),
    Case(
        "96b", "bound to a key, sent as Bearer", "RFC 9449, 7.2", DPOP, as_bearer,
        "sent as Bearer", GOOD,
    ),
    Case(
        "97a", "bound to another certificate than the caller's", CNF, BINDING,
        from_certificate(OTHER), "another certificate", from_certificate(CERTIFICATE),
        behind_a_hop,
    ),
    Case(
        "97b", "bound to a certificate, and the caller shows none", CNF, BINDING,
        from_certificate(), "no certificate", from_certificate(CERTIFICATE), behind_a_hop,
    ),
    Case(
        "98", "the caller itself writes which certificate it has", "Envoy, XFCC", BINDING,
        from_certificate(CERTIFICATE, principal="spiffe://acme.test/agent/a1"), "no certificate",
        from_certificate(CERTIFICATE), behind_a_hop,
    ),
    Case("99", "WPT for another identity token", WPT, MISSING, wpt(wth="AAAA"), "no Bearer"),
    Case(
        "100", "WPT that names an unknown token in `oth`", WPT, MISSING,
        wpt(oth={"x-unknown": "AAAA"}), "no Bearer",
    ),
    Case(
        "101a", "WPT and Bearer in one request", WPT, Reason.TOKEN_AMBIGUOUS, wpt(bearer=True),
        "several",
    ),
    Case(
        "101b", "an identity token as Bearer, without its proof", WPT, Reason.TYPE_REFUSED,
        lambda mint: workload()(mint)[0], "wit+jwt",
    ),
)  # fmt: skip
