"""A sidecar's life: assemble, serve, drain, close. Signals, and nothing else."""

from __future__ import annotations

import asyncio
import signal

import structlog

from sidecar.assembly import serving
from sidecar.config.build import Configuration
from sidecar.outages import tell_ended


async def run(configuration: Configuration) -> None:
    """Serve until SIGTERM or SIGINT, then drain: checks under way are answered."""
    log = structlog.get_logger(__name__)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(configuration) as sidecar:
        tell_ended(configuration.catalogue, now=sidecar.pipeline.clock.now())
        log.info(
            "serving",
            listen=str(configuration.settings.listen),
            admin_port=sidecar.admin_port,
            policy=sidecar.pipeline.live.current.policy.revision,
        )
        await stop.wait()
        log.info("draining")
    log.info("stopped")
