"""Wycheproof's key sets, published by an issuer: which are usable, and why the others are not."""

from __future__ import annotations

import pytest

from sidecar.core.keyring import BadKeySet
from tests.wycheproof import COUNTS, CRYPTO, ED25519, KEY, SIGNATURE, cases, ring_of

SYMMETRIC = "keys[0] has the private member 'k'"
ROCA = "keys[0] is an RSA key that can be factored (CVE-2017-15361)"
NO_ALGORITHM = "no usable key: no algorithm that this issuer may use"
NOT_FOR_SIGNATURES = "no usable key: 'use' is not sig"
USABLE = "usable"

KEY_SETS = {
    1: SYMMETRIC,  # mixed: a symmetric key beside a public one
    2: SYMMETRIC,
    3: SYMMETRIC,
    4: SYMMETRIC,  # two of one kid, besides
    5: USABLE,
    6: NOT_FOR_SIGNATURES,
    7: ROCA,
    8: "keys[0] is an RSA key of 1024 bits",
    9: "keys[0] is an RSA key with a weak modulus or exponent",  # 1
    **dict.fromkeys(range(10, 19), SYMMETRIC),  # too short, long enough, empty
    19: NO_ALGORITHM,  # ES521
    20: NO_ALGORITHM,  # ES224
    21: NOT_FOR_SIGNATURES,
    22: "no usable key: its parameters are not a key",  # not on its curve
    23: NO_ALGORITHM,  # ES256 on P-384
    24: NO_ALGORITHM,  # ES256 and RSA
    25: SYMMETRIC,
    26: SYMMETRIC,
}

OTHER_SETS = {
    SIGNATURE: {
        **dict.fromkeys((*range(1, 18), 348, 352, *range(357, 378)), SYMMETRIC),
        **dict.fromkeys((347, 351), NO_ALGORITHM),  # ES521
        **dict.fromkeys((353, 354), NOT_FOR_SIGNATURES),
        **dict.fromkeys((355, 356), "no usable key: 'key_ops' has no verify"),
    },
    CRYPTO: {
        **dict.fromkeys((*range(1, 18), *range(47, 67)), SYMMETRIC),
        46: ROCA,
        **dict.fromkeys(range(67, 84), "keys[0] has the private member 'd'"),
    },
    ED25519: {},
}
"""By file, the cases whose set is not usable."""


def fates(file: str) -> dict[int, str]:
    rings = {case.id: ring_of(case) for case in cases(file)}
    return {
        number: str(ring) if isinstance(ring, BadKeySet) else USABLE
        for number, ring in rings.items()
    }


def test_parse_jwks_names_the_fault_when_a_key_set_is_of_the_key_vectors() -> None:
    """Each of the 26 sets is refused for what is wrong with it; the one of public RSA is used.

    Wycheproof calls five sets valid; four of them are symmetric, which no issuer publishes.
    """
    assert fates(KEY) == KEY_SETS
    assert len(KEY_SETS) == COUNTS[KEY]


@pytest.mark.parametrize("file", OTHER_SETS)
def test_parse_jwks_takes_every_public_key_when_it_is_for_signatures(file: str) -> None:
    """The other files' keys are usable but for those that say or show that they are not."""
    unusable = {number: fate for number, fate in fates(file).items() if fate != USABLE}

    assert unusable == OTHER_SETS[file]
