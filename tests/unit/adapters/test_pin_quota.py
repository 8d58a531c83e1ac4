"""How many pins an agent may ask a shared store for."""

from __future__ import annotations

from sidecar.adapters.pin_quota import PinQuota
from sidecar.core.model import Conflict, Dependency, Pin
from tests.values import NOW


def pin(key: str, owner: str = "o", until: float = 60) -> Pin:
    return Pin(key, "h", owner, NOW + until, Dependency.REPLAY, Conflict.SESSION_OF_ANOTHER)


def admitted(quota: PinQuota, *keys: str, owner: str = "o", now: float = NOW) -> list[bool]:
    return [quota.admits(pin(key, owner), now) for key in keys]


def test_quota_admits_so_many_of_each_owner() -> None:
    """Another owner has its own; what is known costs nothing new."""
    quota = PinQuota(2, 100)

    assert admitted(quota, "a", "b", "c", "a", "b", "c") == [True, True, False, True, True, False]
    assert admitted(quota, "a", "b", "c", owner="p") == [True, True, False]
    assert len(quota) == 4


def test_quota_is_free_when_pins_end() -> None:
    """By the latest end that was asked for."""
    quota = PinQuota(2, 100)
    admitted(quota, "a", "b")
    quota.admits(pin("b", until=90), NOW)
    quota.admits(pin("b", until=30), NOW)

    assert admitted(quota, "c", now=NOW + 59) == [False]
    assert quota.admits(pin("c", until=120), NOW + 60)
    assert not quota.admits(pin("d", until=120), NOW + 60)
    assert len(quota) == 2


def test_quota_knows_no_more_than_its_capacity() -> None:
    """Memory is bounded; who was forgotten may have one more, and nobody is refused for others."""
    quota = PinQuota(2, 10)
    for n in range(1000):
        assert quota.admits(pin(f"s{n}", owner=f"o{n}"), NOW)
        assert len(quota) <= 10

    later = [quota.admits(pin(key, "new", until=90), NOW) for key in ("a", "b", "c")]
    assert later == [True, True, False]
    assert len(quota) == 10


def test_quota_keeps_an_owners_count_when_it_alone_asks() -> None:
    """At its quota nothing of its own is forgotten for more."""
    quota = PinQuota(10, 10)
    admitted(quota, *map(str, range(10)))

    assert admitted(quota, *map(str, range(10, 30))) == [False] * 20
