"""The issuers' keys, as the settings want them fetched and kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from sidecar.adapters.jwks import IssuerKeys, KeyLimits, KeySource
from sidecar.config.build import Configuration
from sidecar.config.settings import IssuerSettings, Settings
from sidecar.ports import Clock


async def issuer_keys(
    configuration: Configuration,
    clock: Clock,
    chance: Callable[[], float],
    stack: contextlib.AsyncExitStack,
) -> IssuerKeys:
    """Fetch them once, go on fetching, and stop when the stack unwinds."""
    settings = configuration.settings
    sources = [_source(issuer, configuration.folder) for issuer in settings.issuers]
    keys = IssuerKeys(sources, _key_limits(settings), clock, random=chance)
    stack.push_async_callback(keys.close)
    await keys.start()
    return keys


def _source(issuer: IssuerSettings, folder: Path) -> KeySource:
    file = issuer.jwks.file
    return KeySource(
        issuer=issuer.issuer,
        name=issuer.name,
        algorithms=issuer.algorithms,
        url=issuer.jwks.url,
        file=None if file is None else folder / file,
    )


def _key_limits(settings: Settings) -> KeyLimits:
    keys = settings.keys
    return KeyLimits(
        refresh_s=keys.refresh,
        max_age_s=keys.max_age,
        timeout_s=keys.timeout,
        cooldown_s=keys.cooldown,
        wait_s=keys.wait,
        max_bytes=keys.max_bytes,
    )
