"""Real Redis for tests: servers, replicas and a sentinel of our own, that a test may hurt."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sidecar.adapters.redis_link import RedisTarget, connect, hang_up
from tests.real_parts import libfaketime, redis_sentinel, redis_server

PATIENCE_S: Final = 20.0
"""How long a test waits for what has to come."""


async def eventually(told: Callable[[], Awaitable[bool] | bool], what: str) -> None:
    """Wait until it is so. Raises ``AssertionError`` when it never becomes so."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        answer = told()
        if answer if isinstance(answer, bool) else await answer:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"it never came to be: {what}")


def free_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Process:
    """A program that a test starts, stops and kills, by its own pid."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.environment: dict[str, str] = {}
        self._running: subprocess.Popen[bytes] | None = None

    def run(self, *command: str) -> None:
        """Start the program; what it writes goes to ``output`` in the folder."""
        with (self.folder / "output").open("ab") as output:
            self._running = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=os.environ | self.environment,
            )

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def kill(self) -> None:
        """``SIGKILL``: nothing is said, nothing is saved."""
        if self._running is not None:
            self._running.kill()
            self._running.wait()

    def stop(self) -> None:
        """``SIGSTOP``: it is there, and says nothing."""
        self._signal(signal.SIGSTOP)

    def cont(self) -> None:
        """``SIGCONT``: it goes on where it stood."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._running is not None
        self._running.send_signal(number)


class RedisServer(Process):
    """``async with RedisServer(folder, "--appendonly", "yes") as server``: a real redis-server.

    On a Unix socket; ``tcp=True`` adds a loopback port, which replicas and sentinels need. Nothing
    is saved unless the arguments say so. ``clock`` is a faketime offset such as ``+3600``.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        tcp: bool = False,
        replica_of: RedisServer | Wire | None = None,
        clock: str | None = None,
        config: Path | None = None,
    ) -> None:
        super().__init__(folder)
        self.socket = folder / "s"
        self.administrator = RedisTarget(socket=self.socket)
        self.port = free_port() if tcp or replica_of is not None else 0
        self._arguments = [
            *(() if config is None else (str(config),)),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--unixsocket", str(self.socket)),
            *(
                "--dir",
                str(folder),
                "--save",
                "",
                "--appendonly",
                "no",
                "--logfile",
                str(folder / "log"),
            ),
            *("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
            *(() if replica_of is None else ("--replicaof", "127.0.0.1", str(replica_of.port))),
            *arguments,
        ]
        if clock is not None:
            self.set_clock(clock)
            self.environment = {
                # libc again: Debian's Redis has jemalloc, whose start asks for the time too early.
                "LD_PRELOAD": f"{libfaketime()}:libc.so.6",
                "FAKETIME_TIMESTAMP_FILE": str(folder / "clock"),
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            }

    @property
    def target(self) -> RedisTarget:
        return RedisTarget(socket=self.socket)

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    async def start(self) -> None:
        """Start, and wait until it has loaded what it has and serves."""
        (self.folder / "log").unlink(missing_ok=True)
        self.run(str(redis_server()), *self._arguments)
        await eventually(self._serves, f"redis-server serves; see {self.folder}")

    async def restart(self) -> None:
        """``SIGKILL``, and start again over the same folder."""
        self.kill()
        await self.start()

    def set_clock(self, offset: str) -> None:
        """From now on its clock differs so much: ``+3600`` is an hour ahead."""
        new = self.folder / "clock.new"
        new.write_text(f"{offset}\n")
        new.replace(self.folder / "clock")  # at once: nobody reads half a file

    async def ask(self, *command: str | int) -> Any:
        """Send one command as ``administrator``."""
        async with asking(self.administrator) as redis:
            return await send(redis, *command)

    async def info(self, section: str) -> Mapping[str, Any]:
        async with asking(self.administrator) as redis:
            facts: Mapping[str, Any] = await redis.info(section)
            return facts

    async def follows(self, master: RedisServer) -> None:
        """Wait until this replica has all that the master has, and the master counts it."""

        async def there() -> bool:
            mine, its = await self.info("replication"), await master.info("replication")
            return (
                mine.get("master_link_status") == "up"
                and mine.get("slave_repl_offset") == its.get("master_repl_offset")
                and its.get("min_slaves_good_slaves", 1) > 0
            )

        await eventually(there, "the replica has everything")

    async def promote(self) -> None:
        """``REPLICAOF NO ONE``: what a failover does to the new master."""
        await self.ask("REPLICAOF", "NO", "ONE")

    def _serves(self) -> bool:
        assert self.running(), self.output
        log = self.folder / "log"
        return log.exists() and "eady to accept connections" in log.read_text(errors="replace")


class Wire:
    """``async with Wire(master)``: a port of its own that leads to a server's."""

    def __init__(self, master: RedisServer) -> None:
        self.port = 0
        self._master = master
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def lead_to(self, master: RedisServer) -> None:
        """New connections come to another server; those that there are stay where they are."""
        self._master = master

    def hold(self) -> None:
        """From now on nothing from the master arrives; what the replica says still does."""
        self._goes_on.clear()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(*self._master.address)
        for one in (self._carry(back, writer, held=True), self._carry(reader, forth, held=False)):
            self._tasks.add(asyncio.create_task(one))

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, held: bool
    ) -> None:
        try:
            while data := await reader.read(65536):
                if held:
                    await self._goes_on.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()


class RedisSentinel(Process):
    """A real redis-sentinel on a loopback port that watches one master alone."""

    def __init__(self, folder: Path, master: RedisServer, *, down_after_ms: int = 1000) -> None:
        super().__init__(folder)
        self.port = free_port()
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor gate 127.0.0.1 {master.port} 1\n"
            f"sentinel down-after-milliseconds gate {down_after_ms}\n"
            "sentinel failover-timeout gate 6000\n"
        )

    async def __aenter__(self) -> Self:
        self.run(str(redis_sentinel()), "sentinel.conf")
        await eventually(self._knows, "the sentinel knows the master")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    @property
    def target(self) -> RedisTarget:
        return RedisTarget(sentinels=(("127.0.0.1", self.port),), service="gate")

    async def replicas(self) -> int:
        async with asking(RedisTarget(host="127.0.0.1", port=self.port)) as sentinel:
            return len(await send(sentinel, "SENTINEL", "REPLICAS", "gate"))

    async def master_port(self) -> int:
        async with asking(RedisTarget(host="127.0.0.1", port=self.port)) as sentinel:
            return int((await send(sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "gate"))[1])

    async def fail_over(self) -> None:
        """Make a replica the master, and the master a replica, while both are well."""

        async def begun() -> bool:
            async with asking(RedisTarget(host="127.0.0.1", port=self.port)) as sentinel:
                with contextlib.suppress(RedisError):  # it has not heard from the replica yet
                    await send(sentinel, "SENTINEL", "FAILOVER", "gate")
                    return True
                return False

        await eventually(begun, "the failover began")

    async def _knows(self) -> bool:
        try:
            return await self.master_port() > 0
        except RedisError:
            return False


@contextlib.asynccontextmanager
async def asking(target: RedisTarget, *, timeout: float = 2.0) -> AsyncIterator[Redis]:  # noqa: ASYNC109 - redis-py's own
    """A client for as long as the context lasts."""
    redis = connect(target, timeout=timeout)
    try:
        yield redis
    finally:
        await hang_up(redis)


async def send(redis: Redis, *command: str | int) -> Any:
    """One command, and redis-py's answer to it."""
    execute: Callable[..., Awaitable[Any]] = redis.execute_command
    return await execute(*command)


def make_authority(folder: Path, name: str, *, server: str = "localhost") -> Path:
    """Write a CA and a server's certificate: ``NAME-ca.pem``, ``NAME.pem``, ``NAME.key``.

    The certificate is for the DNS name ``server`` and, when that is localhost, 127.0.0.1.
    Returns the path of the CA.
    """
    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} CA")])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, server)])
    names: list[x509.GeneralName] = [x509.DNSName(server)]
    if server == "localhost":
        names.append(x509.IPAddress(IPv4Address("127.0.0.1")))
    signing = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    ca = (
        _certificate(issuer, issuer, ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(signing, critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    leaf = (
        _certificate(subject, issuer, key)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / f"{name}-ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / f"{name}.pem").write_bytes(leaf.public_bytes(pem))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / f"{name}-ca.pem"


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )
