"""What the demo's own servers share: a loopback port that can be closed and opened again."""

from __future__ import annotations

from abc import ABC, abstractmethod

from aiohttp import web


class Listening(ABC):
    """An aiohttp server on one loopback port, run by the loop that starts it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._runner: web.AppRunner | None = None

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """List what it serves."""

    async def start(self) -> None:
        """Listen. Raises ``OSError`` when somebody else does."""
        app = web.Application()
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Close the port and every connection; does nothing when it is closed already."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
