"""Measures every server in every way, in turns.

A machine that others use is slower at one time than at another. In turns, each server gets its
part of either, and the medians of several rounds can be compared.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from bench.measured import Measured, Row
from bench.server import Server

Measure: TypeAlias = Callable[[Server], Awaitable[Measured]]


async def take_turns(
    servers: Iterable[Server],
    ways: Mapping[str, Measure],
    rounds: int,
    say: Callable[[str], None],
) -> dict[str, tuple[Row, ...]]:
    """Call each of ``ways`` with each server, one after the other, and ``rounds`` times so.

    The rows of each way, in the order of ``servers``. ``say`` is told what comes next.
    """
    servers = tuple(servers)
    numbers: dict[tuple[str, str], list[Measured]] = {}
    for turn in range(1, rounds + 1):
        for server in servers:
            for way, measure in ways.items():
                say(f"round {turn} of {rounds}: {server.name}, {way}")
                numbers.setdefault((way, server.key), []).append(await measure(server))
    return {
        way: tuple(Row(one.key, one.name, tuple(numbers[way, one.key])) for one in servers)
        for way in ways
    }
