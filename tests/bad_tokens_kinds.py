"""Rows 102 to 108: what is signed by the right key and was never meant as an access token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from sidecar.config.profiles import PRESETS
from sidecar.core.feed import Batch, Genesis
from sidecar.core.feed_wire import BATCH, sign_batch
from sidecar.core.model import Scope
from sidecar.core.reasons import Reason
from tests.bad_tokens_kit import (
    Case,
    Maker,
    Mint,
    claiming,
    dumped,
    preset,
)
from tests.feed_source import FEED, KEY, KID
from tests.gate import Gate
from tests.tokens import ABSENT, base64url, signer

DAY: Final = 86_400
EVENTS: Final[dict[str, Any]] = {
    "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}
}
POD: Final = "system:serviceaccount:acme:reader"
ALL_ORDERS: Final = (Scope("read", "orders", "*"),)


def security_event(mint: Mint) -> bytes:
    """As RFC 8417 has it: no ``exp``, no ``sub``, its own ``typ``."""
    left_out = dict.fromkeys(("exp", "nbf", "sub", "scope", "agent_id", "tenant"), ABSENT)
    return mint.token(header={"typ": "secevent+jwt"}, events=EVENTS, **left_out)


def entry() -> Batch:
    return Batch(FEED, 0, 1, (Genesis(1),))


def good_entries() -> bytes:
    """What the feed's own key signed."""
    return sign_batch(entry(), KID, KEY)


def unsigned_entries(mint: Mint) -> bytes:
    """The feed's own batch, with another header and no signature."""
    del mint
    _, payload, _ = good_entries().split(b".")
    header = dumped({"alg": "none", "kid": KID, "typ": BATCH})
    return b".".join((base64url(header), payload, b""))


def entries_of_another(mint: Mint) -> bytes:
    """A batch whose form is right, by a key that is not the feed's."""
    del mint
    return sign_batch(entry(), KID, signer(name="stranger").private)


KEYCLOAK = preset("keycloak", scope_words={"orders": ALL_ORDERS})


def keycloak(kind: str) -> Maker:
    """A token as Keycloak writes it; ``kind`` is the ``typ`` of its payload."""
    own = {"azp": "agent-1", "scope": "openid orders", "tenant": ABSENT, "agent_id": ABSENT}
    return claiming(typ=kind, **own)


def pod_token(warn_in: int, exp_in: int = 300 * DAY) -> Maker:
    """A service account's token whose life the API server extended to 300 days."""

    def made(mint: Mint) -> bytes:
        pod = {"name": "reader-1", "uid": "7c1f"}
        own = {"namespace": "acme", "pod": pod, "warnafter": mint.now + warn_in}
        left_out = dict.fromkeys(("scope", "agent_id", "tenant", "task_id", "sid"), ABSENT)
        claims: dict[str, Any] = {
            "sub": POD,
            "iat": mint.now - 600,
            "exp": mint.now + exp_in,
            **left_out,
        }
        claims["kubernetes.io"] = own
        return mint.token(header={"typ": ABSENT}, **claims)

    return made


def pods(**names: str) -> Callable[[], Gate]:
    """Gates that take service accounts' tokens; ``names`` are claims by other names."""
    claims = replace(PRESETS["kubernetes"].claims, **names)
    return preset("kubernetes", claims=claims, grants={POD: ALL_ORDERS}, max_lifetime=3607.0)


def status_list(kind: str) -> Maker:
    return lambda mint: mint.token(
        header={"typ": kind}, status_list={"bits": 1, "lst": "eNrbuRgAAhcBXQ"}, ttl=60
    )


def once(**claims: Any) -> Maker:
    return claiming(single_use=True, **claims)


REVOKING: Final = {"status": {"status_list": {"idx": 1, "uri": "https://issuer.test/status/1"}}}
TYPE, CLAIM, LACKING = Reason.TYPE_REFUSED, Reason.CLAIM_INVALID, Reason.INSUFFICIENT_SCOPE
SET, STATUS = "RFC 8417, 4.2", "draft-ietf-oauth-status-list"
OURS: Final = "scopegate"

CASES: Final = (
    Case("102", "a security event", SET, TYPE, security_event, "secevent+jwt"),
    Case(
        "103", "a security event with `exp`, `sub` and all else, and without its `typ`", SET, TYPE,
        claiming(events=EVENTS), "events",
    ),
    Case(
        "104a", "a revocation entry that nobody signed, for the feed or as Bearer", OURS,
        Reason.TOKEN_MALFORMED, unsigned_entries, "three segments",
    ),
    Case(
        "104b", "a revocation entry that another signed, for the feed or as Bearer", OURS,
        Reason.ISSUER_UNKNOWN, entries_of_another,
    ),
    Case(
        "105a", "Keycloak's ID token", "RFC 8725, 3.12", TYPE, keycloak("ID"), "typ says",
        good=keycloak("Bearer"), gate=KEYCLOAK,
    ),
    Case(
        "105b", "Keycloak's refresh token", "RFC 8725, 3.12", TYPE, keycloak("Refresh"),
        "typ says", good=keycloak("Bearer"), gate=KEYCLOAK,
    ),
    Case(
        "105c", "an ID token with `at_hash`", "RFC 8725, 3.12", TYPE, claiming(at_hash="LDkt"),
        "at_hash",
    ),
    Case(
        "106a", "`warnafter` is past, `exp` in 300 days", "Kubernetes", Reason.TOKEN_EXPIRED,
        pod_token(-1), good=pod_token(3000), gate=pods(),
    ),
    Case(
        "106b", "`exp` in 300 days, and nobody reads `warnafter`", "Kubernetes",
        Reason.LIFETIME_EXCEEDED, pod_token(3000), good=pod_token(3000, 3000),
        gate=pods(ends_early=""),
    ),
    Case(
        "107a", "`status` points into a status list", STATUS, CLAIM, claiming(**REVOKING),
        "status",
    ),
    Case(
        "107b", "the status list itself", STATUS, TYPE, status_list("statuslist+jwt"),
        "statuslist+jwt",
    ),
    Case(
        "107c", "the status list itself, as `JWT`", STATUS, TYPE, status_list("JWT"),
        "status_list",
    ),
    Case(
        "108a", "a token for one call, a second time", OURS, Reason.REPLAYED, once(), good=once(),
        after_good=True,
    ),
    Case(
        "108b", "a token for one call of another path", OURS, LACKING,
        once(scope=["read:orders:o-2"]), good=once(scope=["read:orders:o-1"]),
    ),
    Case(
        "108c", "a token for one call of another method", OURS, LACKING,
        once(scope=["write:orders:o-1"]), good=once(scope=["read:orders:o-1"]),
    ),
)  # fmt: skip
