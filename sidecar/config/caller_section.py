"""The sections on who calls: peers, proofs, and what single tenants ask of their callers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from sidecar.config.explain import broken_rule, not_empty
from sidecar.config.names import Origin, SpiffeId
from sidecar.config.shape import Shown, StrictModel
from sidecar.core.dpop import origin_of
from sidecar.core.model import Binding


def _in_one_spelling(text: str) -> str:
    origin = origin_of(text)
    if origin != text:
        raise broken_rule(f"must be written {origin}" if origin else "is no origin")
    return text


class CallerSettings(StrictModel):
    """Whom the sidecar takes for the caller."""

    trusted_hops: frozenset[SpiffeId] = frozenset()
    """Proxies between callers and Envoy, by the SPIFFE id of their certificate: their
    `x-forwarded-client-cert` is believed, nobody else's."""


class DpopSettings(StrictModel):
    """Proofs of possession (RFC 9449)."""

    origins: frozenset[Annotated[Origin, AfterValidator(_in_one_spelling)]] = frozenset()
    """What callers call this place, such as `https://tools.example.com`; none: as Envoy saw it."""
    max_age: Annotated[float, Field(gt=0, le=600), Shown("number", "seconds")] = 60
    """How old a proof may be."""
    leeway: Annotated[float, Field(ge=0, le=60), Shown("number", "seconds")] | None = None
    """How far ahead a caller's clock may be; at most what the issuers' largest leeway is, which it
    is when left out."""


class TenantSettings(StrictModel):
    """What is asked of one tenant's callers."""

    bind: Annotated[frozenset[Binding], AfterValidator(not_empty)]
    """The caller must show at least one of these, whatever its token asks for."""
