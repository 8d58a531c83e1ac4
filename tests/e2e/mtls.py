"""Client certificates: a private authority, what it signs, and how an agent shows it."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.authority import Authority, _certificate, _general_name
from tests.tokens import base64url

TRUST_DOMAIN: Final = "spiffe://agents.example"

_SIGNS_ONLY: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, each in a PEM file."""

    name: str
    certificate: Path
    key: Path
    digest: bytes
    """SHA-256 of the DER certificate."""

    @property
    def spiffe_id(self) -> str:
        return spiffe_id(self.name)

    @property
    def thumbprint(self) -> str:
        """``x5t#S256`` (RFC 8705, section 3.1)."""
        return base64url(self.digest).decode()


class Workloads(Authority):
    """It signs certificates for workloads, good for both sides of a connection."""

    def workload(self, name: str, *names: x509.GeneralName) -> Identity:
        """Certify a new key for ``spiffe_id(name)`` at 127.0.0.1, or for ``names`` instead."""
        names = names or (x509.UniformResourceIdentifier(spiffe_id(name)),)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(name, self._name, key.public_key())
            .add_extension(
                x509.SubjectAlternativeName([*names, _general_name("127.0.0.1")]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
            # Envoy's SPIFFE validator refuses a certificate without it (X509-SVID, section 4.3).
            .add_extension(_SIGNS_ONLY, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        pem = self._folder / f"{self._name}-{name}.pem"
        private = pem.with_suffix(".key")
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        return Identity(name, pem, private, sha256(der).digest())


def spiffe_id(name: str) -> str:
    return f"{TRUST_DOMAIN}/{name}"
