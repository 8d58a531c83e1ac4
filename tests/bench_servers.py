"""Servers for tests of the bench: real gRPC, made-up judgement, and one fault each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from bench.answers import DECISION, IDENTITY, REMOVED, fault_of_allow
from bench.measured import IN_FLIGHT
from bench.program import free_port
from bench.server import Server
from bench.work import Work
from sidecar.envoy_api.generated import ext_authz_pb2 as pb

# Allows the one call whose token and body it was given; its second argument says what it does
# wrong, its third how many such calls have to wait before it answers any but the first of them.
_SERVER: Final = """
import asyncio, os, signal, sys, time
from pathlib import Path

import grpc

fault = sys.argv[2]
token, body = Path("token").read_bytes(), Path("body").read_bytes()
allow, deny = Path("allow").read_bytes(), Path("deny").read_bytes()
asked = {True: 0, False: 0}
together = asyncio.Barrier(int(sys.argv[3]))

def burn():
    until = time.thread_time() + 0.01
    while time.thread_time() < until:
        pass

async def check(raw, context):
    good = token in raw and body in raw
    asked[good] += 1
    Path("asked.new").write_text(f"{asked[True]} {asked[False]} {os.getpid()}")
    os.replace("asked.new", "asked")  # it may be ended at any time
    number = asked[True]
    if fault == "never right":
        return deny if number < 3 else os._exit(3)
    if good and number > 1:
        await together.wait()
    if fault == "burns":
        await asyncio.to_thread(burn)
    if fault == "dies" and number == 40:
        os._exit(3)
    if fault == "wrong once" and number == 60:
        return deny
    if fault == "nameless" and number > 1 and good:
        return b""
    if fault == "silent" and number > 1 and good:
        await asyncio.sleep(60)
    if fault == "fails" and not good:
        await context.abort(grpc.StatusCode.UNAUTHENTICATED)
    credulous = fault == "credulous" or (fault == "credulous later" and number > 1)
    return allow if good or credulous else deny

async def main():
    if fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(check)
    service = "envoy.service.auth.v3.Authorization"
    handler = grpc.method_handlers_generic_handler(service, {"Check": method})
    server.add_generic_rpc_handlers((handler,))
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    await server.start()
    await server.wait_for_termination()

if fault == "ends at once":
    sys.exit("no licence")
asyncio.run(main())
"""


def made_server(directory: Path, work: Work, fault: str = "", together: int = IN_FLIGHT) -> Server:
    (directory / "token").write_text(work.call.token)
    (directory / "body").write_bytes(work.call.body)
    (directory / "allow").write_bytes(allowing().SerializeToString())
    (directory / "deny").write_bytes(denying().SerializeToString())
    port = free_port()
    command = (sys.executable, "-c", _SERVER, str(port), fault, str(together))
    return Server("made", "made", command, directory, port, fault_of_allow)


def asked_of(directory: Path) -> tuple[int, int, int]:
    """Good checks, other checks, and the process that was asked."""
    good, other, pid = map(int, (directory / "asked").read_text().split())
    return good, other, pid


def allowing(**changes: str) -> pb.CheckResponse:
    """The right answer to a call that passes; ``changes`` are headers, empty for none."""
    answer = pb.CheckResponse()
    headers = {**IDENTITY, DECISION: "d-1", **changes}
    for name, value in headers.items():
        if value:
            answer.ok_response.headers.add().header.MergeFrom(
                pb.HeaderValue(key=name.encode(), value=value.encode())
            )
    answer.ok_response.headers_to_remove.extend(name.encode() for name in REMOVED)
    return answer


def denying(code: int = 16) -> pb.CheckResponse:
    answer = pb.CheckResponse()
    answer.status.code = code
    answer.denied_response.status.code = 401
    return answer
