"""Facts about fetching that only these tests show."""

from __future__ import annotations

import ssl
from pathlib import Path

from sidecar.adapters.jwks_access import read_access
from sidecar.adapters.jwks_source import KeySource
from tests.authority import Authority


async def test_old_tls_is_not_spoken_when_there_is_a_private_authority(tmp_path: Path) -> None:
    """RFC 9325, section 3.1.1: 1.2 or newer, whatever the system's own setting says."""
    source = KeySource(
        "https://issuer.test",
        "test",
        frozenset({"EdDSA"}),
        url="https://issuer.test/keys",
        ca_file=Authority(tmp_path).file,
    )
    access = await read_access(source, timeout_s=10)

    assert access.tls is not None
    assert access.tls.minimum_version is ssl.TLSVersion.TLSv1_2
    assert access.tls.verify_mode is ssl.CERT_REQUIRED
    assert access.tls.check_hostname
