"""The issuers' keys, as the settings want them fetched and kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from sidecar.adapters.jwks import IssuerKeys
from sidecar.config.build import Configuration
from sidecar.config.key_source import key_limits, key_source
from sidecar.ports import Clock


async def issuer_keys(
    configuration: Configuration,
    clock: Clock,
    chance: Callable[[], float],
    stack: contextlib.AsyncExitStack,
) -> IssuerKeys:
    """Fetch them once, go on fetching, and stop when the stack unwinds."""
    profiles, folder = configuration.issuers, configuration.folder
    issuers = configuration.settings.issuers
    sources = [key_source(one, profiles[one.issuer], folder) for one in issuers]
    keys = IssuerKeys(sources, key_limits(configuration.settings.keys), clock, random=chance)
    stack.push_async_callback(keys.close)
    await keys.start()
    return keys
