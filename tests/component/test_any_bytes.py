"""Any bytes within gRPC's message limit get a complete answer, never an RPC error.

An RPC error is an *error* to Envoy, which an open lane lets through: whoever can make the check
fail would be in. So requests are broken in every way hypothesis finds, byte by byte and field by
field, and sent through a real gRPC server.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.core.lanes import Lane
from sidecar.envoy_api.generated import ext_authz_pb2 as pb
from tests.gate import RECORDS, TICKETS, Gate, ask, check, listening, mcp

PER_EXAMPLE: Final = 40
LIMIT: Final = 1_048_576

CORPUS: Final = (
    b"",
    check(),
    check(lane=Lane.OPEN),
    check("PUT", body=b"{}"),
    check(token=b""),
    check(path="/records/o-1?mail=a%20b&c=d", route=RECORDS),
    check("GET", "/tickets", route=TICKETS, single_use=True),
    check(**mcp(name="refund", arguments={"amount": 1})),
    check(**mcp("tools/list")),
    check(headers={"x-a": b"\xff", "upgrade": b"websocket"}),
)
Mutation = Callable[[bytes], bytes]


def spliced(at: float, length: int, insert: bytes) -> Mutation:
    """Replace ``length`` bytes at a fraction of the message by others."""

    def mutate(raw: bytes) -> bytes:
        start = int(at * len(raw))
        return raw[:start] + insert + raw[start + length :]

    return mutate


def refilled(name: str, value: bytes) -> Mutation:
    """Set one field of the HTTP request, a header or a marker to arbitrary bytes."""

    def mutate(raw: bytes) -> bytes:
        try:
            request = pb.CheckRequest.FromString(raw)
        except Exception:  # noqa: BLE001 - already broken, then: leave it so
            return raw
        attributes = request.attributes
        if name.startswith("header:"):
            attributes.request.http.header_map.headers.add(
                key=name.removeprefix("header:").encode(), raw_value=value
            )
        elif name.startswith("extension:"):
            attributes.context_extensions[name.removeprefix("extension:")] = value
        else:
            setattr(attributes.request.http, name, value)
        return request.SerializeToString()

    return mutate


FIELDS: Final = (
    *("method", "path", "host", "scheme", "raw_body", "body", "id"),
    *("header:authorization", "header:content-type", "header:upgrade", "header:mcp-name"),
    *("extension:route", "extension:lane", "extension:marker", "extension:rewrite"),
)
mutations = st.one_of(
    st.builds(spliced, st.floats(0, 1), st.integers(0, 40), st.binary(max_size=40)),
    st.builds(refilled, st.sampled_from(FIELDS), st.binary(max_size=200)),
)
requests = st.tuples(st.sampled_from(CORPUS), st.lists(mutations, min_size=1, max_size=3))


@pytest.fixture
def ask_gate() -> Iterator[Callable[[bytes], pb.CheckResponse]]:
    """Ask a real server, on an event loop that lives as long as the test."""
    with asyncio.Runner() as runner:
        context = listening(Gate(), message_bytes=LIMIT)
        channel = runner.run(context.__aenter__())
        try:
            yield lambda raw: runner.run(ask(channel, raw))
        finally:
            runner.run(context.__aexit__(None, None, None))


def is_complete(answer: pb.CheckResponse) -> bool:
    """Whether Envoy would do what the answer says, and nothing else."""
    if answer.status.code == 0:
        return answer.HasField("ok_response") and not answer.HasField("denied_response")
    problem: dict[str, Any] = json.loads(answer.denied_response.body)
    status: int = answer.denied_response.status.code
    return problem["status"] == status >= 400 and not answer.HasField("ok_response")


def test_any_bytes_get_a_complete_answer(
    ask_gate: Callable[[bytes], pb.CheckResponse], broken_requests: int
) -> None:
    """As many complete answers as broken requests, twenty thousand in CI."""
    answered: list[int] = []

    @settings(
        max_examples=broken_requests // PER_EXAMPLE,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(requests, min_size=PER_EXAMPLE, max_size=PER_EXAMPLE))
    def answer_all(batch: list[tuple[bytes, list[Mutation]]]) -> None:
        for raw, changes in batch:
            for change in changes:
                raw = change(raw)  # noqa: PLW2901 - one change upon the other
            answer = ask_gate(raw[:LIMIT])
            assert is_complete(answer)
            answered.append(answer.status.code)

    answer_all()

    assert len(answered) >= broken_requests
    assert len(set(answered)) > 2, "the broken requests reach several answers"


def test_the_corpus_is_understood(ask_gate: Callable[[bytes], pb.CheckResponse]) -> None:
    """What is broken was whole before: most of the corpus passes as it stands."""
    passed = [ask_gate(raw).status.code == 0 for raw in CORPUS]

    assert sum(passed) >= 5


@pytest.mark.parametrize("size", [0, 1, 65_536, LIMIT - 4096])
def test_large_messages_get_a_complete_answer(
    ask_gate: Callable[[bytes], pb.CheckResponse], size: int
) -> None:
    """Up to the limit, size alone breaks nothing."""
    assert is_complete(ask_gate(check("PUT", body=b"x" * size)))


def test_the_limit_is_the_servers(ask_gate: Callable[[bytes], pb.CheckResponse]) -> None:
    """One byte of body too many is the only RPC error there is."""
    with pytest.raises(grpc.aio.AioRpcError):
        ask_gate(check("PUT", body=b"x" * LIMIT))
