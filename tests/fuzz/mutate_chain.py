"""What is done to an AgentWrit chain: records that its key signed, and that say too much."""

from __future__ import annotations

import random
from typing import Any, Final

from tests.chains import before, go_hash, make_record
from tests.fuzz.draft import Draft
from tests.fuzz.json_text import copied
from tests.fuzz.mutate_json import ANYWHERE, NUMBERS, TEXTS
from tests.tokens import NOW

_SCOPES: Final = (
    *("read:orders:*", "read:orders:o-1", "write:orders:*", "write:orders:o-1", "read:files:x"),
    *("delete:orders:o-1", "read:orders:a&b<c>", "read:orders:\u2028", "a,b:c:d", "read:orders:"),
)
_TIMES: Final = (
    *("2027-01-15T08:00:00Z", "2027-01-15T07:59:59.999999999Z", "2027-01-15T09:59:29+02:00"),
    *("2027-01-15T07:59:60Z", "2027-02-29T00:00:00Z", "9999-12-31T23:59:59Z", "0000-01-01T00:00Z"),
    *("2027-01-15t07:59:30z", "1800000000", "2027-01-15T07:59:30.0000000001Z", ""),
)

_SIGNATURES: Final = ("0" * 128, make_record("a", ["b:c:d"], before(9))["signature"])


def chain(draw: random.Random, draft: Draft) -> None:
    """Change the chain, or give the token one; most of them are signed and hashed as they are."""
    claims = draft.token.claims
    records: list[Any] = copied(claims.get("delegation_chain", []))
    if not records or draw.random() < 0.4:
        records = _new(draw)
    for _ in range(draw.choice((0, 1, 1, 2))):
        _CHANGES[draw.randrange(len(_CHANGES))](draw, records)
    if draw.random() < 0.7:
        records = [_signed(record) for record in records]
        if draw.random() < 0.15 and isinstance(records[-1:] and records[-1], dict):
            records[-1]["signature"] = draw.choice(_SIGNATURES)
    claims["delegation_chain"] = records
    if draw.random() < 0.85:
        claims["chain_hash"] = _hash(records, claims.get("chain_hash", "0" * 64))
    claims["scope"] = draw.choice((claims.get("scope"), [draw.choice(_SCOPES)], list(_SCOPES[:2])))
    draft.how.append(f"chain of {len(records)}")


def _new(draw: random.Random) -> list[Any]:
    """Whoever stands below holds what stands above, or less, most of the time."""
    hops = draw.choice((1, 2, 3, 5, 6))
    held = [f"read:orders:o-{n}" for n in range(draw.choice((1, 2, 20)))] + ["read:orders:*"]
    records: list[Any] = []
    for hop in range(hops):
        records.append(make_record(f"agent-{hop}", held, before(100 - 10 * hop)))
        if draw.random() < 0.1:  # the delegator's own token ends then
            records[-1]["exp"] = int(NOW) + draw.choice((1, 600, 600))
        held = held[:: draw.choice((1, 1, -1))] if draw.random() < 0.9 else list(_SCOPES[:4])
    return records


def _signed(record: Any) -> Any:
    try:
        signed = make_record(record["agent"], record["scope"], record["delegated_at"])
    except (TypeError, KeyError, UnicodeEncodeError):
        return record  # nobody could sign that
    return {**record, "signature": signed["signature"]}


def _hash(records: list[Any], old: Any) -> Any:
    try:
        return go_hash(records)
    except (TypeError, KeyError, AttributeError, UnicodeEncodeError):
        return old


def _moved(draw: random.Random, records: list[Any]) -> None:
    draw.shuffle(records)


def _dropped(draw: random.Random, records: list[Any]) -> None:
    if records:
        del records[draw.randrange(len(records))]


def _repeated(draw: random.Random, records: list[Any]) -> None:
    if records:
        records.append(copied(draw.choice(records)))


def _another_member(draw: random.Random, records: list[Any]) -> None:
    if not records or not isinstance(record := draw.choice(records), dict):
        return
    name = draw.choice(("agent", "scope", "delegated_at", "exp", "signature", "Agent", "iat"))
    values: dict[str, tuple[Any, ...]] = {
        "agent": (*TEXTS, "agent-1|read:orders:*", 1, None),
        "scope": (list(_SCOPES), [draw.choice(_SCOPES)], [], "read:orders:*", [1], None),
        "delegated_at": (*_TIMES, 1_800_000_000, None),
        "signature": ("0" * 128, "F" * 128, "", None, "é" * 128),
        "exp": (*NUMBERS, 1_800_000_600, 1_800_000_001),
    }
    record[name] = draw.choice(values.get(name, TEXTS))


def _anything(draw: random.Random, records: list[Any]) -> None:
    if records:
        draw.choice(ANYWHERE)(draw, records)


_CHANGES: Final = (_moved, _dropped, _repeated, _another_member, _another_member, _anything)
