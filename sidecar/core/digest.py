"""Names for what is stored: digests that no two things share, under Redis Cluster's hash tags."""

from __future__ import annotations

from hashlib import sha256


def digest(*parts: str) -> str:
    """A hash of length-prefixed parts: ("a:b", "c") and ("a", "b:c") differ.

    32 hexadecimal digits, the first half of a SHA-256.
    """
    hashed = sha256()
    for part in parts:
        raw = part.encode()
        hashed.update(len(raw).to_bytes(4, "big"))
        hashed.update(raw)
    return hashed.hexdigest()[:32]


def hash_tag(issuer: str, tenant: str) -> str:
    """``{digest}``: what every stored key of an issuer's tenant starts with.

    The braces are Redis Cluster's hash tag: all these keys live on one node.
    """
    return f"{{{digest(issuer, tenant)}}}"
