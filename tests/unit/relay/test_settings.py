"""The relay's settings file: every mistake with its place, and no key that nobody would believe."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.config.problem import ConfigurationError
from sidecar.relay.keys import make_keys
from sidecar.relay.settings import load_relay

PAGE = Path(__file__).resolve().parent.parent.parent.parent / "docs" / "revocation.md"
SETTINGS: dict[str, Any] = {
    "version": 1,
    "journal": "relay.db",
    "key": "key.pem",
    "keys": "keys.json",
    "redis": {"address": "unix:redis.sock"},
    "issuers": [{"issuer": "https://i.test", "tenants": ["acme"]}],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_keys(tmp_path / "key.pem", tmp_path / "keys.json")
    return tmp_path


def written(folder: Path, settings: dict[str, Any]) -> Path:
    path = folder / "relay.yaml"
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def problems(folder: Path, **changes: Any) -> str:
    path = written(folder, SETTINGS | changes)
    with pytest.raises(ConfigurationError) as failed:
        load_relay(path)
    return str(failed.value).replace(f"{path}", "FILE")


def test_settings_name_whose_tokens_may_be_revoked(folder: Path) -> None:
    """Files are found beside the settings; tenants are those of each issuer."""
    loaded = load_relay(written(folder, SETTINGS))

    assert loaded.tenants == {"https://i.test": frozenset({"acme"})}
    assert loaded.signer.kid in loaded.keys
    assert (loaded.settings.feed, loaded.settings.capacity) == ("scopegate:deny", 100_000)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"jurnal": "x"}, "FILE:11: jurnal: is not known; did you mean 'journal'?"),
        ({"key": "none.pem"}, "FILE:3: key: cannot be read: No such file or directory"),
        ({"keys": "none.json"}, "FILE:4: keys: cannot be read: No such file or directory"),
        ({"keys": "key.pem"}, "FILE:4: keys: cannot be used: not a JSON object"),
        ({"redis": {}}, "redis: must have address or sentinel"),
        ({"redis": {"address": "redis.example:6379"}}, "redis: must have tls"),
        ({"issuers": []}, "issuers: must not be empty"),
        ({"issuers": [{"issuer": "i", "tenants": []}]}, "tenants: must not be empty"),
        (
            {"issuers": [SETTINGS["issuers"][0], SETTINGS["issuers"][0]]},
            "issuers[1].issuer: is given twice",
        ),
        ({"capacity": 0}, "capacity: must be more than 0"),
        ({"capacity": 1_000_001}, "capacity: must be 1000000 or less"),
        ({"version": 2}, "version: must be 1"),
        ({"log": "loud"}, "log: must be"),
        (
            {"redis": {"address": "unix:r", "username": "u", "password_file": "none"}},
            "redis.password_file: cannot be read",
        ),
    ],
)
def test_settings_say_what_is_wrong_and_where(
    folder: Path, changes: dict[str, Any], says: str
) -> None:
    """File, line and field, as for a sidecar."""
    assert says in problems(folder, **changes)


def test_settings_refuse_a_key_that_others_may_read(folder: Path) -> None:
    """The relay does not start with it."""
    (folder / "key.pem").chmod(0o640)

    assert "FILE:3: key: others than its owner may use it: chmod 600" in problems(folder)


def test_settings_refuse_a_key_that_no_reader_knows(folder: Path) -> None:
    """A relay that signs what nobody believes would look as if it revoked."""
    make_keys(folder / "other.pem", folder / "other.json")

    assert "FILE:4: keys: does not hold the key that signs" in problems(folder, keys="other.json")


def test_settings_file_that_is_missing_is_told(tmp_path: Path) -> None:
    """Without a traceback."""
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        load_relay(tmp_path / "none.yaml")


def test_example_in_the_manual_is_one(folder: Path) -> None:
    """What docs/revocation.md shows can be used as it stands."""
    (example,) = re.findall(r"```yaml\n(# relay.yaml.*?)```", PAGE.read_text(), re.DOTALL)
    make_keys(folder / "relay-key.pem", folder / "feed-keys.json")
    (folder / "relay-password").write_text("secret\n")
    (folder / "redis-ca.pem").write_text("a certificate\n")
    path = folder / "relay.yaml"
    path.write_text(example)

    assert load_relay(path).settings.issuers
