"""Certificates for tests: an authority's own, and such as it signs."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pair:
    """A certificate's file, and its key's."""

    certificate: Path
    key: Path

    @property
    def as_client(self) -> str:
        """Of a broker's URL."""
        return f"ssl_certfile={self.certificate}&ssl_keyfile={self.key}"


class Authority:
    """A CA of its own, in a folder."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder, self._name, self._key = folder, name, ec.generate_private_key(ec.SECP256R1())
        self.file = self.sign([name], self._key, ca=True).certificate

    def sign(
        self, names: Sequence[str], key: ec.EllipticCurvePrivateKey | None = None, days: float = 9, ca: bool = False
    ) -> Pair:
        """Valid from twenty days ago until so many from now."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_called(names[0]))
            .issuer_name(_called(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(20))
            .not_valid_after(now + timedelta(days))
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
            .add_extension(x509.BasicConstraints(ca, 0 if ca else None), True)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(self._folder / f"{self._name}-{names[0]}.pem", self._folder / f"{self._name}-{names[0]}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(_pem(key, serialization.NoEncryption()))
        return pair

    def locked(self) -> Pair:
        """One whose key wants a passphrase."""
        key = ec.generate_private_key(ec.SECP256R1())
        pair = self.sign(["locked"], key)
        pair.key.write_bytes(_pem(key, serialization.BestAvailableEncryption(b"phrase")))
        return pair


def _pem(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
