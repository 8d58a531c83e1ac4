"""Tokens of the demo's issuer for a real Envoy, good but for what a row says of them."""

from __future__ import annotations

import time

from joserfc.jwk import OKPKey

from examples.demo.issuer import AUDIENCE, ISSUER, Issuer
from tests.bad_tokens_kit import Mint
from tests.tokens import Signer


def signer_of(issuer: Issuer) -> Signer:
    """Sign as this issuer does now."""
    private = issuer._private
    return Signer("EdDSA", issuer.kid, private, OKPKey.import_key(private), private.sign)


def minting(by: Signer, url: str) -> Mint:
    """Mint as the demo's issuer would, now, for a call of ``url``."""
    scope = ("read:customers:*", "write:customers:7")
    return Mint(ISSUER, AUDIENCE, by, int(time.time()), scope, url)
