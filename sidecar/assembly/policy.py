"""The policy engine that the settings name, and whether it has been heard of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sidecar.adapters.regorus_policy import EmbeddedPolicy
from sidecar.config.address import UnixSocket
from sidecar.config.build import Configuration
from sidecar.config.sections import OpaSettings
from sidecar.ports import Clock, Policy


@dataclass(frozen=True, slots=True)
class PolicyPart:
    """An engine, and whether it can be reached now."""

    engine: str
    policy: Policy
    reachable: Callable[[], bool]


async def policy_part(
    configuration: Configuration, clock: Clock, stack: contextlib.AsyncExitStack
) -> PolicyPart:
    """Load the policies, or begin to ask an OPA for what it has loaded.

    Raises ``PolicyLoadError`` for policies that do not load. An OPA that is not there yet keeps the
    sidecar unready, not unborn.
    """
    settings = configuration.settings.policy
    if settings.opa is not None:
        return await _opa(settings.opa, configuration, clock, stack)
    embedded = EmbeddedPolicy.load(configuration.policy_paths, settings.entrypoint)
    return PolicyPart(settings.engine, embedded, lambda: True)


async def _opa(
    settings: OpaSettings,
    configuration: Configuration,
    clock: Clock,
    stack: contextlib.AsyncExitStack,
) -> PolicyPart:
    from sidecar.adapters.opa_client import OpaAddress  # noqa: PLC0415 - an extra
    from sidecar.adapters.opa_policy import OpaPolicy  # noqa: PLC0415 - as above

    listen = settings.address
    address = (
        OpaAddress(socket=Path(listen.path))
        if isinstance(listen, UnixSocket)
        else OpaAddress(host=listen.host, port=listen.port)
    )
    policy = OpaPolicy(
        address=address,
        entrypoint=configuration.settings.policy.entrypoint,
        token=configuration.files.opa_token,
        clock=clock,
        concurrency=settings.concurrency,
    )
    stack.push_async_callback(policy.close)
    await policy.start()
    return PolicyPart("opa", policy, lambda: policy.reachable)
