"""Keys and certificates: those of a cluster, and server certificates signed by the sandbox's certificate authority."""
import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

import places
from waiting import Failure

# Longer than any sandbox runs.
LIFETIME = datetime.timedelta(days=90)
# Certificates are valid from five minutes ago, so that a small clock difference does not reject a new one.
HEAD_START = datetime.timedelta(minutes=5)


def create_authority(directory: Path, name: str) -> None:
    """Writes a certificate authority to `ca.crt` and `ca.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _name(name)
    certificate = (
        _builder(subject, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(directory / "ca", key, certificate)


def issue(authority: Path, target: Path, name: str, *, organization: str | None = None, hosts: tuple[str, ...] = ()) -> None:
    """Writes `target`.crt and `target`.key, for server and client use, signed by the authority in `authority`.

    Kubernetes reads the user from `name` and the group from `organization`.
    """
    try:
        parent = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes())
        parent_key = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), None)
    except FileNotFoundError as error:
        raise Failure(f"no certificate authority in `{authority}`; fix: run `sandbox up`, which creates it") from error
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _builder(_name(name, organization), parent.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(parent_key.public_key()), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    _write(target, key, builder.sign(parent_key, hashes.SHA256()))


def issue_from_sandbox(target: Path, name: str, hosts: tuple[str, ...]) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    issue(places.state() / "ca", target, name, hosts=hosts)


def create_token_key(path: Path) -> None:
    """Writes the key that signs service account tokens. It is an RSA key because EKS signs with RS256."""
    key = rsa.generate_private_key(65537, 2048)
    _write_private(path, key)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    path.with_suffix(".pub").write_bytes(public)


def _name(name: str, organization: str | None = None) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if organization:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(parts)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), now - HEAD_START, now + LIFETIME)


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=sign_certificates, crl_sign=sign_certificates, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(target: Path, key, certificate: x509.Certificate) -> None:
    _write_private(target.with_name(target.name + ".key"), key)
    target.with_name(target.name + ".crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_private(path: Path, key) -> None:
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text)
