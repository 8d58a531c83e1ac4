"""The keys of one issuer, fetched once, from where the settings say."""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.adapters.jwks_fetch import FetchFailed, open_session
from sidecar.adapters.jwks_locate import KeyFetcher
from sidecar.cli.plain import value
from sidecar.clock import SystemClock
from sidecar.config.build import Configuration
from sidecar.config.key_source import key_limits, key_source
from sidecar.core.keyring import BadKeySet, KeyRing, parse_jwks
from sidecar.core.profile import IssuerProfile


@dataclass(frozen=True, slots=True)
class Published:
    """What an issuer publishes."""

    ring: KeyRing
    skew_s: float | None = None
    """As ``Fetched.skew_s``: how far our clock is surely ahead of the issuer's."""


async def fetch_keys(profile: IssuerProfile, configuration: Configuration) -> Published | str:
    """Fetch the keys, or say why they cannot be had; the text holds no URL and no key."""
    limits = key_limits(configuration.settings.keys)
    settings = next(one for one in configuration.settings.issuers if one.issuer == profile.issuer)
    try:
        source = key_source(settings, profile, configuration.folder)
        async with open_session() as session:
            fetched = await KeyFetcher(source, limits, SystemClock(), lambda: session).fetch()
        document = fetched.document or b""
        ring = parse_jwks(document, profile.issuer, profile.algorithms, None, uses=profile.key_uses)
        return Published(ring, fetched.skew_s)
    except FetchFailed as error:
        return f"they cannot be fetched: {error}"
    except BadKeySet as error:
        return f"they cannot be used: {error}"
    except ValueError as error:
        return str(error)


def no_such_key(ring: KeyRing, kid: str | None) -> str:
    """Say why a token's key is not among those that its issuer publishes."""
    skipped = next((one.reason for one in ring.skipped if kid and one.kid == kid), "")
    if skipped:
        return f"it is published, but skipped: {skipped}"
    published = ", ".join(value(one) for one in sorted(ring.keys)) or "one key without kid"
    if kid is None:
        return f"the token has no kid, and the issuer has several keys: {published}"
    return f"the issuer publishes {published}; was its key changed, or is it another's token?"
