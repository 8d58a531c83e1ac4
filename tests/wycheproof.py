"""Wycheproof's vectors as cases of the whole gate: what each file holds, and what the gate says.

Every case is asked about twice. As it stands: what a caller would send. And around claims: the
same fault in a token that is good but for it (``tests.wycheproof_remade``), because most vectors
sign "foo", which the gate refuses before it looks at a signature. ``expected.tsv`` names both
answers; ``python -m tests.wycheproof_table`` writes it, and the table of the README, again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from sidecar.core import signature
from sidecar.core.keyring import BadKeySet, KeyRing, parse_jwks
from sidecar.core.lanes import Lane
from sidecar.core.model import Dependency, Key, Refused, Unavailable
from tests.gate import Gate, check
from tests.tokens import ISSUER

VECTORS: Final = Path(__file__).parent / "vectors" / "wycheproof"
EXPECTED: Final = VECTORS / "expected.tsv"
README: Final = VECTORS / "README.md"

SIGNATURE: Final = "json_web_signature_test.json"
CRYPTO: Final = "json_web_crypto_test.json"
KEY: Final = "json_web_key_test.json"
ED25519: Final = "ed25519_test.json"
COUNTS: Final = {SIGNATURE: 401, CRYPTO: 83, KEY: 26, ED25519: 151}

ALGORITHMS: Final = signature.ALGORITHMS - {"Ed25519"}
"""All that the gate knows, one name for each: the vectors' Ed25519 keys say none."""

ALLOWED: Final = "allowed"
NOT_A_JWS: Final = "-"
"""Where a case has no form around claims: it is encrypted."""


_SYMMETRIC: Final = "HMAC: whoever verifies such a token can sign it (RFC 8725, section 2.1)"
_ENCRYPTED: Final = "a JWE, which the gate could not show to policy"
_OTHER_HASH: Final = "its alg is PS384, its key's own PS256 (RFC 8725, section 3.1)"
_NO_ALGORITHM: Final = "its key is for ES521, which is no algorithm"

STRICTER: Final[Mapping[tuple[str, int], str]] = {
    **dict.fromkeys(((SIGNATURE, i) for i in (1, 348, 352)), _SYMMETRIC),
    **dict.fromkeys(((SIGNATURE, i) for i in (357, 358, 359, 372, 373, 376, 377)), _SYMMETRIC),
    **dict.fromkeys(((SIGNATURE, i) for i in (346, 350)), _OTHER_HASH),
    **dict.fromkeys(((SIGNATURE, i) for i in (347, 351)), _NO_ALGORITHM),
    **dict.fromkeys(((CRYPTO, i) for i in (1, 48)), _SYMMETRIC),
    **dict.fromkeys(((CRYPTO, i) for i in (50, 67)), _ENCRYPTED),
    **dict.fromkeys(((KEY, i) for i in (2, 13, 14, 15)), _SYMMETRIC),
}
"""What Wycheproof calls valid and the gate refuses, and why."""


@dataclass(frozen=True, slots=True)
class Case:
    """One test vector."""

    file: str
    id: int
    comment: str
    flags: tuple[str, ...]
    result: str
    """``valid`` or ``invalid``, as Wycheproof has it."""
    group: Mapping[str, Any] = field(repr=False)
    test: Mapping[str, Any] = field(repr=False)

    @property
    def flag(self) -> str:
        """The flags, or for want of any the group's comment."""
        return " ".join(self.flags) or self.group.get("comment") or "-"

    @property
    def token(self) -> str:
        """The vector's JWS or JWE; its JSON serialisation where it is one. Not for Ed25519."""
        token = self.test.get("jws", self.test.get("jwe"))
        return token if isinstance(token, str) else json.dumps(token, separators=(",", ":"))

    @property
    def private_keys(self) -> list[dict[str, Any]]:
        private: dict[str, Any] = self.group["private"]
        keys: list[dict[str, Any]] = private.get("keys", [private])
        return keys

    @property
    def key_set(self) -> bytes:
        """What the issuer of this case publishes: the group's key; symmetric ones as they are."""
        published = self.group.get("publicKeyJwk") or self.group.get("public")
        published = published or self.group["private"]
        whole = published if "keys" in published else {"keys": [published]}
        return json.dumps(whole).encode()


@cache
def cases(file: str) -> tuple[Case, ...]:
    """Every case of a file, in its order."""
    groups = json.loads((VECTORS / file).read_text())["testGroups"]
    return tuple(
        Case(
            file,
            test["tcId"],
            test["comment"],
            tuple(test["flags"]),
            test["result"],
            group,
            test,
        )
        for group in groups
        for test in group["tests"]
    )


def all_cases() -> tuple[Case, ...]:
    return tuple(case for file in COUNTS for case in cases(file))


def ring_of(case: Case) -> KeyRing | BadKeySet:
    """What becomes of the case's key set when an issuer publishes it."""
    try:
        return parse_jwks(case.key_set, ISSUER, ALGORITHMS, None)
    except BadKeySet as bad:
        return bad


class PublishedKeys:
    """``ports.Keys`` of one issuer that has published one document since it exists."""

    def __init__(self, document: bytes) -> None:
        self._document = document

    async def find(self, issuer: str, kid: str | None, *, deadline: float) -> Key | None:
        """As the adapter does: a document that is refused leaves the issuer without keys."""
        del deadline
        try:
            return parse_jwks(self._document, issuer, ALGORITHMS, None).find(kid)
        except BadKeySet as bad:
            raise Unavailable(Dependency.KEYS, str(bad)) from None


async def answer(token: bytes, key_set: bytes, lane: Lane = Lane.CLOSED) -> str:
    """What the whole gate says to a read with this token: ``allowed``, or the reason's word."""
    profile = {"algorithms": ALGORITHMS, "types": frozenset({"", "jwt"})}
    gate = Gate(keys=PublishedKeys(key_set), profile=profile)
    sent = {"authorization": b"Bearer " + token}
    response = await gate.answer(check(token=b"", headers=sent, lane=lane))
    decision = gate.seen[-1].verdict.decision
    if not isinstance(decision, Refused):
        assert response.status.code == 0
        return ALLOWED
    assert response.status.code == decision.reason.grpc_code
    assert response.denied_response.status.code == decision.reason.http_status
    return decision.reason.word


# --- what is expected ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expected:
    """A line of ``expected.tsv``: two answers of the gate to one case."""

    result: str
    as_it_stands: str
    around_claims: str


@cache
def expected() -> Mapping[tuple[str, int], Expected]:
    """The whole table, by file and ``tcId``."""
    lines = EXPECTED.read_text().splitlines()[1:]
    rows = (line.split("\t") for line in lines)
    return {(file, int(number)): Expected(*words) for file, number, *words in rows}
