"""The server's own certificate authority: it issues every node's certificate and the server's own leaf.

Owns the folder `ca/` below the server's home: `ca.pem` (the CA's key and certificate) and `server.pem` (the leaf's),
both 0600 and written atomically. It never decides who may join: `joins` does, and requests the certificate here.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from quarterdeck.kit.files import write_private
from quarterdeck.link.certificates import (
    RENEW_BELOW,
    SERVER_NAME,
    Credentials,
    certificate_to_pem,
    certificates_from_pem,
    fingerprint,
    identity_of,
    issued_by,
    key_from_pem,
    key_to_pem,
    lifetime_left,
    new_key,
    node_uri,
)
from quarterdeck.model.errors import BadConfig, BadInput, Unauthenticated
from quarterdeck.model.nodes import AgentIdentity

log = logging.getLogger(__name__)

CA_LIFETIME = timedelta(days=3650)
#: certificates are valid from this long before they were issued, for hosts whose clock is behind
CLOCK_SKEW = timedelta(hours=1)


class CertificateAuthority:
    """Issues and verifies the certificates of this fleet. `open` creates or reads it."""

    def __init__(
        self, folder: Path, *, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, lifetime: timedelta
    ) -> None:
        self.folder = folder
        self.certificate = certificate
        self.pem = certificate_to_pem(certificate)
        self.lifetime = lifetime
        self._key = key

    @staticmethod
    def path(home: Path) -> Path:
        """Return the path of the CA's key and certificate below `home`."""
        return home / "ca" / "ca.pem"

    @classmethod
    def open(cls, home: Path, *, certificate_days: float) -> CertificateAuthority:
        """Open the CA below `home`; create it at the first call. Raise `BadConfig` when its file is damaged.

        A damaged file is never replaced. The caller decides whether a CA may be created (`founding`).
        """
        path = cls.path(home)
        folder = path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            key = new_key()
            write_private(path, key_to_pem(key) + certificate_to_pem(_self_signed(key)))
            log.info("created the fleet's certificate authority in %s", path)
        pem = path.read_bytes()
        try:
            key, certificate = key_from_pem(pem), certificates_from_pem(pem)[0]
        except BadInput as error:
            raise BadConfig(
                f"{path} should hold the key and certificate of the fleet's CA but does not: {error}",
                hint="Restore it from a backup. Without it every node has to join again.",
            ) from error
        return cls(folder, key=key, certificate=certificate, lifetime=timedelta(days=certificate_days))

    @property
    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the CA certificate, which join tokens pin."""
        return fingerprint(self.certificate)

    def issue(self, csr_pem: bytes, *, agent_id: str, gid: int, nid: int) -> x509.Certificate:
        """Issue a node certificate for the key in the CSR; raise `BadInput` when the CSR is invalid."""
        try:
            request = x509.load_pem_x509_csr(csr_pem)
            valid = request.is_signature_valid
        except (ValueError, TypeError, InvalidSignature) as error:
            raise BadInput(f"Expected a certificate signing request in PEM form: {error}.") from error
        key = request.public_key()
        if not valid or not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise BadInput("A node's certificate request must hold a P-256 key and be signed by it.")
        names = [x509.UniformResourceIdentifier(node_uri(gid=gid, nid=nid, agent_id=agent_id))]
        return self._sign(agent_id, key, names=names, usage=ExtendedKeyUsageOID.CLIENT_AUTH)

    def identify(self, certificate: x509.Certificate) -> AgentIdentity:
        """Return the agent that a certificate names; raise `Unauthenticated` unless it is valid and of this CA."""
        if not issued_by(certificate, [self.certificate]):
            raise Unauthenticated("The certificate was not issued by this fleet's CA.")
        if lifetime_left(certificate) <= 0:
            raise Unauthenticated("The certificate has expired.", hint="Join the node again with a new token.")
        return identity_of(certificate)

    def server_leaf(self, names: Iterable[str]) -> Credentials:
        """Return the server's own key and certificate chain (leaf, CA), and keep it in `server.pem`.

        A new leaf is issued when the kept one lacks one of `names` or is close to its end.
        """
        path = self.folder / "server.pem"
        wanted = {SERVER_NAME, "localhost", "127.0.0.1", "::1", *names}
        kept = self._read_leaf(path, wanted)
        if kept is not None:
            return kept
        key = new_key()
        alternatives = [_general_name(name) for name in sorted(wanted)]
        leaf = self._sign(SERVER_NAME, key.public_key(), names=alternatives, usage=ExtendedKeyUsageOID.SERVER_AUTH)
        write_private(path, key_to_pem(key) + certificate_to_pem(leaf))
        return self._chain(key, leaf)

    def _read_leaf(self, path: Path, wanted: set[str]) -> Credentials | None:
        try:
            pem = path.read_bytes()
            key, leaf = key_from_pem(pem), certificates_from_pem(pem)[0]
        except (FileNotFoundError, BadInput):
            return None  # a lost or damaged leaf is simply issued again
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = {str(name.value) for name in found}
        fits = issued_by(leaf, [self.certificate]) and leaf.public_key() == key.public_key()
        return self._chain(key, leaf) if fits and wanted <= names and lifetime_left(leaf) > RENEW_BELOW else None

    def _chain(self, key: ec.EllipticCurvePrivateKey, leaf: x509.Certificate) -> Credentials:
        return Credentials(
            key_pem=key_to_pem(key), certificate_pem=certificate_to_pem(leaf) + self.pem, ca_pem=self.pem
        )

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        *,
        names: list[x509.GeneralName] | list[x509.UniformResourceIdentifier],
        usage: x509.ObjectIdentifier,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(min(now + self.lifetime, self.certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return the CA's certificate. Its name is random, so that certificates of other fleets can be distinguished."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Quarterdeck CA {secrets.token_hex(4)}")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
