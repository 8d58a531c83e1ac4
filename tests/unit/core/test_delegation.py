"""Delegation: who holds a token and who stands above; nothing may grow on the way down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.delegation import (
    MAX_DEPTH,
    Actor,
    Ancestry,
    Delegation,
    actors_of,
    ancestry,
    prove_chain,
)
from sidecar.core.deny import DenyEntry, DenyKey, DenyKind, keys_of
from sidecar.core.model import Ancestor, Refused, SignedClaims
from sidecar.core.reasons import Reason
from sidecar.core.scope import parse_scope
from tests.chains import (
    SUB,
    JsonRecord,
    before,
    chain_claims,
    go_time,
    make_record,
    public_key,
    signed,
    three_hops,
)
from tests.values import ISSUER, NOW, make_agent

OTHER = "https://other.example"
BOTH = frozenset(Delegation)
ACT = frozenset({Delegation.ACT})
CHAIN = frozenset({Delegation.CHAIN})


def claims_of(**more: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "sub": SUB, "iat": int(NOW), "exp": int(NOW) + 300, **more}


def judge(
    claims: dict[str, Any],
    kinds: frozenset[Delegation] = BOTH,
    *,
    scopes: tuple[str, ...] = ("read:data:x",),
    leeway: float = 0.0,
    max_depth: int = MAX_DEPTH,
) -> Ancestry | Refused:
    """Walk a token's delegation as ``core.signature`` and ``core.verify`` do."""
    chain = prove_chain(claims, public_key())
    if isinstance(chain, Refused):
        return chain
    own = tuple(scope for text in scopes if (scope := parse_scope(text)))
    assert len(own) == len(scopes)
    proven = SignedClaims(claims, "jwt", public_key(), chain)
    return ancestry(proven, kinds, own, leeway=leeway, max_depth=max_depth)


def refusal(answer: object) -> str:
    """Tell the detail of a refusal for the token's delegation."""
    assert isinstance(answer, Refused), answer
    assert answer.reason is Reason.DELEGATION_REFUSED
    return answer.detail


def passed(answer: Ancestry | Refused) -> Ancestry:
    assert isinstance(answer, Ancestry), answer
    return answer


def chained(records: list[JsonRecord], **more: Any) -> dict[str, Any]:
    return claims_of(**chain_claims(records), **more)


def nested(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "actor-1"}
    for number in range(2, depth + 1):
        act = {"sub": f"actor-{number}", "act": act}
    return act


# --- act ---------------------------------------------------------------------------------------


def test_actors_of_reads_outermost_first() -> None:
    """RFC 8693, section 4.1: the outermost is who acts now; other members say nothing to us."""
    act = {
        "sub": "b",
        "nbf": "never",
        "aud": 7,
        "client_id": "x",
        "act": {"sub": "a", "iss": OTHER, "exp": 5},
    }

    assert actors_of({"act": act}) == (Actor("b"), Actor("a", OTHER, 5.0))


def test_actors_of_is_empty_when_nobody_acts() -> None:
    """Without ``act`` nobody acts, whoever may."""
    assert actors_of({"sub": "a"}) == ()
    assert actors_of({"sub": "a", "may_act": {"sub": "b"}}) == ()


@pytest.mark.parametrize("where", ["act", "inner", "may_act"])
@pytest.mark.parametrize(
    "broken",
    [
        None,
        "b",
        [],
        [{"sub": "b"}],
        {},
        {"sub": ""},
        {"sub": 7},
        {"sub": None},
        {"sub": "b\n"},
        {"sub": "b c"},
        {"sub": "\u00e4"},
        {"sub": "b" * 257},
        {"sub": "b", "iss": ""},
        {"sub": "b", "iss": None},
        {"sub": "b", "iss": [ISSUER]},
        {"sub": "b", "exp": None},
        {"sub": "b", "exp": "5"},
        {"sub": "b", "exp": True},
        {"sub": "b", "exp": 1e300},
        {"sub": "b", "SUB": "c"},
        {"sub": "b", "Iss": OTHER},
        {"sub": "b", "Act": {"sub": "c"}},
        {"sub": "b", "EXP": 5},
        {"sub": "b", "\u017fub": "c"},
    ],
)
def test_actors_of_refuses_when_an_actor_is_malformed(where: str, broken: Any) -> None:
    """What is there and cannot be used refuses, and so does what another parser reads."""
    claims = {
        "act": {"act": broken},
        "inner": {"act": {"sub": "z", "act": broken}},
        "may_act": {"may_act": broken},
    }[where]

    assert refusal(actors_of({"iss": ISSUER, "sub": "a", **claims}))


def test_actors_of_refuses_when_nested_deeper_than_told() -> None:
    """85: five actors pass, the sixth does not; the profile may say less."""
    assert len(actors_of({"act": nested(5)})) == 5  # type: ignore[arg-type]  # it is no refusal
    assert "deeper than 5" in refusal(actors_of({"act": nested(6)}))
    assert "deeper than 1" in refusal(actors_of({"act": nested(2)}, max_depth=1))


@pytest.mark.parametrize(
    ("may_act", "act", "good"),
    [
        ({"sub": "b"}, {"sub": "b"}, True),
        ({"sub": "b"}, {"sub": "b", "act": {"sub": "c"}}, True),
        ({"sub": "b", "iss": ISSUER}, {"sub": "b"}, True),
        ({"sub": "b"}, {"sub": "b", "iss": ISSUER}, True),
        ({"sub": "b", "iss": OTHER}, {"sub": "b", "iss": OTHER}, True),
        ({"sub": "c"}, {"sub": "b"}, False),
        ({"sub": "c"}, {"sub": "b", "act": {"sub": "c"}}, False),
        ({"sub": "b", "iss": OTHER}, {"sub": "b"}, False),
        ({"sub": "b", "iss": ISSUER}, {"sub": "b", "iss": OTHER}, False),
        ({"sub": "b"}, {"sub": "b", "iss": OTHER}, False),
    ],
)
def test_actors_of_holds_act_against_may_act(
    may_act: dict[str, Any],
    act: dict[str, Any],
    good: bool,  # noqa: FBT001 - a case of the table
) -> None:
    """RFC 8693, section 4.4: who may act does; a name without issuer is the token's issuer's."""
    answer = actors_of({"iss": ISSUER, "sub": "a", "may_act": may_act, "act": act})

    if good:
        assert isinstance(answer, tuple)
    else:
        assert refusal(answer) == "act is not whom may_act names"


def test_ancestry_is_the_subject_alone_when_nobody_delegated() -> None:
    """Whoever was not sent holds its own token, whatever its issuer may do."""
    assert judge(claims_of(), frozenset()) == judge(claims_of()) == Ancestry(SUB, ())


def test_ancestry_of_act_names_everybody_but_the_holder() -> None:
    """The subject is the oldest, the outermost actor holds the token, the others stand between."""
    act = {"sub": "c", "act": {"sub": "b", "iss": OTHER, "act": {"sub": "a", "iss": ISSUER}}}

    assert judge(claims_of(act=act)) == Ancestry(
        "c", (Ancestor(SUB), Ancestor("a"), Ancestor("b", OTHER))
    )


def test_ancestry_keeps_the_holders_issuer_when_it_is_another() -> None:
    """A name is its issuer's: ours and theirs may be two."""
    foreign = passed(judge(claims_of(act={"sub": "a", "iss": OTHER})))
    own = passed(judge(claims_of(act={"sub": "a", "iss": ISSUER})))

    assert (foreign.actor_issuer, own.actor_issuer) == (OTHER, "")


def test_ancestry_takes_the_issuers_own_name_from_the_key() -> None:
    """A token without ``iss`` has an issuer all the same: whose key signed it."""
    claims = claims_of(act={"sub": "b", "act": {"sub": "a", "iss": ISSUER}})
    del claims["iss"]

    assert passed(judge(claims)).ancestors == (Ancestor(SUB), Ancestor("a"))


@pytest.mark.parametrize("inner", [False, True])
def test_vector_86_child_that_outlives_an_actor_is_refused(
    inner: bool,  # noqa: FBT001 - a case of the table
) -> None:
    """86: a token lasts no longer than the token of anybody who acts in it."""

    def act(exp: float) -> dict[str, Any]:
        last = {"sub": "a", "exp": exp}
        return {"sub": "b", "act": last} if inner else last

    assert "exp is after" in refusal(judge(claims_of(act=act(NOW + 299))))
    assert passed(judge(claims_of(act=act(NOW + 300)))).actor == ("b" if inner else "a")


# --- either ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "kinds", "named"),
    [
        (claims_of(act={"sub": "a"}), frozenset[Delegation](), "act"),
        (claims_of(act={"sub": "a"}), CHAIN, "act"),
        (chained(three_hops()), frozenset[Delegation](), "delegation_chain"),
        (chained(three_hops()), ACT, "delegation_chain"),
    ],
)
def test_ancestry_refuses_when_the_issuer_may_not_delegate_so(
    claims: dict[str, Any], kinds: frozenset[Delegation], named: str
) -> None:
    """A form that the operator does not expect is no form; the record names the claim."""
    assert refusal(judge(claims, kinds)) == f"{named} is not taken from this issuer"


def test_ancestry_refuses_when_both_forms_are_there() -> None:
    """One says that the subject holds the token, the other that it does not."""
    assert "in one token" in refusal(judge(chained(three_hops(), act={"sub": "a"})))


def test_ancestry_refuses_when_the_chain_was_not_proven() -> None:
    """A chain that nobody checked is not taken for none."""
    unproven = SignedClaims(chained(three_hops()), "jwt", public_key())

    assert "not proven" in refusal(ancestry(unproven, BOTH, (), leeway=0.0, max_depth=MAX_DEPTH))


@pytest.mark.parametrize("name", ["sub", "iat", "exp"])
@pytest.mark.parametrize("value", [None, "", True, [], {}])
def test_ancestry_refuses_when_a_claim_that_it_needs_is_unusable(name: str, value: Any) -> None:
    """It relies on nobody having looked before."""
    assert judge(chained(three_hops()) | {name: value}) == Refused(Reason.CLAIM_INVALID, name)


# --- the chain ---------------------------------------------------------------------------------


def test_ancestry_of_chain_names_everybody_above() -> None:
    """The subject holds the token, and the chain stands above it, root first."""
    answer = passed(judge(chained(three_hops()), CHAIN))

    assert answer.actor == SUB
    assert [ancestor.agent for ancestor in answer.ancestors] == ["root", "middle", "parent"]
    assert {ancestor.issuer for ancestor in answer.ancestors} == {""}


@pytest.mark.parametrize("change", ["signature", "hash"])
def test_vector_83_forged_chain_is_refused(change: str) -> None:
    """83: AgentWrit's own broker takes both of these."""
    records = three_hops()
    if change == "signature":
        records[0]["signature"] = "00" * 64
    claims = chained(records)
    if change == "hash":
        claims["chain_hash"] = "00" * 32

    assert refusal(judge(claims))


@pytest.mark.parametrize(
    "scopes",
    [
        ("read:data:z",),
        ("read:data:*",),
        ("write:data:x",),
        ("read:orders:x",),
        ("read:data:x", "read:orders:1"),
    ],
)
def test_vector_84_token_wider_than_its_delegator_is_refused(scopes: tuple[str, ...]) -> None:
    """84: the parent's scopes are the most that a token may have, also of what the root had."""
    assert "more than its delegator held" in refusal(judge(chained(three_hops()), scopes=scopes))
    assert passed(judge(chained(three_hops()), scopes=("read:data:y", "read:data:x"))).ancestors


@pytest.mark.parametrize("wider", ["write:data:x", "read:files:*", "read:data:*"])
def test_vector_84_delegator_wider_than_its_own_is_refused(wider: str) -> None:
    """84: what the middle did not have, the parent cannot have had, though its issuer says so."""
    records = [
        make_record("root", ["read:data:x", "read:data:y"], before(3)),
        make_record("middle", ["read:data:x"], before(2)),
        make_record("parent", ["read:data:x", wider], before(1)),
    ]

    assert "more than its delegator held" in refusal(judge(chained(records)))


def test_vector_85_chain_deeper_than_allowed_is_refused() -> None:
    """85: six links never pass, and fewer do not where the profile says so."""
    records = [make_record(f"a-{n}", ["read:data:*"], before(9 - n)) for n in range(6)]

    assert refusal(judge(chained(records)))
    assert len(passed(judge(chained(records[:5]))).ancestors) == 5
    assert "longer than 2" in refusal(judge(chained(records[:3]), max_depth=2))


@pytest.mark.parametrize("place", [0, 1, 2])
def test_vector_86_child_that_outlives_a_delegator_is_refused(place: int) -> None:
    """86: AgentWrit's broker mints these; a child ends with everybody above at the latest."""
    records = three_hops()
    records[place]["exp"] = int(NOW) + 299
    assert "exp is after" in refusal(judge(chained(records)))

    records[place]["exp"] = int(NOW) + 300
    assert passed(judge(chained(records))).ancestors[place].expires_at == NOW + 300


@pytest.mark.parametrize("revoked", ["root", "middle", "parent", SUB])
def test_vector_87_child_of_a_revoked_delegator_is_refused(revoked: str) -> None:
    """87: revoking anybody above kills the child; AgentWrit's broker lets it live."""
    answer = passed(judge(chained(three_hops())))
    agent = make_agent(subject=SUB, agent=SUB, actor=answer.actor, ancestors=answer.ancestors)

    assert DenyKey(DenyKind.AGENT, ISSUER, "acme", revoked) in keys_of(agent)


@pytest.mark.parametrize(("delegated", "good"), [(NOW - 100, False), (NOW - 1, True)])
def test_vector_87_holds_for_older_tokens_when_the_delegator_is_back(
    delegated: float,
    good: bool,  # noqa: FBT001 - a case of the table
) -> None:
    """87: the entry of an ancestor is judged by the token's own ``iat``."""
    answer = passed(judge(chained(three_hops())))
    agent = make_agent(ancestors=answer.ancestors, issued_at=delegated)
    key = DenyKey(DenyKind.AGENT, ISSUER, "acme", "middle")

    assert key in keys_of(agent)
    assert DenyEntry(key, NOW + 60, not_before=NOW - 10).holds_for(agent, NOW) is not good


@pytest.mark.parametrize(
    "names", [("root", SUB, "parent"), ("root", "middle", "root"), ("root", "root", "parent")]
)
def test_ancestry_refuses_when_somebody_delegated_to_itself(names: tuple[str, ...]) -> None:
    """Nobody gets a fresh token for a revoked one from itself, in one step or in several."""
    records = [make_record(name, ["read:data:*"], before(9 - n)) for n, name in enumerate(names)]

    assert "stands twice" in refusal(judge(chained(records)))


@pytest.mark.parametrize("times", [(3, 1, 2), (1, 2, 3), (2, 3, 1), (3, 2, 2 + 1e-6)])
def test_ancestry_refuses_when_times_go_back(times: tuple[float, ...]) -> None:
    """Nobody passes on what it gets later."""
    records = [make_record(f"a-{n}", ["read:data:*"], before(ago)) for n, ago in enumerate(times)]

    assert "order of time" in refusal(judge(chained(records)))


def test_ancestry_takes_records_of_one_moment() -> None:
    """A clock may stand still between two."""
    records = [make_record(f"a-{n}", ["read:data:*"], before(1)) for n in range(3)]

    assert passed(judge(chained(records))).actor == SUB


@pytest.mark.parametrize(
    ("after", "leeway", "good"),
    [(0.9, 0.0, True), (1, 0.0, False), (5, 5.0, True), (6, 5.0, False), (6, 5.5, False)],
)
def test_ancestry_refuses_when_delegated_after_the_token_was_issued(
    after: float,
    leeway: float,
    good: bool,  # noqa: FBT001 - a case of the table
) -> None:
    """The record comes first. ``iat`` is in whole seconds, the record of the same second is not."""
    answer = judge(chained([make_record("a", ["read:data:*"], before(-after))]), leeway=leeway)

    if good:
        assert passed(answer).ancestors
    else:
        assert "after the token was issued" in refusal(answer)


# --- any chain ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Minted:
    """A good token: its chain and its own scopes."""

    records: list[JsonRecord]
    scopes: tuple[str, ...]

    def judged(self, claims: dict[str, Any]) -> Ancestry | Refused:
        return judge(claims, CHAIN, scopes=self.scopes)


NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="|"))
NARROW = st.sampled_from([f"{a}:{r}:{i}" for a in ("read", "write") for r in "xy" for i in "12"])


@st.composite
def minted(draw: st.DrawFn, *, least: int = 1) -> Minted:
    """Any good chain: names as ASCII allows, scopes that shrink, times that do not go back."""
    depth = draw(st.integers(least, MAX_DEPTH))
    names = draw(st.lists(NAMES.filter(bool), min_size=depth, max_size=depth, unique=True))
    nanoseconds = st.integers(1, 10**9 * 3600)
    # A microsecond apart at least: a double is no finer.
    gaps = draw(st.lists(nanoseconds.map(lambda n: n + 1000), min_size=depth, max_size=depth))
    at = int(NOW) * 10**9 - sum(gaps)
    held = sorted(draw(st.sets(NARROW, min_size=1)) | {"read:z:*"})
    records: list[JsonRecord] = []
    for name, gap in zip(names, gaps, strict=True):
        held = [scope for scope in held if scope == "read:z:*" or draw(st.booleans())]
        records.append(make_record(name, held, go_time(at)))
        at += gap
    return Minted(records, ("read:z:a<&>|b", *held))


@settings(deadline=None)
@given(minted())
def test_any_good_chain_passes(good: Minted) -> None:
    """Whatever a careful issuer mints is understood, link by link."""
    answer = passed(good.judged(chained(good.records)))

    assert [ancestor.agent for ancestor in answer.ancestors] == [
        record["agent"] for record in good.records
    ]


WIDER = "write:everything:*"


def widened(record: JsonRecord) -> JsonRecord:
    return {**record, "scope": [*record["scope"], WIDER]}


def later(record: JsonRecord) -> JsonRecord:
    return {**record, "delegated_at": go_time((int(NOW) + 60) * 10**9)}


@settings(deadline=None)
@given(minted(), st.data())
def test_any_chain_with_one_change_is_refused(good: Minted, data: st.DataObject) -> None:
    """The token's signature aside, the hash and the records' own hold every byte of it."""
    claims, records = chained(good.records), good.records
    place = data.draw(st.integers(0, len(records) - 1))
    other = data.draw(st.integers(0, len(records) - 1))
    swapped = list(records)
    swapped[place], swapped[other] = records[other], records[place]
    sixth = [make_record(f"|{n}", ["read:z:*"], before(0)) for n in range(6 - len(records))]
    changed_one = [
        [*records[:place], change(records[place]), *records[place + 1 :]]
        for change in (widened, later, lambda record: signed(record, by="stranger"))
    ]
    moved = [
        records[:place] + records[place + 1 :],
        *([swapped] if place != other else []),
        records + sixth,
    ]

    for changed in (*changed_one, *moved):
        assert refusal(good.judged({**claims, "delegation_chain": changed}))
        assert refusal(good.judged({**claims, "chain_hash": chain_claims(changed)["chain_hash"]}))
    for changed in changed_one:
        assert f"record {place + 1} is not valid" in refusal(good.judged(chained(changed)))


@settings(deadline=None)
@given(minted(least=2), st.data())
def test_any_chain_that_its_issuer_bent_is_refused(good: Minted, data: st.DataObject) -> None:
    """Signed and hashed anew, it is still refused where it grew, turned round or got too long."""
    records = good.records
    place = data.draw(st.integers(1, len(records) - 1))
    other = data.draw(st.integers(0, place - 1))
    swapped = list(records)
    swapped[place], swapped[other] = records[other], records[place]
    sixth = [make_record(f"+{'+' * 300}"[: 256 - n], ["read:z:*"], before(0)) for n in range(6)]
    bent = {
        "order of time": swapped,
        "array of 1 to 5": (records + sixth)[:6],
        "more than its delegator": [
            *records[:place],
            signed(widened(records[place])),
            *records[place + 1 :],
        ],
        "after the token was": [*records[:-1], signed(later(records[-1]))],
        "stands twice": [*records[:-1], signed({**records[-1], "agent": SUB})],
    }

    for said, changed in bent.items():
        assert said in refusal(good.judged(chained(changed)))


@settings(deadline=None)
@given(minted())
def test_any_token_wider_than_its_chain_is_refused(good: Minted) -> None:
    """Whatever the issuer signs, a child never has what its parent had not."""
    wider = Minted(good.records, (*good.scopes, WIDER))

    assert "more than its delegator" in refusal(wider.judged(chained(good.records)))
