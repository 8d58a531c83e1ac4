"""Rows 83 to 89: delegation, revocation, and tokens in another form or in two places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from joserfc import jwe
from joserfc.jwk import OctKey

from sidecar.adapters.memory_deny_list import MemoryDenyList
from sidecar.core.delegation import Delegation
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind
from sidecar.core.reasons import Reason
from tests.bad_tokens_kit import (
    Case,
    Guard,
    Maker,
    Mint,
    Sent,
    claiming,
    dumped,
    gate,
    preset,
)
from tests.chains import JsonRecord, chain_claims, go_time
from tests.gate import Gate
from tests.tokens import ISSUER, NOW, TENANT


def record(mint: Mint, agent: str, scope: Sequence[str], ago: int, **more: Any) -> JsonRecord:
    """One record of AgentWrit's chain, signed by the issuer."""
    at = go_time((mint.now - ago) * 10**9)
    signed = f"{agent}|{','.join(scope)}|{at}".encode()
    members = {"agent": agent, "scope": list(scope), "delegated_at": at}
    return {**members, "signature": mint.by.sign(signed).hex(), **more}


def chain_of(mint: Mint, *names: str, **last: Any) -> list[JsonRecord]:
    """The eldest first; ``last`` are members of the last record."""
    eldest = [record(mint, name, mint.scope, len(names) - n) for n, name in enumerate(names[:-1])]
    return [*eldest, record(mint, names[-1], mint.scope[:1], 1, **last)]


def delegated(mint: Mint, *names: str, **last: Any) -> bytes:
    """A token whose holder had it from these."""
    return mint.token(scope=[mint.scope[0]], **chain_claims(chain_of(mint, *names, **last)))


def good_chain(mint: Mint) -> bytes:
    return delegated(mint, "root", "parent")


def forged_record(mint: Mint) -> bytes:
    """The hash fits; the issuer signed another record."""
    records = chain_of(mint, "root", "parent")
    records[0]["signature"] = records[1]["signature"]
    return mint.token(scope=[mint.scope[0]], **chain_claims(records))


def wrong_hash(mint: Mint) -> bytes:
    records = chain_of(mint, "root", "parent")
    claims = {**chain_claims(records), "chain_hash": "00" * 32}
    return mint.token(scope=[mint.scope[0]], **claims)


def wider_than_parent(mint: Mint) -> bytes:
    return mint.token(**chain_claims(chain_of(mint, "root", "parent")))


def acted(depth: int) -> Maker:
    """So many actors inside each other."""
    act: dict[str, Any] = {"sub": "actor-1"}
    for number in range(2, depth + 1):
        act = {"sub": f"actor-{number}", "act": act}
    return claiming(act=act)


def outliving_record(mint: Mint) -> bytes:
    return delegated(mint, "root", "parent", exp=mint.now + 60)


def outliving_actor(mint: Mint) -> bytes:
    return mint.token(act={"sub": "actor-1", "exp": mint.now + 60})


def denying(kind: DenyKind, value: str, gates: Callable[[], Gate] = Gate) -> Callable[[], Gate]:
    """Gates on whose deny list this stands."""

    def made() -> Gate:
        deny_list = MemoryDenyList(capacity=1)
        deny_list.add(DenyEntry(DenyKey(kind, ISSUER, TENANT, value), NOW + 600), now=NOW)
        return replace(gates(), deny_list=deny_list)

    return made


def json_form(mint: Mint) -> bytes:
    """RFC 7515, section 7.2.2."""
    protected, payload, signature = mint.token().decode().split(".")
    return dumped({"payload": payload, "protected": protected, "signature": signature})


def encrypted(mint: Mint) -> bytes:
    key = OctKey.generate_key(256)
    return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, mint.token(), key).encode()


def two_headers(mint: Mint) -> Sent:
    value = b"Bearer " + mint.token()
    return Sent((("authorization", value), ("authorization", value)))


def list_in_header(mint: Mint) -> Sent:
    value = b"Bearer " + mint.token()
    return Sent((("authorization", value + b", " + value),))


def in_query(mint: Mint) -> Sent:
    return Sent((), query=f"access_token={mint.token().decode()}")


AGENTWRIT = preset("agentwrit")
ACT = gate(delegation=frozenset({Delegation.ACT}))
DELEGATION, AMBIGUOUS = Reason.DELEGATION_REFUSED, Reason.TOKEN_AMBIGUOUS
CHAIN, ONE_TOKEN = "AgentWrit", "RFC 6750, 2"
PASSES: Final = Guard.PASSES

CASES: Final = (
    Case(
        "83a", "a record of the chain signed for another", CHAIN, DELEGATION, forged_record,
        "signature of record 1", good=good_chain, gate=AGENTWRIT,
    ),
    Case(
        "83b", "`chain_hash` of another chain", CHAIN, DELEGATION, wrong_hash,
        "chain_hash is not", good=good_chain, gate=AGENTWRIT,
    ),
    Case(
        "84", "holds more than its delegator held", CHAIN, DELEGATION, wider_than_parent,
        "more than its delegator", good=good_chain, gate=AGENTWRIT,
    ),
    Case(
        "85a", "six records in the chain", CHAIN, DELEGATION,
        lambda mint: delegated(mint, *"abcdef"), "1 to 5 records",
        good=lambda mint: delegated(mint, *"abcde"), gate=AGENTWRIT,
    ),
    Case(
        "85b", "six `act` inside each other", "RFC 8693, 4.1", DELEGATION, acted(6),
        "deeper than 5", good=acted(5), gate=ACT,
    ),
    Case(
        "86a", "ends after its delegator's token, as the record says", "RFC 8693, 4.1",
        DELEGATION, outliving_record, "exp is after", good=good_chain, gate=AGENTWRIT,
    ),
    Case(
        "86b", "ends after its delegator's token, as `act` says", "RFC 8693, 4.1", DELEGATION,
        outliving_actor, "exp is after", good=acted(1), gate=ACT,
    ),
    Case(
        "86c", "may end after its delegator's token, and nothing in it says so", CHAIN, None,
        good_chain, gate=AGENTWRIT,
    ),
    Case(
        "87", "whoever delegated in the middle is revoked", CHAIN, Reason.REVOKED,
        lambda mint: delegated(mint, "root", "middle", "parent"), "agent middle",
        good=good_chain, gate=denying(DenyKind.AGENT, "middle", AGENTWRIT),
    ),
    Case(
        "88", "released, or replaced by a renewed one", "RFC 7009, 2", Reason.REVOKED,
        claiming(jti="released"), "jti released", gate=denying(DenyKind.JTI, "released"),
        guard=PASSES,
    ),
    # Its commas make a list of it, as they would of several tokens.
    Case("89a", "a JWS in JSON", "RFC 8725bis, 3.14", AMBIGUOUS, json_form, "a list"),
    Case("89b", "a JWE", "RFC 7516, 9", Reason.TOKEN_MALFORMED, encrypted, "three segments"),
    Case("89c", "two `Authorization` headers", ONE_TOKEN, AMBIGUOUS, two_headers, "several"),
    Case("89d", "two tokens in one header", ONE_TOKEN, AMBIGUOUS, list_in_header, "a list"),
    Case(
        "89e", "the token in the query", "RFC 6750, 2.3", AMBIGUOUS, in_query, "in the query",
        guard=Guard.NO_LANE,
    ),
)  # fmt: skip
