"""A hub's folder in; its own authority, and a certificate for all its addresses, out."""

from __future__ import annotations

import base64
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from common import atomic_files
from producer.cluster.hub import addresses

#: Of the authority, and of what it signs, which is made anew at each start.
_LIFE = timedelta(days=3650)
#: An authority with less than this to live is replaced: its hub may run for long.
_REST = timedelta(days=365)
_FILES = ("ca.pem", "ca.key", "server.pem", "server.key")


class Certificates:
    """Four files in a folder of their own. The authority stays, so that who trusts it goes on trusting it."""

    def __init__(self, folder: Path) -> None:
        self.ca, self._ca_key, self.certificate, self.key = (folder / name for name in _FILES)

    def prepare(self, host: str) -> str:
        """Make what is missing, and the server's anew, for `host` and every address of this machine. Returns the CA's
        certificate, DER in URL-safe base64: what a URL carries."""
        self.ca.parent.mkdir(mode=0o700, exist_ok=True)
        authority, authority_key = self._authority()
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName(sorted(map(_name, {*addresses.of_machine(), host}), key=str))
        builder = _builder("manyeyes hub", authority.subject, key).not_valid_after(authority.not_valid_after_utc)
        self._write(
            self.certificate, self.key, builder.add_extension(names, False).sign(authority_key, hashes.SHA256()), key
        )
        der = authority.public_bytes(serialization.Encoding.DER)
        return base64.urlsafe_b64encode(der).decode().rstrip("=")

    def _authority(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        try:
            certificate = x509.load_pem_x509_certificate(self.ca.read_bytes())
            key = serialization.load_pem_private_key(self._ca_key.read_bytes(), None)
            if certificate.not_valid_after_utc - datetime.now(UTC) > _REST and isinstance(
                key, ec.EllipticCurvePrivateKey
            ):
                return certificate, key
        except (FileNotFoundError, ValueError):
            pass
        key = ec.generate_private_key(ec.SECP256R1())
        name = _called("manyeyes hub CA")
        certificate = (
            _builder("manyeyes hub CA", name, key)
            .not_valid_after(datetime.now(UTC) + _LIFE)
            .add_extension(x509.BasicConstraints(True, 0), True)
            .sign(key, hashes.SHA256())
        )
        self._write(self.ca, self._ca_key, certificate, key)
        return certificate, key

    @staticmethod
    def _write(file: Path, key_file: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        with atomic_files.atomic_file(key_file, mode=0o600) as out:
            out.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        with atomic_files.atomic_file(file) as out:
            out.write(certificate.public_bytes(pem))


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_called(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Other machines' clocks may be behind.
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
    )


def _called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
