"""Where an issuer's keys come from, as the settings say, for whoever fetches them."""

from __future__ import annotations

from pathlib import Path

from sidecar.adapters.jwks_source import KeyLimits, KeySource
from sidecar.config.issuer_section import IssuerSettings
from sidecar.config.sections import KeysSettings
from sidecar.core.profile import IssuerProfile


def key_source(issuer: IssuerSettings, profile: IssuerProfile, folder: Path) -> KeySource:
    """The source of one issuer's keys; ``folder`` is what its files are relative to.

    Raises ``ValueError`` for a way on which others could read a token or choose the keys.
    """
    jwks = issuer.jwks
    return KeySource(
        issuer=issuer.issuer,
        name=issuer.name,
        algorithms=issuer.algorithms,
        url=jwks.url,
        file=_below(folder, jwks.file),
        discovery=jwks.discovery,
        hosts=jwks.hosts,
        ca_file=_below(folder, jwks.ca),
        token_file=_below(folder, jwks.token_file),
        uses=profile.key_uses,
    )


def key_limits(keys: KeysSettings) -> KeyLimits:
    """How long they are trusted, and what fetching them may cost."""
    return KeyLimits(
        refresh_s=keys.refresh,
        max_age_s=keys.max_age,
        timeout_s=keys.timeout,
        cooldown_s=keys.cooldown,
        wait_s=keys.wait,
        max_bytes=keys.max_bytes,
        max_skew_s=keys.max_skew,
    )


def _below(folder: Path, file: str | None) -> Path | None:
    return None if file is None else folder / file
