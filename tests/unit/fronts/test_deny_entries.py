"""Whatever a socket takes, the signed feed can carry to its readers."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.deny import DenyKind
from sidecar.core.feed import Batch, Denied, FeedId
from sidecar.core.feed_wire import open_batch, sign_batch
from sidecar.fronts.deny_entries import LONGEST_TIME, DenyRequest, entry_of
from tests.tokens import ISSUER, NOW

TENANTS = {ISSUER: {"acme"}}
KEY = Ed25519PrivateKey.generate()
NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 10**10).map(float)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=1100)


@given(
    kind=st.sampled_from(list(DenyKind)),
    value=TEXTS | st.from_regex(r"[!-~]{1,257}", fullmatch=True),
    lasts=NUMBERS,
    not_before=st.none() | NUMBERS,
    reason=TEXTS,
)
def test_entry_that_is_taken_can_be_published(
    kind: DenyKind, value: str, lasts: float, not_before: float | None, reason: str
) -> None:
    """One that readers refused would stop the feed for all that come after it."""
    tenant = "" if kind is DenyKind.KID else "acme"
    wanted = {
        "kind": kind.value,
        "issuer": ISSUER,
        "tenant": tenant,
        "value": value,
        "lasts": lasts,
        "not_before": not_before,
        "reason": reason,
    }
    request = msgspec.json.decode(msgspec.json.encode(wanted), type=DenyRequest)
    try:
        entry = entry_of(request, TENANTS, NOW)
    except ValueError:
        return
    batch = Batch(FeedId("0" * 32, 1), 1, 2, (Denied(2, entry),))

    assert open_batch(sign_batch(batch, "k", KEY), {"k": KEY.public_key()}) == batch


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lasts": LONGEST_TIME + 1}, "lasts: must be at most"),
        ({"lasts": -1}, "lasts: must be a positive"),
        ({"not_before": -0.5}, "not_before: must be in seconds since the epoch"),
        ({"not_before": 1e12}, "not_before: must be in seconds since the epoch"),
        ({"reason": "r" * 1025}, "reason: must have at most 1024 characters"),
    ],
)
def test_entry_beyond_what_a_reader_takes_names_its_field(
    change: dict[str, object], says: str
) -> None:
    """Milliseconds in the place of seconds are a likely slip."""
    wanted = {"kind": "agent", "issuer": ISSUER, "tenant": "acme", "value": "a", "lasts": 5}
    with pytest.raises(ValueError, match=says):
        entry_of(msgspec.convert(wanted | change, DenyRequest), TENANTS, NOW)
