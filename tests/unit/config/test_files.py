"""What stands in the files that settings name: read at load, told with its place, never shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.files import read_files, read_passwords
from sidecar.config.redis_section import RedisSettings
from sidecar.config.settings import Settings
from tests.tokens import signer

SECRET = "hunter2-and-more"


def settings(**changes: Any) -> Settings:
    plain: dict[str, Any] = {
        "version": 1,
        "catalogue": "catalogue.yaml",
        "policy": {"paths": ("policies",)},
        "issuers": (
            {
                "name": "demo",
                "issuer": "https://issuer.example",
                "jwks": {"file": "keys.json"},
                "algorithms": frozenset({"EdDSA"}),
                "tenants": frozenset({"acme"}),
                "ceiling": ("read:customers:*",),
                "max_lifetime": 900.0,
            },
        ),
    }
    return Settings.model_validate({**plain, **changes})


def redis(**changes: Any) -> RedisSettings:
    plain = {"address": "127.0.0.1:6379", "username": "sidecar", "password_file": "password"}
    return RedisSettings.model_validate({**plain, **changes})


def of_opa() -> Settings:
    opa = {"address": "unix:opa.sock", "token_file": "token"}
    return settings(policy={"engine": "opa", "opa": opa})


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_read_files_takes_a_secret_without_its_line_end(tmp_path: Path, end: str) -> None:
    """An editor's last line end is not part of a password."""
    (tmp_path / "token").write_bytes((SECRET + end).encode())

    files, misfits = read_files(of_opa(), tmp_path)

    assert (files.opa_token, misfits) == (SECRET, [])


@pytest.mark.parametrize(
    "content", [b"\n", b"two\nlines", b"two words", b"\xff\xfe", b"x" * 4097, b""]
)
def test_read_files_names_the_setting_when_a_secret_is_none(tmp_path: Path, content: bytes) -> None:
    """What no header or password can be is told with its setting, and not repeated."""
    (tmp_path / "token").write_bytes(content)

    files, ((loc, message),) = read_files(of_opa(), tmp_path)

    assert files.opa_token == ""
    assert loc == ("policy", "opa", "token_file")
    assert message.startswith("must ")
    assert "two" not in message


def test_read_files_names_the_setting_when_a_file_is_missing(tmp_path: Path) -> None:
    """Each of them, before anything connects."""
    tls = {"ca": "ca.pem", "certificate": "cert.pem", "key": "key.pem"}
    sentinel = {"service": "m", "addresses": ("127.0.0.1:1",), "password_file": "other"}
    wanted = redis(address=None, sentinel=sentinel, tls=tls)

    _, misfits = read_passwords(wanted, tmp_path)

    assert [loc for loc, _ in misfits] == [
        ("redis", "tls", "ca"),
        ("redis", "tls", "certificate"),
        ("redis", "tls", "key"),
        ("redis", "password_file"),
        ("redis", "sentinel", "password_file"),
    ]
    assert {message for _, message in misfits} == {"cannot be read: No such file or directory"}


def test_read_files_shows_no_secret(tmp_path: Path) -> None:
    """Neither a message nor a repr of what was read holds one."""
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "password").write_text(SECRET)

    files, _ = read_files(of_opa(), tmp_path)
    passwords, _ = read_passwords(redis(), tmp_path)

    assert passwords.redis == SECRET
    assert SECRET not in repr((files, passwords))


def of_feed() -> Settings:
    return settings(
        deny_list={"source": "redis", "keys": "feed.json"},
        redis={"address": "unix:redis.sock"},
    )


def test_read_files_takes_the_feeds_keys_by_kid(tmp_path: Path) -> None:
    """Several, while the source changes its key."""
    jwks = {"keys": [signer("EdDSA", "old").jwk, signer("EdDSA", "new").jwk]}
    (tmp_path / "feed.json").write_text(json.dumps(jwks))

    files, misfits = read_files(of_feed(), tmp_path)

    assert (set(files.feed_keys), misfits) == ({"eddsa-old", "eddsa-new"}, [])


def nameless() -> dict[str, Any]:
    return {name: value for name, value in signer("EdDSA").jwk.items() if name != "kid"}


@pytest.mark.parametrize(
    "document",
    [
        "{",
        '{"keys": []}',
        json.dumps({"keys": [signer("ES256").jwk]}),
        json.dumps({"keys": [{**signer("EdDSA").jwk, "d": "AAAA"}]}),
        json.dumps({"keys": [nameless()]}),
    ],
)
def test_read_files_refuses_keys_that_cannot_sign_a_feed(tmp_path: Path, document: str) -> None:
    """Nothing usable, another algorithm, a private key, a key without a name."""
    (tmp_path / "feed.json").write_text(document)

    files, ((loc, message),) = read_files(of_feed(), tmp_path)

    assert (loc, dict(files.feed_keys)) == (("deny_list", "keys"), {})
    assert message.startswith("cannot be used: ")
