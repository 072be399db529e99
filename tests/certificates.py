"""Authorities and certificates for tests, on elliptic curves: a thousandth of a second each."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass
class Authority:
    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def pem(self) -> bytes:
        return self.issued(self.key, self.name, until=10 * DAY, ca=True)

    def issue(self, name: str, *hosts: str, until: timedelta = DAY) -> Pair:
        """A certificate that ends `until` from now, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        held = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return Pair(self.issued(key, name, *hosts, until=until), held)

    def issued(
        self, key: ec.EllipticCurvePrivateKey, name: str, *hosts: str, until: timedelta, ca: bool = False
    ) -> bytes:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + until)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if hosts:
            made = made.add_extension(x509.SubjectAlternativeName([_host(each) for each in hosts]), critical=False)
        return made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)


@dataclass(frozen=True)
class Pair:
    certificate: bytes
    key: bytes = field(repr=False)


def put(path: Path, content: bytes | str) -> Path:
    """As a cluster replaces a mounted secret: at once, and not by writing into what is read."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(beside, path)
    return path


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    return x509.IPAddress(ip_address(text)) if text[0].isdigit() else x509.DNSName(text)
