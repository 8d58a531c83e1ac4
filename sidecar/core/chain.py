"""AgentWrit's ``delegation_chain``: what of it the issuer's signatures prove.

Who delegated stands first, the token's own delegator last: the inverse of RFC 8693's ``act``. The
issuer signs each record by itself, over ``agent|scope,scope|delegated_at``, and binds them to each
other by ``chain_hash`` only. AgentWrit writes both and checks neither when a token is used. What a
proven chain allows is ``core.delegation``'s to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sidecar.core.claims import is_date, is_text
from sidecar.core.model import Ancestor, JsonObject, Key, Refused, Scope
from sidecar.core.reasons import Reason
from sidecar.core.rfc3339 import seconds_of
from sidecar.core.scope import parse_scope

MAX_DEPTH: Final = 5
"""The most links of a delegation, of either form; AgentWrit's own limit."""

_CHAIN: Final = "delegation_chain"
_HASH: Final = "chain_hash"
_MAX_SCOPES: Final = 100
_ED25519: Final = frozenset({"EdDSA", "Ed25519"})
_SIGNATURE: Final = re.compile(r"[0-9a-f]{128}")

# The members of Go's struct in its order, which is the order that chain_hash is made over. The
# last one is there when its issuer says when the delegator's own token ends; AgentWrit does not.
_REQUIRED: Final = ("agent", "scope", "delegated_at", "signature")
_OPTIONAL: Final = "exp"

# What Go's encoding/json escapes and Python's json does not. All other text of a record is
# visible ASCII, which both write alike.
_GO_ESCAPES: Final = str.maketrans({mark: f"\\u{ord(mark):04x}" for mark in "<>&"})


def prove_chain(claims: JsonObject, key: Key) -> tuple[Ancestor, ...] | Refused:
    """Read the ancestors, root first, for whom ``key``, the issuer's own, vouches.

    Empty when the token has neither a chain nor its hash. Refused as ``DELEGATION_REFUSED`` unless
    both are there, every record is well-formed and signed, and the hash is the array's.
    """
    if not {_CHAIN, _HASH} & claims.keys():
        return ()
    try:
        records = _records(claims)
        _check_hash(claims)  # first, because it is cheap and a signature is not
        _check_signatures(records, key)
    except ValueError as error:
        return Refused(Reason.DELEGATION_REFUSED, str(error))
    return tuple(record.ancestor for record in records)


def chain_hash(chain: Sequence[JsonObject]) -> str:
    """Lower-case hex SHA-256 of the records' array as Go's ``json.Marshal`` writes it.

    The records are well-formed: their texts are visible ASCII and ``exp`` is a whole number.
    """
    members = (*_REQUIRED, _OPTIONAL)
    ordered = [{name: record[name] for name in members if name in record} for record in chain]
    text = json.dumps(ordered, separators=(",", ":")).translate(_GO_ESCAPES)
    return sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True, slots=True)
class _Record:
    ancestor: Ancestor
    signed: bytes
    """What its signature is over."""
    signature: bytes


def _records(claims: JsonObject) -> list[_Record]:
    chain = claims.get(_CHAIN)
    if not isinstance(chain, list) or not 1 <= len(chain) <= MAX_DEPTH:
        raise ValueError(f"{_CHAIN} is not an array of 1 to {MAX_DEPTH} records")
    return [_record(record) for record in chain]


def _record(record: Any) -> _Record:
    # Exact members: a parser that ignores case could take another one for one of these.
    if not isinstance(record, dict) or record.keys() - {_OPTIONAL} != set(_REQUIRED):
        raise ValueError(f"a record has other members than {', '.join(_REQUIRED)}")
    agent, scope, delegated_at, signature = (record[name] for name in _REQUIRED)
    # With a | in it, one signature would hold for two records: the scope could be part of the name.
    if not is_text(agent) or "|" in agent:
        raise ValueError("a record's agent is not a text without |")
    at = seconds_of(delegated_at) if isinstance(delegated_at, str) else None
    if at is None:
        raise ValueError("a record's delegated_at is no RFC 3339 date-time")
    if not isinstance(signature, str) or _SIGNATURE.fullmatch(signature) is None:
        raise ValueError("a record's signature is not 128 lower-case hex digits")
    end = _end(record[_OPTIONAL]) if _OPTIONAL in record else None
    ancestor = Ancestor(agent, scopes=_scopes(scope), delegated_at=at, expires_at=end)
    signed = f"{agent}|{','.join(scope)}|{delegated_at}".encode("ascii")
    return _Record(ancestor, signed, bytes.fromhex(signature))


def _scopes(items: Any) -> tuple[Scope, ...]:
    if not isinstance(items, list) or not 1 <= len(items) <= _MAX_SCOPES:
        raise ValueError(f"a record's scope is not an array of 1 to {_MAX_SCOPES} texts")
    # The grammar has no comma: joined with commas, no two lists are one text.
    scopes = [parse_scope(item) if isinstance(item, str) else None for item in items]
    if None in scopes:
        raise ValueError("a record's scope is malformed")
    return tuple(scope for scope in scopes if scope is not None)


def _end(value: Any) -> float:
    # Whole seconds only: Go and Python do not write all other numbers alike.
    if not isinstance(value, int) or not is_date(value):
        raise ValueError("a record's exp is not a date in whole seconds")
    return float(value)


def _check_hash(claims: JsonObject) -> None:
    if claims.get(_HASH) != chain_hash(claims[_CHAIN]):
        raise ValueError(f"{_HASH} is not the chain's")


def _check_signatures(records: Sequence[_Record], key: Key) -> None:
    if key.algorithm not in _ED25519 or not isinstance(key.public, Ed25519PublicKey):
        raise ValueError("the issuer's key is not of Ed25519")
    for number, record in enumerate(records, 1):
        try:
            key.public.verify(record.signature, record.signed)
        except InvalidSignature:
            raise ValueError(f"the signature of record {number} is not valid") from None
