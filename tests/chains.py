"""AgentWrit's delegation chains for tests, minted as its broker does: Ed25519, hex, Go's JSON.

The JSON is put together by hand, so that the kit shares nothing with what it tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from typing import Any, TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sidecar.core.model import Key
from tests.values import ISSUER, NOW

JsonRecord: TypeAlias = dict[str, Any]

SUB = "spiffe://agentwrit.local/agent/orch-1/task-42/child"


@cache
def chain_key(name: str = "broker") -> Ed25519PrivateKey:
    """Make the issuer's key; another name gives another one."""
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def public_key(name: str = "broker", **overrides: Any) -> Key:
    """Give its public half as the sidecar knows it."""
    return replace(Key(ISSUER, "k", "EdDSA", name, chain_key(name).public_key()), **overrides)


def go_time(nanoseconds: int) -> str:
    """Write a moment since the epoch in UTC as ``time.RFC3339Nano`` does."""
    seconds, rest = divmod(nanoseconds, 10**9)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}{f'.{rest:09}'.rstrip('0') if rest else ''}Z"


def before(seconds: float) -> str:
    """``delegated_at`` of so many seconds before now."""
    return go_time(int(NOW) * 10**9 - round(seconds * 10**9))


def signed(record: JsonRecord, *, by: str = "broker") -> JsonRecord:
    """Sign a record, whatever it holds."""
    text = "|".join((record["agent"], ",".join(record["scope"]), record["delegated_at"]))
    return {**record, "signature": chain_key(by).sign(text.encode()).hex()}


def make_record(agent: str, scope: Sequence[str], delegated_at: str, **more: Any) -> JsonRecord:
    """Make one signed record; ``more`` are members beside it, or other values of its own."""
    record = signed({"agent": agent, "scope": list(scope), "delegated_at": delegated_at})
    return {**record, **more}


def chain_claims(records: Sequence[JsonRecord]) -> dict[str, Any]:
    """Make the two claims of a token, with the hash that fits the records."""
    return {"delegation_chain": list(records), "chain_hash": go_hash(records)}


def go_hash(records: Sequence[JsonRecord]) -> str:
    """Digest what ``json.Marshal`` of Go makes of the records."""
    text = ",".join(_go_record(record) for record in records)
    return sha256(f"[{text}]".encode()).hexdigest()


def _go_record(record: JsonRecord) -> str:
    scope = ",".join(_go_text(item) for item in record["scope"])
    exp = f',"exp":{record["exp"]}' if "exp" in record else ""
    return (
        f'{{"agent":{_go_text(record["agent"])},"scope":[{scope}],'
        f'"delegated_at":{_go_text(record["delegated_at"])},'
        f'"signature":{_go_text(record["signature"])}{exp}}}'
    )


def _go_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    for mark, code in (("<", "003c"), (">", "003e"), ("&", "0026")):
        escaped = escaped.replace(mark, f"\\u{code}")
    return f'"{escaped}"'


def three_hops() -> list[JsonRecord]:
    """Make a chain of root, middle and parent, each with less than the one before."""
    return [
        make_record("root", ["read:data:*", "read:orders:*"], before(30)),
        make_record("middle", ["read:data:*"], before(20)),
        make_record("parent", ["read:data:x", "read:data:y"], before(10)),
    ]
