"""The files of a stage: the demo's settings and catalogue with what the faults need changed."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any, Final

import yaml

from examples.demo.issuer import ISSUER, TENANT, Issuer, _public
from examples.demo.processes import ENVOY_CONFIG, SIDECAR_CONFIG
from examples.demo.program import program
from tests.real_parts import ROOT

STALE_AFTER_S: Final = 2.0
KEYS_REFRESH_S: Final = 1.0
KEYS_MAX_AGE_S: Final = 4.0
_LEEWAY_S: Final = 1
"""A new epoch of single use refuses tokens for so much longer."""
_USERS: Final = ("sidecar", "relay", "replica", "sentinel")


def lane_timeout_s() -> float:
    """How long Envoy waits for a check, by its own file."""
    found = re.search(
        r"envoy_grpc: \{cluster_name: authz\}, timeout: ([0-9.]+)s", ENVOY_CONFIG.read_text()
    )
    assert found is not None
    return float(found[1])


def write_files(folder: Path, issuer: Issuer) -> None:
    """Everything that an operator prepares: settings, catalogue, keys, passwords, users."""
    catalogue = yaml.safe_load((SIDECAR_CONFIG.parent / "catalogue.yaml").read_text())
    (exports,) = (route for route in catalogue["routes"] if route["name"] == "exports")
    exports["operations"]["GET"] = {"scope": "read:exports:{export}", "single_use": True}
    (folder / "catalogue.yaml").write_text(yaml.safe_dump(catalogue))
    keys = [_public(kid, key) for kid, key in issuer._published.items()]
    (folder / "jwks.json").write_text(json.dumps({"keys": keys}))
    _write_users(folder)
    _make_feed_key(folder)
    (folder / "scopegate.yaml").write_text(yaml.safe_dump(_sidecar_settings()))
    (folder / "relay.yaml").write_text(yaml.safe_dump(_relay_settings()))


def _sidecar_settings() -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(SIDECAR_CONFIG.read_text())
    (issuer,) = settings["issuers"]
    issuer["ceiling"].append("read:exports:*")
    issuer["leeway"] = _LEEWAY_S
    return settings | {
        "policy": {
            "engine": "opa",
            "opa": {"address": "unix:opa.sock", "token_file": "opa-token"},
            "entrypoint": settings["policy"]["entrypoint"],
        },
        "keys": {
            "refresh": KEYS_REFRESH_S,
            "max_age": KEYS_MAX_AGE_S,
            "timeout": 0.5,
            "cooldown": 1,
            "wait": 0.3,
        },
        "stores": {"kind": "redis"},
        "deny_list": {"source": "redis", "keys": "feed.json", "stale_after": STALE_AFTER_S},
        "redis": _redis("sidecar"),
    }


def _relay_settings() -> dict[str, Any]:
    return {
        "version": 1,
        "socket": "relay.sock",
        "journal": "journal.db",
        "key": "feed.pem",
        "keys": "feed.json",
        "redis": _redis("relay"),
        "issuers": [{"issuer": ISSUER, "tenants": [TENANT]}],
    }


def _redis(user: str) -> dict[str, str]:
    return {"address": "unix:redis.sock", "username": user, "password_file": f"{user}.password"}


def _write_users(folder: Path) -> None:
    """``redis/users.acl`` with the digests of new passwords."""
    users = (ROOT / "redis" / "users.acl").read_text()
    for user in _USERS:
        password = secrets.token_hex(32)
        (folder / f"{user}.password").write_text(password)
        digest = hashlib.sha256(password.encode()).hexdigest()
        users = users.replace(f"SHA256_OF_THE_{user.upper()}S_PASSWORD", digest)
    (folder / "users.acl").write_text(users)


def _make_feed_key(folder: Path) -> None:
    command = [program("scopegate"), "deny", "keygen", "--out", "feed.pem", "--public", "feed.json"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
