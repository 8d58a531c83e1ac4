"""The rows in which an issuer's keys change, and the one in which the issuer is gone.

Two read its keys, each on its own schedule: the sidecar, and Envoy's guard before the open lane.
What they have read is asked of their own counters, so that no row guesses by the clock.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from typing import Final

from examples.demo.client import Answer, call
from examples.demo.processes import Stage
from examples.demo.program import until
from examples.demo.rows import Group, Scenario, Seen

GUARD_FETCHED: Final = "http.tools.jwt_authn.guard.jwks_fetch_success"
GUARD_MISSED: Final = "http.tools.jwt_authn.guard.jwks_fetch_failed"
SIDECAR_KEYS: Final = 'scopegate_jwks_keys{issuer="demo"}'
SIDECAR_MISSED: Final = 'scopegate_jwks_failures_total{issuer="demo"}'

# Both read the keys again within five seconds.
_PATIENCE: Final = 12.0
_CALLS: Final = 200
_CALLS_WHILE_WAITING: Final = 120
_BETWEEN_CALLS: Final = 0.12
_BETWEEN_LATER_CALLS: Final = 0.02


async def rotated(stage: Stage) -> Seen:
    """Publish the next key, use it once both readers have it; agents call all the while.

    At first every call bears the old key, later each second pair bears the new one: a fixed number
    in all, however long the readers take.
    """
    old = _token(stage)
    following = stage.issuer.publish()
    started = time.monotonic()
    fetched = await stage.envoy_stat(GUARD_FETCHED)
    answers: list[Answer] = []
    while not await _both_have_it(stage, fetched):
        if len(answers) >= _CALLS_WHILE_WAITING:
            raise TimeoutError("a reader did not fetch the next key")
        answers += await _read_and_write(stage, old)
        await asyncio.sleep(_BETWEEN_CALLS)
    note = f"both readers had the new key {time.monotonic() - started:.1f} s after its publication"
    stage.issuer.use(following)
    tokens = itertools.cycle((_token(stage), old))
    while len(answers) < _CALLS:
        answers += await _read_and_write(stage, next(tokens))
        await asyncio.sleep(_BETWEEN_LATER_CALLS)
    refused = [answer.word for answer in answers if answer.status != 200]  # noqa: PLR2004 - HTTP's
    got = f"{len(refused)} of {len(answers)} refused"
    median = statistics.median(answer.milliseconds for answer in answers)
    return Seen(got, median, (note, *sorted(set(refused))))


async def unannounced(stage: Stage) -> Seen:
    """Use a key that nobody has read yet: the sidecar asks for it, the guard would not."""
    former = stage.issuer.kid
    stage.issuer.use(stage.issuer.publish())
    token = _token(stage)
    stage.issuer.use(former)
    answer = await call(stage.http, "PUT", "/customers/7", token)
    return Seen(answer.word, answer.milliseconds, ("the sidecar fetched the keys for this call",))


async def key_removed(stage: Stage) -> Seen:
    """Take the oldest key out of the JWKS, as after a theft."""
    if stage.issuer.kid == stage.issuer.oldest:
        await rotated(stage)
    following, stolen = stage.issuer.kid, stage.issuer.oldest
    stage.issuer.use(stolen)
    old = _token(stage)
    stage.issuer.use(following)
    stage.issuer.remove(stolen)
    answers: list[Answer] = []

    async def refused() -> bool:
        answers[:] = await _read_and_write(stage, old)
        return all(answer.status != 200 for answer in answers)  # noqa: PLR2004 - HTTP's own number

    took = await until(refused, "the removed key to be forgotten", _PATIENCE)
    read, write = answers
    note = f"forgotten by both readers {took:.1f} s after it was removed"
    return Seen(f"{read.status}, {write.word}", write.milliseconds, (note,))


async def issuer_stopped(stage: Stage) -> Seen:
    """Stop the issuer and wait until both readers have asked it in vain."""
    before = await _missed(stage)
    await stage.issuer.stop()

    async def asked_in_vain() -> bool:
        return all(now > then for now, then in zip(await _missed(stage), before, strict=True))

    try:
        took = await until(asked_in_vain, "both readers to miss the issuer", _PATIENCE)
        read, write = await _read_and_write(stage, _token(stage))
    finally:
        await stage.issuer.start()
    note = f"both readers had asked it in vain within {took:.1f} s"
    return Seen(f"{read.word} and {write.word}", write.milliseconds, (note,))


def _token(stage: Stage) -> str:
    return stage.issuer.mint("read:customers:7", "write:customers:7")


async def _read_and_write(stage: Stage, token: str) -> tuple[Answer, Answer]:
    """One call through the open lane and one through the closed."""
    read = await call(stage.http, "GET", "/customers/7", token)
    return read, await call(stage.http, "PUT", "/customers/7", token)


async def _both_have_it(stage: Stage, fetched: int) -> bool:
    """Whether the sidecar has every published key and the guard fetched more than ``fetched``."""
    return (
        await stage.sidecar_metric(SIDECAR_KEYS) == stage.issuer.published
        and await stage.envoy_stat(GUARD_FETCHED) > fetched
    )


async def _missed(stage: Stage) -> tuple[int, int]:
    """How often the guard and the sidecar asked the issuer in vain."""
    return await stage.envoy_stat(GUARD_MISSED), await stage.sidecar_metric(SIDECAR_MISSED)


KEYS: Final = Group(
    "keys change; the issuer stops",
    (
        Scenario("key rotated: reads and writes", f"0 of {_CALLS} refused", rotated),
        Scenario("key used unannounced: write", "200", unannounced),
        Scenario("old key removed: read, write", "401, 401 key_unknown", key_removed),
        Scenario("issuer stopped: read and write", "200 and 200", issuer_stopped),
    ),
)
