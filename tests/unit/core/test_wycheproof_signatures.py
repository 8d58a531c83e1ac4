"""Wycheproof's signatures at the one place that checks signatures, over the bytes they sign."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from sidecar.core.keyring import KeyRing
from sidecar.core.model import Jws, Refused, SignedClaims
from sidecar.core.reasons import Reason
from sidecar.core.signature import prove
from tests.tokens import ISSUER
from tests.wycheproof import COUNTS, CRYPTO, ED25519, KEY, SIGNATURE, STRICTER, Case, cases, ring_of


def signed(signing_input: bytes, signature: bytes, header: dict[str, Any]) -> Jws:
    """A JWS as if its form were right, so that only its signature is judged."""
    return Jws(
        digest=b"",
        algorithm=header["alg"],
        kid=header.get("kid"),
        type=None,
        unverified_issuer=ISSUER,
        unverified_claims={},
        signing_input=signing_input,
        signature=signature,
    )


def lenient(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def of_vector(case: Case) -> Jws | None:
    """What a lenient parser makes of the case; None if it has no three parts with a header."""
    if case.file == ED25519:
        header = {"alg": "EdDSA", "kid": "none"}
        return signed(bytes.fromhex(case.test["msg"]), bytes.fromhex(case.test["sig"]), header)
    parts = case.token.split(".")
    if case.token.startswith("{") or len(parts) != 3 or not parts[0]:
        return None
    try:
        members, signature = json.loads(lenient(parts[0])), lenient(parts[2])
    except ValueError:
        return None
    return signed(case.token.rpartition(".")[0].encode(), signature, members)


def judged(case: Case) -> SignedClaims | Refused | None:
    """What ``prove`` says under the key that the case's set has for it; None without a key."""
    jws, ring = of_vector(case), ring_of(case)
    key = ring.find(jws.kid) if jws is not None and isinstance(ring, KeyRing) else None
    return None if jws is None or key is None else prove(jws, key)


@pytest.mark.parametrize("file", COUNTS)
def test_prove_takes_exactly_the_valid_signatures_when_keys_are_usable(file: str) -> None:
    """No invalid signature is proven; every valid one is, but for what ``STRICTER`` explains."""
    proven = {case.id for case in cases(file) if isinstance(judged(case), SignedClaims)}
    valid = {case.id for case in cases(file) if case.result == "valid"}

    assert proven == {number for number in valid if (file, number) not in STRICTER}


@pytest.mark.parametrize(("file", "count"), [(SIGNATURE, 32), (CRYPTO, 2), (KEY, 1), (ED25519, 88)])
def test_prove_takes_so_many_when_counted(file: str, count: int) -> None:
    """The test above is about signatures that are there: 123 pass."""
    assert sum(isinstance(judged(case), SignedClaims) for case in cases(file)) == count


def test_prove_names_the_signature_when_padding_or_signature_was_modified() -> None:
    """All 258 modified RSA signatures come as far as the mathematics, and fail there."""
    modified = [
        case
        for case in cases(SIGNATURE)
        if {"ModifiedPadding", "ModifiedSignature"} & {*case.flags}
    ]
    answers = [judged(case) for case in modified]

    assert len(answers) == 213 + 45
    assert all(isinstance(one, Refused) for one in answers)
    assert {one.reason for one in answers if isinstance(one, Refused)} == {Reason.SIGNATURE_INVALID}


def test_prove_names_the_algorithm_when_the_header_says_another_than_the_keys() -> None:
    """Of a wrong primitive, the header's is refused as such, the hidden one as a signature."""
    wrong = [case for case in cases(SIGNATURE) if case.flags == ("WrongPrimitive",)]
    reasons = [one.reason for one in map(judged, wrong) if isinstance(one, Refused)]

    assert reasons == [Reason.SIGNATURE_INVALID, Reason.ALGORITHM_REFUSED] * 5
