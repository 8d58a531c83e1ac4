"""``scopegate keys import``: each kind of key file becomes a set that a gate takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.x509.oid import NameOID
from joserfc.jwk import ECKey, OKPKey, RSAKey
from typer.testing import CliRunner

from sidecar.cli import app
from sidecar.core.keyring import parse_jwks
from sidecar.core.signature import ALGORITHMS
from tests.tokens import signer

PRIVATE = "holds a private key; only its public part was taken"
KEYS: dict[str, Any] = {
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "rsa": rsa.generate_private_key(65537, 2048),
}
JOSE: dict[str, Any] = {"ed25519": OKPKey, "rsa": RSAKey}
USUAL = {"ed25519": "EdDSA", "p256": "ES256", "p384": "ES384", "p521": "ES512", "rsa": "RS256"}


def keys_import(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, output and errors."""
    ran = CliRunner().invoke(app, ["keys", "import", *map(str, arguments)])
    assert ran.exception is None or isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, ran.stdout, ran.stderr


def imported(*arguments: str | Path) -> dict[str, Any]:
    """The one key of what was printed."""
    status, out, err = keys_import(*arguments)
    assert status == 0, err
    (key,) = json.loads(out)["keys"]
    assert isinstance(key, dict)
    return key


def public_pem(name: str) -> bytes:
    return spki(KEYS[name].public_key())


def spki(public: Any) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(public.public_bytes(encoding, form))


def private_pem(
    private: Any, form: str = "PKCS8", lock: serialization.KeySerializationEncryption | None = None
) -> bytes:
    return bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            getattr(serialization.PrivateFormat, form),
            lock or serialization.NoEncryption(),
        )
    )


def certificate_pem(name: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(KEYS[name].public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
        .sign(KEYS[name], None if name == "ed25519" else hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def reference(name: str) -> dict[str, Any]:
    """The public JWK and its thumbprint as joserfc has them."""
    kind: Any = JOSE.get(name, ECKey)
    key = kind.import_key(public_pem(name))
    return {**key.as_dict(private=False), "kid": key.thumbprint()}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("form", ["public", "certificate", "private"])
def test_import_makes_a_set_of_every_kind_of_key(tmp_path: Path, name: str, form: str) -> None:
    """The public members and the thumbprint are those of another library, and a gate takes it."""
    pem = tmp_path / "key.pem"
    made: dict[str, Callable[[str], bytes]] = {
        "public": public_pem,
        "certificate": certificate_pem,
        "private": lambda one: private_pem(KEYS[one]),
    }
    pem.write_bytes(made[form](name))
    status, out, err = keys_import(pem)
    (jwk,) = json.loads(out)["keys"]

    assert jwk == {**reference(name), "use": "sig", "alg": USUAL[name]}
    assert status == 0
    assert (PRIVATE in err) is (form == "private")
    ring = parse_jwks(out.encode(), "https://issuer.test", frozenset({USUAL[name]}), None)
    assert ring.find(jwk["kid"]) is not None


@pytest.mark.parametrize("name", ["p256", "rsa"])
def test_import_reads_private_keys_of_the_older_form(tmp_path: Path, name: str) -> None:
    """SEC 1 and PKCS #1, also with the parameters that OpenSSL puts before a key."""
    pem = tmp_path / "key.pem"
    parameters = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"
    before = parameters if name == "p256" else b""
    pem.write_bytes(before + private_pem(KEYS[name], "TraditionalOpenSSL"))

    assert imported(pem)["kid"] == reference(name)["kid"]


def test_import_never_prints_what_is_private(tmp_path: Path) -> None:
    """Of a private key, no member and no line of the file is printed, whatever happens."""
    for name, private in KEYS.items():
        pem = tmp_path / f"{name}.pem"
        pem.write_bytes(private_pem(private))
        kind: Any = JOSE.get(name, ECKey)
        secret = kind.import_key(private_pem(private)).as_dict(private=True)
        for arguments in ([pem], [pem, "--alg", "PS256"], [pem, "--into", tmp_path / "set.json"]):
            _, out, err = keys_import(*arguments)
            for member in {"d", "p", "q", "dp", "dq", "qi"} & secret.keys():
                assert str(secret[member]) not in out + err
            assert not any(line in out + err for line in pem.read_text().splitlines()[1:-1])


def test_import_takes_the_name_and_the_algorithm_that_are_given(tmp_path: Path) -> None:
    """``--kid`` and ``--alg`` stand above thumbprint and usual algorithm."""
    pem = tmp_path / "key.pem"
    pem.write_bytes(public_pem("rsa"))
    jwk = imported(pem, "--kid", "2026-11", "--alg", "PS384")

    assert (jwk["kid"], jwk["alg"]) == ("2026-11", "PS384")


def test_import_makes_a_set_that_verifies_a_token(tmp_path: Path) -> None:
    """The whole way: the key file of an issuer, its set, and a token of it at the gate."""
    pem, jwks = tmp_path / "signing.key", tmp_path / "jwks.json"
    pem.write_bytes(private_pem(signer().private))
    keys_import(pem, "--into", jwks)
    ring = parse_jwks(jwks.read_bytes(), "https://issuer.test", frozenset({"EdDSA"}), None)

    key = ring.find(signer().thumbprint)
    assert key is not None
    key.public.verify(signer().sign(b"text"), b"text")


WEAK = rsa.generate_private_key(65537, 1024)
EXPONENT_3 = rsa.generate_private_key(3, 2048)
LOCK = serialization.BestAvailableEncryption(b"secret")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is no PEM: no line says -----BEGIN"),
        (b'{"keys": []}', "is no PEM: no line says -----BEGIN"),
        (private_pem(KEYS["ed25519"], lock=LOCK), "is encrypted; its public key is enough"),
        (
            private_pem(KEYS["rsa"], "TraditionalOpenSSL", LOCK),
            "is encrypted; its public key is enough",
        ),
        (public_pem("p256") + public_pem("p384"), "holds 2 things in PEM; give the one"),
        (spki(WEAK.public_key()), "holds an RSA key of 1024 bits: whoever likes"),
        (spki(EXPONENT_3.public_key()), "holds an RSA key with a weak modulus or exponent"),
        (
            spki(ed25519.Ed25519PublicKey.from_public_bytes(b"\1" + bytes(31))),
            "holds an Ed25519 key of small order",
        ),
        (
            spki(ec.generate_private_key(ec.SECP256K1()).public_key()),
            "is a key on the curve secp256k1, which no alg has",
        ),
        (spki(ed448.Ed448PrivateKey.generate().public_key()), "is a key of Ed448, with which no"),
        (
            b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "holds a broken or unsup",
        ),
        (b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "holds OPENSSH PRIVATE KEY, and no key or cert"),
        (b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 70_000, "is longer than 65536 bytes"),
    ],
)
def test_import_says_which_file_and_why_when_it_holds_no_good_key(
    tmp_path: Path, content: bytes, says: str
) -> None:
    """No set comes of it; exit status 1."""
    pem, into = tmp_path / "key.pem", tmp_path / "jwks.json"
    pem.write_bytes(content)
    status, out, err = keys_import(pem, "--into", into)

    assert (status, out) == (1, "")
    assert f"scopegate keys import: {pem} {says}" in err
    assert not into.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("nowhere.pem",), 1, "nowhere.pem cannot be read: No such file or directory"),
        (("key.pem", "--alg", "ES256"), 1, "key.pem is a key for EdDSA or Ed25519, not for --alg"),
        (("key.pem", "--alg", "HS256"), 2, "--alg: must be ES256 or"),
        (("key.pem", "--kid", ""), 2, "--kid: must be 1 to 256 visible ASCII characters"),
        (("key.pem", "--kid", "x" * 257), 2, "--kid: must be 1 to 256 visible ASCII characters"),
        (("key.pem", "--into", "nowhere/jwks.json"), 1, "jwks.json cannot be changed: No such"),
    ],
)
def test_import_says_what_is_wrong_with_the_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    status: int,
    says: str,
) -> None:
    """A wrong option is status 2, what cannot be used is 1."""
    monkeypatch.chdir(tmp_path)
    Path("key.pem").write_bytes(public_pem("ed25519"))
    ended, out, err = keys_import(*arguments)

    assert (ended, out, says in err) == (status, "", True)


# --- into a set --------------------------------------------------------------------------------


@pytest.fixture
def into(tmp_path: Path) -> Path:
    """A set with one key of somebody else, and members of its issuer's own."""
    path = tmp_path / "jwks.json"
    keys = [{**signer("ES256").jwk, "x5t": "kept"}]
    path.write_text(json.dumps({"spiffe_sequence": 7, "keys": keys}))
    path.chmod(0o640)
    return path


def write_pem(folder: Path, name: str) -> Path:
    path = folder / f"{name}.pem"
    path.write_bytes(public_pem(name))
    return path


def test_import_adds_to_a_set_and_keeps_what_is_there(tmp_path: Path, into: Path) -> None:
    """Other keys, other members and the file's mode stay; nothing is left beside it."""
    before = json.loads(into.read_text())
    status, out, _ = keys_import(write_pem(tmp_path, "ed25519"), "--into", into)
    after = json.loads(into.read_text())

    kid = reference("ed25519")["kid"]
    assert (status, out) == (0, f'key "{kid}" (EdDSA) is in {into}\n')
    assert after["keys"][:1] == before["keys"]
    assert after["keys"][1]["kid"] == kid
    assert after["spiffe_sequence"] == 7
    assert into.stat().st_mode & 0o777 == 0o640
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ed25519.pem", "jwks.json"]


def test_import_makes_the_set_when_there_is_none(tmp_path: Path) -> None:
    """Readable for a gate that runs as somebody else: nothing in it is secret."""
    into = tmp_path / "new.json"
    assert keys_import(write_pem(tmp_path, "rsa"), "--into", into)[0] == 0

    assert [one["kid"] for one in json.loads(into.read_text())["keys"]] == [reference("rsa")["kid"]]
    assert into.stat().st_mode & 0o777 == 0o644


def test_import_changes_nothing_when_the_key_is_there(tmp_path: Path, into: Path) -> None:
    """A second import is no error, and does not even touch the file."""
    pem = write_pem(tmp_path, "p256")
    keys_import(pem, "--into", into)
    before = (into.read_bytes(), into.stat().st_ino)
    status, out, _ = keys_import(pem, "--into", into)

    assert (status, "already: nothing to do" in out) == (0, True)
    assert (into.read_bytes(), into.stat().st_ino) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ed25519", "--kid", "es256-1"), 'has another key of the name "es256-1"; give --kid'),
        (
            ("rsa", "--kid", "rsa", "--alg", "PS256"),
            'has the key "rsa" with alg "RS256"; give --alg',
        ),
    ],
)
def test_import_refuses_when_the_name_is_taken(
    tmp_path: Path, into: Path, arguments: tuple[str, ...], says: str
) -> None:
    """One name is one key with one algorithm; the set stays as it was."""
    keys_import(write_pem(tmp_path, "rsa"), "--kid", "rsa", "--into", into)
    before = into.read_bytes()
    name, *options = arguments
    status, out, err = keys_import(write_pem(tmp_path, name), *options, "--into", into)

    assert (status, out, into.read_bytes()) == (1, "", before)
    assert f"{into} {says}" in err


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("<html>", " is no JWK Set: Expecting value"),
        ("[]", " is no JWK Set: not an object"),
        ('{"keys": {}}', " is no JWK Set: 'keys' is not an array"),
        ('{"keys": [], "keys": []}', " is no JWK Set: a member stands twice"),
        ('{"keys": [{"kty": "oct", "k": "AAAA"}]}', ": no gate would take such a set: keys[0] has"),
        ('{"keys": [7]}', ": no gate would take such a set: keys[0] is not an object"),
    ],
)
def test_import_refuses_a_set_that_no_gate_would_take(
    tmp_path: Path, content: str, says: str
) -> None:
    """What is added to a bad set would be refused with it; nobody learns that at night."""
    into = tmp_path / "jwks.json"
    into.write_text(content)
    status, _, err = keys_import(write_pem(tmp_path, "p384"), "--into", into)

    assert (status, into.read_text()) == (1, content)
    assert f"{into}{says}" in err


def test_import_leaves_a_link_a_link(tmp_path: Path, into: Path) -> None:
    """The file behind it is replaced, in its own folder."""
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "jwks.json"
    link.symlink_to(into)
    keys_import(write_pem(tmp_path, "p521"), "--into", link)

    assert link.is_symlink()
    assert len(json.loads(into.read_text())["keys"]) == 2


def test_import_never_shows_a_reader_half_a_set(tmp_path: Path, into: Path) -> None:
    """Who opened the set before reads the old one to its end: the new one is another file."""
    before = into.read_bytes()
    pem = write_pem(tmp_path, "p384")
    with into.open("rb") as reader:
        keys_import(pem, "--into", into)
        assert reader.read() == before
    assert into.read_bytes() != before


def test_import_loses_no_key_when_many_run_at_once(tmp_path: Path) -> None:
    """Whoever comes second sees what the first one wrote, and a reader never sees half a file."""
    into = tmp_path / "jwks.json"
    pems = []
    for number in range(6):
        pem = tmp_path / f"{number}.pem"
        pem.write_bytes(spki(ed25519.Ed25519PrivateKey.generate().public_key()))
        pems.append(pem)
    script = (
        "import sys; from pathlib import Path; from sidecar.cli.keys_import import import_pem; "
        "import_pem(Path(sys.argv[1]), None, None, Path(sys.argv[2]))"
    )

    def start(pem: Path) -> int:
        return subprocess.run([sys.executable, "-c", script, pem, into], check=False).returncode

    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(start, pems)) == {0}
    assert len(json.loads(into.read_text())["keys"]) == 6


def test_import_leaves_the_set_when_the_new_one_cannot_be_put_in_place(
    tmp_path: Path, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fails in between: the old set is whole, and nothing lies beside it."""
    before = into.read_bytes()
    pem = write_pem(tmp_path, "p256")

    def fail(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    status, _, err = keys_import(pem, "--into", into)

    assert (status, into.read_bytes()) == (1, before)
    assert f"{into} cannot be changed: No space left on device" in err
    assert sorted(one.name for one in tmp_path.iterdir()) == ["jwks.json", "p256.pem"]


def test_every_algorithm_that_a_key_may_have_is_one_that_the_gate_knows() -> None:
    """The usual algorithm of each type is never one that settings could not name."""
    assert set(USUAL.values()) <= ALGORITHMS
