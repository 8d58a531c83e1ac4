"""The reference front: ``envoy.service.auth.v3.Authorization/Check`` and health on grpc.aio.

Bytes in, bytes out: gRPC is given no (de)serialiser, so that no odd byte becomes an RPC error,
which an open lane would let through. Too many checks at once are shed by an answer, not by silence.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sidecar.core.reasons import Reason
from sidecar.fronts.unix_socket import private
from sidecar.pipeline import Pipeline

SERVICE: Final = "envoy.service.auth.v3.Authorization"

_NEVER_REACHED: Final = 1_000_000
_TOO_LATE_S: Final = 0.05
_TOO_LATE: Final = 0.5
"""A check that has waited until so little is left, in seconds or as a share of all its time, is
refused at once: the queue shrinks faster, and the answer still arrives before Envoy gives up, which
would be an error."""
_ALL_ITS_TIME: Final = "x-envoy-expected-rq-timeout-ms"
"""By which Envoy's router tells how long it waits. gRPC shows what is left of that, not the whole.
"""


class GrpcFront:
    """One listening gRPC server."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        listen: str,
        time_limit: float,
        message_bytes: int,
        concurrency: int,
    ) -> None:
        """Answer within ``time_limit`` seconds, or less where the caller's deadline is nearer."""
        self._pipeline = pipeline
        self._listen = listen
        self._time_limit = time_limit
        self._concurrency = concurrency
        self._in_flight = 0
        self._health = health.aio.HealthServicer()  # pyright: ignore[reportAttributeAccessIssue] - the stubs lack it
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", message_bytes),
                ("grpc.so_reuseport", 0),  # a second sidecar on one port is a mistake, not a share
                # By default gRPC cancels what waits beyond 1,000: an RPC error, which an open lane
                # lets through. Here it waits, and is shed by an answer.
                ("grpc.server.max_pending_requests", _NEVER_REACHED),
                ("grpc.server.max_pending_requests_hard_limit", _NEVER_REACHED),
            )
        )
        check = grpc.unary_unary_rpc_method_handler(self._check)
        handler = grpc.method_handlers_generic_handler(SERVICE, {"Check": check})
        self._server.add_generic_rpc_handlers((handler,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.port = 0

    async def start(self) -> None:
        """Bind and serve, not ready yet. Raises ``OSError`` naming the address when it is taken.

        A Unix socket is open to its owner alone: whoever can write to it can claim any route.
        """
        await self.set_ready(ready=False)
        socket = Path(self._listen.removeprefix("unix:"))
        owned = self._listen.startswith("unix:")
        with private(socket) if owned else contextlib.nullcontext():
            try:
                self.port = self._server.add_insecure_port(self._listen)
            except RuntimeError as failed:
                raise OSError(f"cannot listen on {self._listen}") from failed
        await self._server.start()

    async def set_ready(self, *, ready: bool) -> None:
        """What ``grpc.health.v1`` says; Envoy sends no checks while it says NOT_SERVING."""
        states = health_pb2.HealthCheckResponse
        status = states.SERVING if ready else states.NOT_SERVING
        await self._health.set("", status)
        await self._health.set(SERVICE, status)

    async def stop(self, grace: float) -> None:
        """Say NOT_SERVING, take no new checks, and give those under way ``grace`` seconds."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)

    async def _check(self, raw: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
        # None without a deadline, whatever the stubs say.
        remaining = cast("float | None", context.time_remaining())
        left = math.inf if remaining is None else remaining
        if self._in_flight >= self._concurrency or left < _too_late(context.invocation_metadata()):
            return self._pipeline.refuse(Reason.OVERLOADED, peer=context.peer())
        self._in_flight += 1
        try:
            deadline = self._pipeline.clock.monotonic() + min(self._time_limit, left)
            return await self._pipeline.check(raw, peer=context.peer(), deadline=deadline)
        finally:
            self._in_flight -= 1


def _too_late(metadata: Iterable[tuple[str, str | bytes]] | None) -> float:
    """With how many seconds left a check is refused unheard."""
    for name, value in metadata or ():
        if name == _ALL_ITS_TIME:
            with contextlib.suppress(ValueError):  # not Envoy's: as if it had not been said
                return max(_TOO_LATE_S, _TOO_LATE * int(value) / 1000)
    return _TOO_LATE_S
