"""The key that signs the feed, and the set that readers have."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc.jwk import OKPKey

from sidecar.core.feed import Beat, FeedId
from sidecar.core.feed_wire import open_beat
from sidecar.relay.keys import KeyFileError, make_keys, read_public, read_signer

BEAT = Beat(FeedId("0" * 32, 1), 1, 1)


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    how: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        how = serialization.BestAvailableEncryption(password)
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def test_keys_that_are_made_fit_each_other(tmp_path: Path) -> None:
    """What the private key signs, a reader of the set believes."""
    kid = make_keys(tmp_path / "k.pem", tmp_path / "k.json")
    signer = read_signer(tmp_path / "k.pem")

    assert signer.kid == kid
    assert open_beat(signer.beat(BEAT), read_public(tmp_path / "k.json")) == BEAT


def test_private_key_is_its_owners_alone(tmp_path: Path) -> None:
    """Whoever has it can lift every revocation; the public part is for everybody."""
    make_keys(tmp_path / "k.pem", tmp_path / "k.json")

    assert stat.S_IMODE((tmp_path / "k.pem").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "k.json").stat().st_mode) == 0o644
    assert "PRIVATE" not in repr(read_signer(tmp_path / "k.pem"))


def test_public_key_is_a_jwk_named_by_its_thumbprint(tmp_path: Path) -> None:
    """RFC 8037 and RFC 7638, as joserfc reads and computes them; no private member."""
    kid = make_keys(tmp_path / "k.pem", tmp_path / "k.json")
    (jwk,) = json.loads((tmp_path / "k.json").read_text())["keys"]
    private = OKPKey.import_key((tmp_path / "k.pem").read_text())

    assert sorted(jwk) == ["alg", "crv", "kid", "kty", "use", "x"]
    assert (jwk["alg"], jwk["use"]) == ("EdDSA", "sig")
    assert jwk["kid"] == kid == private.thumbprint()
    assert jwk["x"] == private.as_dict(private=False)["x"]


def test_second_key_joins_the_first(tmp_path: Path) -> None:
    """Readers learn a new key while the old one still signs."""
    kids = {make_keys(tmp_path / name, tmp_path / "k.json") for name in ("a.pem", "b.pem")}

    assert set(read_public(tmp_path / "k.json")) == kids
    assert len(kids) == 2


def test_private_key_is_never_overwritten(tmp_path: Path) -> None:
    """A key that is lost cannot lift what it revoked; the set stays as it was, too."""
    make_keys(tmp_path / "k.pem", tmp_path / "k.json")
    before = [(tmp_path / name).read_bytes() for name in ("k.pem", "k.json")]
    with pytest.raises(KeyFileError, match="cannot be made: File exists"):
        make_keys(tmp_path / "k.pem", tmp_path / "k.json")

    assert [(tmp_path / name).read_bytes() for name in ("k.pem", "k.json")] == before


@pytest.mark.parametrize("content", ["", "{}", '{"keys": []}', '{"keys": [{"kty": "oct"}]}'])
def test_no_key_is_made_when_the_set_is_none(tmp_path: Path, content: str) -> None:
    """A wrong --public is not overwritten, and leaves no private key behind."""
    (tmp_path / "k.json").write_text(content)
    with pytest.raises(KeyFileError, match="is no set of feed keys"):
        make_keys(tmp_path / "k.pem", tmp_path / "k.json")

    assert (tmp_path / "k.json").read_text() == content
    assert not (tmp_path / "k.pem").exists()


def test_no_key_is_made_when_the_set_cannot_be_written(tmp_path: Path) -> None:
    """A private key whose public part nobody has is of no use."""
    with pytest.raises(KeyFileError, match="cannot be written"):
        make_keys(tmp_path / "k.pem", tmp_path / "none" / "k.json")

    assert not (tmp_path / "k.pem").exists()


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o660, 0o610])
def test_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """Group and world have no business with it."""
    make_keys(tmp_path / "k.pem", tmp_path / "k.json")
    (tmp_path / "k.pem").chmod(mode)

    with pytest.raises(KeyFileError, match="chmod 600"):
        read_signer(tmp_path / "k.pem")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no private key"),
        (b"secret words", "no private key"),
        (pem(Ed25519PrivateKey.generate(), b"password"), "without a password"),
        (pem(ec.generate_private_key(ec.SECP256R1())), "no Ed25519 key"),
    ],
)
def test_file_that_is_no_key_is_named_and_not_quoted(
    tmp_path: Path, content: bytes, says: str
) -> None:
    """The wrong file may be another secret."""
    path = tmp_path / "k.pem"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=says) as failed:
        read_signer(path)

    assert "secret" not in str(failed.value)


def test_missing_files_are_told(tmp_path: Path) -> None:
    """No traceback for a typo."""
    with pytest.raises(KeyFileError, match="No such file"):
        read_signer(tmp_path / "none")
    with pytest.raises(KeyFileError, match="No such file"):
        read_public(tmp_path / "none")
