"""The way to Redis and the rights there: TLS, users, and the files of ``redis/`` as they stand."""

from __future__ import annotations

import hashlib
import shutil
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, RedisError
from structlog.testing import capture_logs

from sidecar.adapters.redis_link import RedisTarget, RedisTls, silence
from sidecar.core.model import Conflict, Unavailable
from tests.real_parts import ROOT
from tests.redis_server import RedisServer, asking, free_port, make_authority, send
from tests.redis_sidecar import sidecar, token

SECRETS = {name: f"s3cr3t-{name}" for name in ("sidecar", "relay", "replica", "sentinel")}


def written(folder: Path, *, certified_in: Path | None = None) -> Path:
    """The files of ``redis/`` in a folder, with its paths and passwords in place of theirs.

    Nodes that know each other have certificates of one authority: those of another's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if certified_in is None:
        make_authority(folder, "tls")
    else:
        for name in ("tls-ca.pem", "tls.pem", "tls.key"):
            shutil.copy(certified_in / name, folder)
    acl = (ROOT / "redis/users.acl").read_text()
    for name, secret in SECRETS.items():
        digest = hashlib.sha256(secret.encode()).hexdigest()
        acl = acl.replace(f"#SHA256_OF_THE_{name.upper()}S_PASSWORD", f"#{digest}")
    assert "SHA256_OF" not in acl
    (folder / "users.acl").write_text(acl + "user admin on >admin ~* &* +@all\n")
    config = (ROOT / "redis/redis.conf").read_text()
    for old, new in (
        ("/etc/redis/tls/tls.crt", folder / "tls.pem"),
        ("/etc/redis/tls/tls.key", folder / "tls.key"),
        ("/etc/redis/tls/ca.crt", folder / "tls-ca.pem"),
        ("/etc/redis/users.acl", folder / "users.acl"),
        ("dir /var/lib/redis", f"dir {folder}"),
    ):
        assert old in config
        config = config.replace(old, str(new))
    (folder / "redis.conf").write_text(config)
    return folder / "redis.conf"


class Deployed(RedisServer):
    """A server that runs the files of ``redis/``, and who may come there."""

    def __init__(self, folder: Path, *arguments: str, beside: Deployed | None = None) -> None:
        self.etc = folder / "etc"
        config = written(self.etc, certified_in=None if beside is None else beside.etc)
        self.tls_port = free_port()
        super().__init__(folder, "--tls-port", str(self.tls_port), *arguments, config=config)
        self.administrator = replace(self.target, username="admin", password="admin")

    def user(self, name: str, **changes: Any) -> RedisTarget:
        tls = RedisTls(ca=self.etc / "tls-ca.pem")
        target = RedisTarget(host="localhost", port=self.tls_port, tls=tls, username=name)
        return replace(target, password=SECRETS[name], **changes)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Deployed]:
    async with Deployed(tmp_path / "r", "--min-replicas-to-write", "0") as running:
        yield running


# --- users --------------------------------------------------------------------------------------


async def test_ledger_works_with_the_rights_of_its_role(server: Deployed) -> None:
    """Over TLS, as ``sidecar``, by the very files of ``redis/``; the script's reload too."""
    async with sidecar(server.user("sidecar"), timeout=2) as one:
        await one.reached()
        assert await one.use(token("j")) is None
        await server.ask("SCRIPT", "FLUSH")
        assert await one.use(token("j")) is Conflict.CLAIMED_BEFORE
        denied = await server.ask("ACL", "LOG")

    assert denied == []


async def test_ledger_works_with_a_replica_by_the_files_as_they_are(tmp_path: Path) -> None:
    """``min-replicas-to-write`` stands in ``redis.conf``; replicas log in as ``replica``."""
    secret = ("--masterauth", SECRETS["replica"])
    async with (
        Deployed(tmp_path / "a", *secret) as master,
        sidecar(master.user("sidecar"), timeout=2) as one,
    ):
        await one.reached()
        with pytest.raises(Unavailable, match="NOREPLICAS"):
            await one.use(token("i"))
        follow = ("--replicaof", "localhost", str(master.tls_port))
        async with Deployed(tmp_path / "b", *secret, *follow, beside=master) as replica:
            await replica.follows(master)
            assert await one.use(token("j", issued=60)) is None


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", "scopegate:deny", "*", "a", "b"),
        ("DEL", "scopegate:deny"),
        ("SET", "scopegate:deny:head", "x"),
        ("XTRIM", "scopegate:deny", "MAXLEN", 0),
        ("EVAL", "return redis.call('SET', KEYS[1], 'x')", 1, "scopegate:deny:head"),
        ("DEL", "{t}:jti:j"),
        ("HDEL", "{t}:epoch", "node"),
        ("GET", "{t}:jti:j"),
        ("SET", "other", "x"),
        ("FLUSHALL",),
        ("FLUSHDB",),
        ("SWAPDB", 0, 1),
        ("CONFIG", "GET", "maxmemory-policy"),
        ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
        ("KEYS", "*"),
        ("SCAN", 0),
        ("REPLICAOF", "NO", "ONE"),
        ("SCRIPT", "FLUSH"),
        ("ACL", "LIST"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("SUBSCRIBE", "x"),
        ("PUBLISH", "x", "y"),
    ],
    ids=lambda command: " ".join(map(str, command[:2])),
)
async def test_sidecar_may_not_more_than_it_does(
    server: Deployed, command: tuple[str | int, ...]
) -> None:
    """Who takes a sidecar over can neither lift a revocation nor make a used token good."""
    async with asking(server.user("sidecar")) as redis:
        with pytest.raises(NoPermissionError):
            await send(redis, *command)


async def test_script_may_not_write_the_feed_when_the_sidecar_runs_it(server: Deployed) -> None:
    """Rights hold inside a script as well: reading the feed gives none to write it."""
    async with asking(server.user("sidecar")) as redis:
        digest = await redis.script_load("return redis.call('SET', KEYS[1], 'x')")
        with pytest.raises(NoPermissionError):
            await send(redis, "EVALSHA", digest, 1, "scopegate:deny:head")
        with pytest.raises(RedisError):
            await send(redis, "EVALSHA", digest, 0)


async def test_feed_is_written_by_the_relay_and_read_by_the_sidecar(server: Deployed) -> None:
    """Each role has what it needs of the feed, and the relay nothing of the ledger."""
    async with asking(server.user("relay")) as relay, asking(server.user("sidecar")) as reader:
        await send(relay, "XADD", "scopegate:deny", "1-0", "entry", "x")
        await send(relay, "SET", "scopegate:deny:head", "1")
        await send(relay, "RPUSH", "scopegate:deny:list", "1")
        assert await send(relay, "LLEN", "scopegate:deny:list") == 1
        async with relay.pipeline(transaction=True) as pipe:
            pipe.xrevrange("scopegate:deny", count=1)
            (last,) = await pipe.execute()
        assert last[0][0] == b"1-0"

        assert await reader.xread({"scopegate:deny": "0"}, block=1000)
        assert await reader.xrange("scopegate:deny")
        assert await reader.xlen("scopegate:deny") == 1
        assert await reader.xinfo_stream("scopegate:deny")
        assert await reader.get("scopegate:deny:head") == b"1"
        assert await reader.exists("scopegate:deny:head") == 1
        assert await send(reader, "LRANGE", "scopegate:deny:list", 0, -1) == [b"1"]
        for command in (("SET", "{t}:jti:j", "x"), ("DEL", "{t}:epoch"), ("GET", "{t}:epoch")):
            with pytest.raises(NoPermissionError):
                await send(relay, *command)
        with pytest.raises(NoPermissionError):
            await send(relay, "FLUSHALL")


async def test_nobody_comes_in_without_a_user(server: Deployed) -> None:
    """The default user is off."""
    stranger = replace(server.user("sidecar"), username="", password="")
    async with sidecar(stranger) as one:
        with pytest.raises(Unavailable, match="refused our user or password"):
            await one.use(token("j"))


def test_placeholder_of_a_password_is_no_password() -> None:
    """Redis does not start with what stands in the file before an operator filled it in."""
    lines = (ROOT / "redis/users.acl").read_text().splitlines()
    users = {line.split()[1]: line for line in lines}

    assert set(users) == {"default", *SECRETS}
    assert " off " in users.pop("default")
    for name, line in users.items():
        assert f" on #SHA256_OF_THE_{name.upper()}S_PASSWORD " in line
        assert "nopass" not in line


async def test_redis_does_not_start_with_a_placeholder(tmp_path: Path) -> None:
    """The same, by Redis itself."""
    config = written(tmp_path / "etc")
    (tmp_path / "etc/users.acl").write_text((ROOT / "redis/users.acl").read_text())
    server = RedisServer(tmp_path / "r", config=config)
    with pytest.raises(AssertionError):
        await server.__aenter__()


# --- TLS ----------------------------------------------------------------------------------------


async def test_tls_refuses_a_server_of_another_authority(server: Deployed, tmp_path: Path) -> None:
    """Only the named authority counts, and the outage says so."""
    other = make_authority(tmp_path, "other")
    async with sidecar(server.user("sidecar", tls=RedisTls(ca=other)), timeout=2) as one:
        with pytest.raises(Unavailable, match="certificate that is not trusted"):
            await one.use(token("j"))


async def test_tls_refuses_a_server_of_a_public_authority_when_none_is_named(
    server: Deployed,
) -> None:
    """Without ``ca`` the system's authorities count, and this one is none of them."""
    async with sidecar(server.user("sidecar", tls=RedisTls()), timeout=2) as one:
        with pytest.raises(Unavailable, match="certificate that is not trusted"):
            await one.use(token("j"))


async def test_tls_trusts_no_other_authority_when_one_is_named(
    server: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system's authorities do not count beside it."""
    monkeypatch.setenv("SSL_CERT_FILE", str(server.etc / "tls-ca.pem"))
    other = make_authority(tmp_path, "other")
    async with sidecar(server.user("sidecar", tls=RedisTls()), timeout=2) as one:
        await one.reached()
    async with sidecar(server.user("sidecar", tls=RedisTls(ca=other)), timeout=2) as one:
        with pytest.raises(Unavailable, match="certificate that is not trusted"):
            await one.use(token("j"))


@pytest.mark.parametrize(
    ("host", "name", "passes"),
    [
        ("localhost", "", True),
        ("127.0.0.1", "", True),
        ("127.0.0.1", "localhost", True),
        ("127.0.0.2", "", False),
        ("localhost", "redis.test", False),
    ],
)
async def test_tls_checks_the_servers_name(
    server: Deployed, host: str, name: str, *, passes: bool
) -> None:
    """The host's, or the one that the operator names."""
    await server.ask("CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2")
    tls = RedisTls(ca=server.etc / "tls-ca.pem", server_name=name)
    async with sidecar(server.user("sidecar", host=host, tls=tls), timeout=2) as one:
        said = await one.said(token("j"), wait=5)

    assert said == ("passed" if passes else "unavailable")


async def test_tls_shows_our_certificate_when_the_server_wants_one(server: Deployed) -> None:
    """Mutual TLS where an operator asks for it."""
    await server.ask("CONFIG", "SET", "tls-auth-clients", "yes")
    etc = server.etc
    ours = RedisTls(etc / "tls-ca.pem", certificate=etc / "tls.pem", key=etc / "tls.key")
    async with sidecar(server.user("sidecar"), timeout=2) as one:
        assert await one.said(token("j"), wait=5) == "unavailable"
    async with sidecar(server.user("sidecar", tls=ours), timeout=2) as one:
        assert await one.said(token("j"), wait=5) == "passed"


@pytest.mark.parametrize("target", [{"host": "h"}, {"sentinels": (("s", 1),), "service": "gate"}])
async def test_tls_is_1_2_or_later_and_nothing_is_sent_twice(target: dict[str, Any]) -> None:
    """By our own word: not by the defaults of whatever Python, OpenSSL and redis-py there are."""
    async with asking(RedisTarget(**target, tls=RedisTls())) as redis:
        settings = redis.connection_pool.connection_kwargs
        context = settings["context"]

        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        assert settings["retry"].get_retries() == 0


# --- what is told -------------------------------------------------------------------------------


async def test_nothing_told_holds_a_password(server: Deployed) -> None:
    """Not the target's text, not the outage's, not the log's."""
    target = server.user("sidecar", sentinel_password="s3cr3t-too")
    wrong = replace(target, password="s3cr3t-wrong")
    with capture_logs() as logs:
        async with sidecar(wrong, timeout=2) as one:
            with pytest.raises(Unavailable, match="refused our user or password") as outage:
                await one.use(token("j"))

    assert "s3cr3t" not in f"{target!r} {wrong} {outage.value!r} {logs}"
    assert str(server.tls_port) not in f"{outage.value!r} {logs}"


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"socket": Path("/s"), "host": "h"},
        {"host": "h", "sentinels": (("s", 1),), "service": "gate"},
        {"sentinels": (("s", 1),)},
        {"host": "h", "service": "gate"},
        {"socket": Path("/s"), "tls": RedisTls()},
        {"host": "h", "tls": RedisTls(certificate=Path("/c"))},
        {"host": "h", "tls": RedisTls(key=Path("/k"))},
    ],
)
def test_target_is_refused_when_it_is_none_or_several(target: dict[str, Any]) -> None:
    """Where Redis is, is said once."""
    with pytest.raises(ValueError, match=r"exactly one|together|no TLS"):
        RedisTarget(**target)


def test_silence_quotes_nothing_of_an_error() -> None:
    """An error's text may hold keys, addresses and scripts; a code word holds none."""
    assert silence(RedisError("s3cr3t 10.0.0.1")) == "redis is not reachable"
    assert silence(OSError("s3cr3t")) == "redis is not reachable"
