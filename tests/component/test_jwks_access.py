"""TLS with a private authority, and a bearer token: both out of files that rotate."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from sidecar.adapters.jwks import KeySource
from sidecar.adapters.jwks_fetch import Ask
from sidecar.core.model import Unavailable
from tests.authority import Authority
from tests.fakes_keys import jwks
from tests.jwks_client import EDDSA, ISSUER, WELL_KNOWN, Client, at, client_of, metadata
from tests.jwks_server import JwksServer, status


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


async def refused(client: Client, *why: str, logs: Sequence[Mapping[str, Any]]) -> None:
    with pytest.raises(Unavailable):
        await client.find("a")
    assert all(word in str(logs[0]["why"]) for word in why), logs


async def test_keys_are_fetched_when_the_private_authority_vouches(ours: Authority) -> None:
    """The server's certificate is signed by the authority in ``ca_file``."""
    async with (
        JwksServer(jwks("a"), tls=ours.server()) as server,
        client_of(at(server, ca_file=ours.file)) as client,
    ):
        assert server.url.startswith("https://")
        assert await client.find("a") is not None


async def test_no_keys_are_fetched_when_only_the_system_vouches(ours: Authority) -> None:
    """Without ``ca_file`` nobody knows the private authority."""
    with capture_logs() as logs:
        async with (
            JwksServer(jwks("a"), tls=ours.server()) as server,
            client_of(at(server)) as client,
        ):
            await refused(client, "CERTIFICATE_VERIFY_FAILED", logs=logs)
            assert server.requests == []


async def test_system_is_not_trusted_when_there_is_a_private_authority(
    ours: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``ca_file``, a certificate of any public authority is worth nothing."""
    public = Authority(tmp_path, "public")
    monkeypatch.setenv("SSL_CERT_FILE", str(public.file))
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 1
    with capture_logs() as logs:
        async with (
            JwksServer(jwks("a"), tls=public.server()) as server,
            client_of(at(server, ca_file=ours.file)) as client,
        ):
            await refused(client, "CERTIFICATE_VERIFY_FAILED", logs=logs)


@pytest.mark.parametrize(
    ("host", "days", "why"),
    [
        ("other.example", (-1, 1), "IP address mismatch"),
        ("127.0.0.2", (-1, 1), "IP address mismatch"),
        ("127.0.0.1", (-2, -1), "certificate has expired"),
        ("127.0.0.1", (1, 2), "certificate is not yet valid"),
    ],
)
async def test_no_keys_are_fetched_when_the_certificate_is_not_good(
    ours: Authority, host: str, days: tuple[int, int], why: str
) -> None:
    """The right authority is not enough: the name and the days count."""
    tls = ours.server(host, from_day=days[0], to_day=days[1])
    with capture_logs() as logs:
        async with (
            JwksServer(jwks("a"), tls=tls) as server,
            client_of(at(server, ca_file=ours.file)) as client,
        ):
            await refused(client, "CERTIFICATE_VERIFY_FAILED", why, logs=logs)
            assert server.requests == []


async def test_no_keys_are_fetched_when_the_name_is_not_the_certificates(ours: Authority) -> None:
    """A name is held to the certificate as an address is."""
    with capture_logs() as logs:
        async with JwksServer(jwks("a"), tls=ours.server("other.example")) as server:
            url = server.at("/jwks.json", "localhost")
            source = KeySource(ISSUER, "main", EDDSA, url=url, ca_file=ours.file)
            async with client_of(source) as client:
                await refused(client, "Hostname mismatch", logs=logs)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def garbage(file: Path) -> None:
    file.write_bytes(bytes(range(256)))


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:200])


def missing(file: Path) -> None:
    file.unlink()


def too_large(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"\n" * (1 << 20))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (empty, "no PEM certificate"),
        (garbage, "no PEM certificate"),
        (cut_short, "no PEM certificate"),
        (missing, "No such file"),
        (too_large, "more than 1048576 bytes"),
    ],
)
async def test_no_keys_are_fetched_when_the_authority_file_is_spoilt(
    ours: Authority, spoil: Callable[[Path], None], why: str
) -> None:
    """A file without an authority trusts nobody, not everybody; the error names it."""
    tls = ours.server()
    spoil(ours.file)
    with capture_logs() as logs:
        async with (
            JwksServer(jwks("a"), tls=tls) as server,
            client_of(at(server, ca_file=ours.file)) as client,
        ):
            await refused(client, why, str(ours.file), logs=logs)


async def test_authority_is_read_at_each_fetch(ours: Authority, tmp_path: Path) -> None:
    """It rotates under a running sidecar."""
    file = tmp_path / "ca.pem"
    file.write_bytes(Authority(tmp_path, "old").file.read_bytes())
    async with (
        JwksServer(jwks("a"), tls=ours.server()) as server,
        client_of(at(server, ca_file=file)) as client,
    ):
        assert client.status.failures == 1
        notes = "# Schl\u00fcssel\n".encode()
        file.write_bytes(notes + file.read_bytes() + notes + ours.file.read_bytes())
        await client.time.advance(1)

        assert await client.find("a") is not None


# --- the token ---------------------------------------------------------------------------------

SECRET = "eyJhbGciOiJSUzI1NiJ9.e30.c2VjcmV0"


def hold(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def rotate(file: Path) -> None:
    file.write_text("rotated")


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text(SECRET + "\n")
    return file


async def test_token_is_sent_to_discovery_and_keys_and_read_anew(
    ours: Authority, token: Path
) -> None:
    """As Kubernetes wants it, whose kubelet writes a new one into the same file."""
    async with JwksServer(jwks("a"), tls=ours.server()) as server:
        server.pages[WELL_KNOWN] = status(200, metadata(server.url))
        source = at(server, discovery=server.at(WELL_KNOWN), ca_file=ours.file, token_file=token)
        async with client_of(source) as client:
            rotate(token)
            await client.time.advance(60)

        sent = [request["Authorization"] for request in server.requests]
        assert sent == [f"Bearer {SECRET}", f"Bearer {SECRET}", "Bearer rotated"]


async def test_no_token_is_sent_when_the_source_has_none() -> None:
    """Nothing of another source gets into a request."""
    async with JwksServer(jwks("a")) as server, client_of(at(server)):
        assert "Authorization" not in server.requests[0]


async def test_token_is_not_sent_when_the_server_is_a_stranger(
    ours: Authority, token: Path, tmp_path: Path
) -> None:
    """Who has no certificate of ours does not get to see it."""
    stranger = Authority(tmp_path, "stranger").server()
    async with (
        JwksServer(jwks("a"), tls=stranger) as server,
        client_of(at(server, ca_file=ours.file, token_file=token)) as client,
    ):
        assert client.status.failures == 1
        assert server.requests == []


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a bearer token"),
        (b"two words", "not a bearer token"),
        (b"a\r\nX-Evil: 1", "not a bearer token"),
        (b"\xff\xfe", "not a bearer token"),
        (b"a" * 20_000, "more than 16384 bytes"),
        (None, "No such file"),
    ],
)
async def test_nobody_is_asked_when_the_token_cannot_be_sent(
    token: Path, content: bytes | None, why: str
) -> None:
    """The error names the file, and nothing that stands in it."""
    hold(token, content)
    with capture_logs() as logs:
        async with (
            JwksServer(jwks("a")) as server,
            client_of(at(server, token_file=token)) as client,
        ):
            await refused(client, why, str(token), logs=logs)
            assert server.requests == []
    assert "words" not in str(logs)
    assert "Evil" not in str(logs)


@pytest.mark.parametrize("answer", [status(401), status(200, SECRET.encode()), status(302)])
async def test_token_is_in_no_log_when_the_fetch_fails(token: Path, answer: object) -> None:
    """Not even when the server says it back."""
    async with JwksServer() as server:
        server.answer = answer  # type: ignore[assignment]  # one of the above
        with capture_logs() as logs:
            async with client_of(at(server, token_file=token)) as client:
                await server.stop()
                await client.time.advance(1)

        assert len(logs) == 2
        assert SECRET not in str(logs)
        assert SECRET not in repr(Ask(server.url, token=SECRET))


@pytest.mark.parametrize(
    "url", ["http://issuer.example/jwks", "http://localhost/jwks", "https://a:b@issuer.example/"]
)
def test_source_is_refused_when_its_token_could_be_read_on_the_way(url: str, token: Path) -> None:
    """A token over an open way is everybody's; two credentials at once are a mistake."""
    with pytest.raises(ValueError, match="issuer a: "):
        KeySource(ISSUER, "a", EDDSA, url=url, token_file=token)


@pytest.mark.parametrize("member", ["ca_file", "token_file"])
def test_source_is_refused_when_a_file_has_what_only_a_server_needs(
    member: str, tmp_path: Path
) -> None:
    """What would silently not count is an error."""
    extra = {member: tmp_path / "x"}
    with pytest.raises(ValueError, match="a file needs neither"):
        KeySource(ISSUER, "a", EDDSA, file=tmp_path / "y", **extra)  # type: ignore[arg-type]
