"""AgentWrit's chain: what its issuer signed is read, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.chain import MAX_DEPTH, prove_chain
from sidecar.core.model import Ancestor, Refused, Scope
from sidecar.core.reasons import Reason
from tests.chains import (
    JsonRecord,
    before,
    chain_claims,
    go_hash,
    make_record,
    public_key,
    signed,
    three_hops,
)
from tests.values import NOW

VECTOR = Path(__file__).parents[2] / "vectors" / "agentwrit_chain.json"


def refusal(claims: dict[str, Any], key: str = "broker") -> str:
    """Prove a chain that must not pass; the detail of its refusal."""
    answer = prove_chain(claims, public_key(key))
    assert isinstance(answer, Refused), answer
    assert answer.reason is Reason.DELEGATION_REFUSED
    return answer.detail


def test_prove_chain_reads_ancestors_when_issuer_signed_them() -> None:
    """Root first, each with what it held, when it delegated, and nothing made up."""
    assert prove_chain(chain_claims(three_hops()), public_key()) == (
        Ancestor(
            "root",
            scopes=(Scope("read", "data", "*"), Scope("read", "orders", "*")),
            delegated_at=NOW - 30,
        ),
        Ancestor("middle", scopes=(Scope("read", "data", "*"),), delegated_at=NOW - 20),
        Ancestor(
            "parent",
            scopes=(Scope("read", "data", "x"), Scope("read", "data", "y")),
            delegated_at=NOW - 10,
        ),
    )


def test_prove_chain_reads_what_go_wrote() -> None:
    """A chain that Go marshalled and signed, with every character that Go escapes in its way."""
    vector = json.loads(VECTOR.read_text())
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(vector.pop("x")))
    chain = prove_chain(vector, public_key(public=public))

    assert isinstance(chain, tuple)
    assert [ancestor.agent for ancestor in chain][1] == "a<b>&\"c\\d'"
    assert [ancestor.delegated_at for ancestor in chain] == [NOW - 1.188551602, NOW - 0.5, NOW]


def test_prove_chain_is_empty_when_token_has_none() -> None:
    """Whoever was not sent has no ancestors, whatever the key is for."""
    assert prove_chain({"sub": "a"}, public_key(algorithm="RS256", public=object())) == ()


def test_prove_chain_reads_the_end_when_record_has_one() -> None:
    """``exp`` stands last in the hashed text, in whole seconds."""
    record = make_record("root", ["read:data:*"], before(1), exp=int(NOW) + 60)
    chain = prove_chain(chain_claims([record]), public_key())

    assert isinstance(chain, tuple)
    assert chain[0].expires_at == NOW + 60


@pytest.mark.parametrize("missing", ["delegation_chain", "chain_hash"])
def test_prove_chain_refuses_when_one_of_two_claims_is_missing(missing: str) -> None:
    """83: the hash is what ties the records together; neither is anything alone."""
    claims = chain_claims(three_hops())
    del claims[missing]

    assert refusal(claims)


@pytest.mark.parametrize("chain", [None, [], {}, "x", 1, [None], ["x"], [[]], [{}]])
def test_prove_chain_refuses_when_chain_is_no_array_of_records(chain: Any) -> None:
    """An empty or null chain is not the same as none."""
    assert refusal({"delegation_chain": chain, "chain_hash": go_hash([])})


def test_prove_chain_refuses_when_there_are_six_records() -> None:
    """85: the depth ends at five, however well all are signed."""
    records = [
        make_record(f"agent-{n}", ["read:data:*"], before(60 - n)) for n in range(MAX_DEPTH + 1)
    ]

    assert "array of 1 to 5" in refusal(chain_claims(records))
    assert isinstance(prove_chain(chain_claims(records[:-1]), public_key()), tuple)


@pytest.mark.parametrize("member", ["agent", "scope", "delegated_at", "signature"])
def test_prove_chain_refuses_when_a_member_is_missing(member: str) -> None:
    """Every member is needed to know what was signed."""
    records = three_hops()
    claims = chain_claims(records)
    del records[1][member]

    assert "members" in refusal({**claims, "delegation_chain": records})


@pytest.mark.parametrize("member", ["Agent", "SCOPE", "note", "Exp", "\u017fcope"])
def test_prove_chain_refuses_when_a_member_is_foreign(member: str) -> None:
    """Go reads ``Agent`` as ``agent``, and the last one wins."""
    records = three_hops()
    records[1] |= {member: "x"}

    assert "members" in refusal(chain_claims(records))


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("", "agent"),
        ("a b", "agent"),
        ("a\n", "agent"),
        ("\u00e4", "agent"),
        ("a" * 257, "agent"),
        ("root|read:data:*", "agent"),
    ],
)
def test_prove_chain_refuses_when_agent_is_no_plain_text(agent: str, said: str) -> None:
    """With a | one signature holds for two records; the rest cannot stand in a header."""
    assert said in refusal(chain_claims([make_record(agent, ["read:data:*"], before(1))]))


def test_prove_chain_refuses_when_one_signature_fits_two_records() -> None:
    """What was signed for agent ``a`` is no word for an agent ``a|read:data:x``."""
    honest = make_record("a", ["read:data:x|read:data:y"], before(1))
    twin = {**honest, "agent": "a|read:data:x", "scope": ["read:data:y"]}

    assert isinstance(prove_chain(chain_claims([honest]), public_key()), tuple)
    assert "agent" in refusal(chain_claims([twin]))


@pytest.mark.parametrize(
    "scope",
    [
        [],
        ["read:data"],
        ["read:data:"],
        ["*"],
        ["*:data:x"],
        ["read:data:x,read:data:y"],  # joined, the same text as two scopes
        ["read:data:x", ""],
        ["read:data:x\n"],
        ["read:data:" + "x" * 256],
        ["read:data:x"] * 101,
    ],
)
def test_prove_chain_refuses_when_scope_is_malformed(scope: list[str]) -> None:
    """The issuer's ceiling speaks the same grammar; the issuer's signature changes nothing."""
    assert "scope" in refusal(chain_claims([make_record("root", scope, before(1))]))


@pytest.mark.parametrize("scope", [None, "read:data:x", {"read:data:x": 1}, [1], [["read:data:x"]]])
def test_prove_chain_refuses_when_scope_is_no_array_of_texts(scope: Any) -> None:
    """The string of RFC 9068 is not AgentWrit's."""
    record = make_record("root", ["read:data:x"], before(1))
    claims = chain_claims([record])
    record["scope"] = scope

    assert "scope" in refusal({**claims, "delegation_chain": [record]})


@pytest.mark.parametrize("at", ["", "yesterday", "2027-02-29T08:00:00Z", "2027-01-15T08:00:00"])
def test_prove_chain_refuses_when_delegated_at_is_no_date_time(at: str) -> None:
    """A time that cannot be read cannot be in order."""
    assert "delegated_at" in refusal(chain_claims([make_record("root", ["read:data:x"], at)]))


@pytest.mark.parametrize("at", [None, 1, True, ["2027-01-15T08:00:00Z"]])
def test_prove_chain_refuses_when_delegated_at_is_no_text(at: Any) -> None:
    """Never raises, whatever stands there."""
    claims = chain_claims([make_record("root", ["read:data:x"], before(1))])
    claims["delegation_chain"][0]["delegated_at"] = at

    assert "delegated_at" in refusal(claims)


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda signature: signature[:-2],
        lambda signature: signature + "00",
        lambda signature: signature[:-1] + "\n",
        lambda signature: " " + signature[1:],
        lambda _: None,
        lambda _: 1,
    ],
)
def test_prove_chain_refuses_when_signature_is_spelt_otherwise(
    change: Callable[[str], Any],
) -> None:
    """One signature has one spelling."""
    record = make_record("root", ["read:data:x"], "2027-01-15T08:00:00Z")
    assert record["signature"] != record["signature"].upper()
    claims = chain_claims([record])
    record["signature"] = change(record["signature"])
    if isinstance(record["signature"], str):
        claims["chain_hash"] = go_hash([record])

    assert "signature is not 128" in refusal({**claims, "delegation_chain": [record]})


@pytest.mark.parametrize("exp", [None, "1", 1.0, 1.5, True, 2**53 + 1, -(2**53) - 1, [1]])
def test_prove_chain_refuses_when_exp_is_no_date_in_whole_seconds(exp: Any) -> None:
    """Two ways to write a number would be two hashes of one record."""
    record = make_record("root", ["read:data:x"], before(1), exp=exp)
    claims = {"delegation_chain": [record], "chain_hash": "0" * 64}

    assert "exp" in refusal(claims)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_prove_chain_refuses_when_another_key_signed_a_record(place: int) -> None:
    """83: each record by itself is the issuer's; the hash, which anybody can make, fits."""
    records = three_hops()
    records[place] = signed(records[place], by="stranger")

    assert f"record {place + 1} is not valid" in refusal(chain_claims(records))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "change",
    [
        {"agent": "other"},
        {"scope": ["read:data:*", "write:data:*"]},
        {"delegated_at": before(9)},
        {"delegated_at": before(0).replace("Z", ".000Z")},
    ],
)
def test_prove_chain_refuses_when_a_signed_value_is_changed(place: int, change: JsonRecord) -> None:
    """83: a signature holds for its agent, scopes and exact time, also under a fitting hash."""
    records = three_hops()
    records[place] |= change

    assert "is not valid" in refusal(chain_claims(records))


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records[1:],
        lambda records: records[:-1],
        lambda records: [records[0], records[2]],
        lambda records: [records[1], records[0], records[2]],
        lambda records: [*records, records[0]],
        lambda records: [{**records[0], "exp": 1}, *records[1:]],
    ],
)
def test_prove_chain_refuses_when_hash_is_of_other_records(
    change: Callable[[list[JsonRecord]], list[JsonRecord]],
) -> None:
    """83: records that are good one by one are no chain without the hash of all."""
    claims = chain_claims(three_hops())

    assert "chain_hash" in refusal(
        {**claims, "delegation_chain": change(claims["delegation_chain"])}
    )


@pytest.mark.parametrize("change", [str.upper, lambda h: h[:-1], lambda _: "00", lambda _: None])
def test_prove_chain_refuses_when_hash_is_spelt_otherwise(change: Callable[[str], Any]) -> None:
    """Lower-case hex of all 32 bytes, exactly."""
    claims = chain_claims(three_hops())

    assert "chain_hash" in refusal({**claims, "chain_hash": change(claims["chain_hash"])})


def test_prove_chain_refuses_when_key_is_not_of_ed25519() -> None:
    """AgentWrit has no other; nothing else is tried, and nothing raises."""
    claims = chain_claims(three_hops())
    p256 = ec.generate_private_key(ec.SECP256R1()).public_key()
    ed448 = Ed448PrivateKey.generate().public_key()

    for key in (
        public_key(algorithm="ES256", public=p256),
        public_key(algorithm="EdDSA", public=ed448),
        public_key(algorithm="ES256"),
    ):
        assert prove_chain(claims, key) == Refused(
            Reason.DELEGATION_REFUSED, "the issuer's key is not of Ed25519"
        )
    assert isinstance(prove_chain(claims, public_key(algorithm="Ed25519")), tuple)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=20,
)


@settings(deadline=None)
@given(
    st.one_of(
        JSON,
        st.lists(
            st.fixed_dictionaries(
                {"agent": JSON, "scope": JSON, "delegated_at": JSON, "signature": JSON},
                optional={"exp": JSON},
            ),
            max_size=6,
        ),
    ),
    JSON,
)
def test_prove_chain_never_raises_when_claims_are_anything(chain: Any, digest: Any) -> None:
    """Whatever JSON stands there is a refusal and no error."""
    assert refusal({"delegation_chain": chain, "chain_hash": digest})
