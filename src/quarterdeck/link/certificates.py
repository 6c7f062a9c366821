"""Certificates of the link: keys, requests, and the identity in a node's certificate. Both sides use this module.

A node's certificate names it in one URI, `quarterdeck://<gid>/<nid>/<agent_id>`. Issuing is the server's work
(`server/ca.py`); this module owns the formats that both sides share, and never uses a disk or a socket.
"""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from quarterdeck.model.errors import BadInput, Unauthenticated
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.struct import Struct

#: the name in every server certificate, so that an agent checks one name whatever address it calls
SERVER_NAME = "server.quarterdeck"
_NODE_URI = re.compile(r"quarterdeck://(\d{1,10})/(\d{1,10})/([A-Za-z0-9_.-]{1,128})")


class Credentials(Struct, frozen=True, kw_only=True):
    """The credentials of one side: its private key, its certificate (chain), and the CAs it trusts. All PEM."""

    key_pem: bytes
    certificate_pem: bytes
    ca_pem: bytes


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key as unencrypted PKCS #8; the caller must store it in a file of mode 0600."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the first private key in `pem`; raise `BadInput` when there is none."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise BadInput(f"Expected a private key in PEM form, found something else: {error}.") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise BadInput(f"Expected an elliptic-curve private key, found {type(key).__name__}.")
    return key


def certificate_to_pem(certificate: x509.Certificate) -> bytes:
    """Return the certificate in PEM form."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def certificates_from_pem(pem: bytes) -> list[x509.Certificate]:
    """Return every certificate in `pem`, at least one; raise `BadInput` otherwise."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise BadInput(f"Expected certificates in PEM form, found something else: {error}.") from error


def new_request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """Return a CSR in PEM form. The name is informative only: the server decides the content of the certificate."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "node")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def fingerprint(certificate: x509.Certificate) -> bytes:
    """Return the SHA-256 of the certificate's DER form: 32 bytes."""
    return hashlib.sha256(certificate.public_bytes(serialization.Encoding.DER)).digest()


def node_uri(*, gid: int, nid: int, agent_id: str) -> str:
    """Return the URI that names a node in its certificate."""
    uri = f"quarterdeck://{gid}/{nid}/{agent_id}"
    if not _NODE_URI.fullmatch(uri):
        raise BadInput(f"'{uri}' cannot name a node; the agent id must be letters, digits, '_', '.' and '-'.")
    return uri


def identity_of(certificate: x509.Certificate) -> AgentIdentity:
    """Return the identity in a node's certificate; raise `Unauthenticated` when it names no node."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError):
        uris = []
    found = _NODE_URI.fullmatch(uris[0]) if len(uris) == 1 else None
    if found is None:
        raise Unauthenticated("The certificate names no node.", hint="Join the node again with a new token.")
    gid, nid, agent_id = found.groups()
    return AgentIdentity(agent_id=agent_id, gid=int(gid), nid=int(nid), serial=f"{certificate.serial_number:x}")


def issued_by(certificate: x509.Certificate, issuers: list[x509.Certificate]) -> bool:
    """Return whether one of `issuers` signed the certificate itself (no intermediate counts)."""
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return True
    return False


def lifetime_left(certificate: x509.Certificate, now: datetime | None = None) -> float:
    """Return the part of the certificate's lifetime that is left: 1.0 when new, 0 or less when expired."""
    now = now or datetime.now(UTC)
    whole = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return (certificate.not_valid_after_utc - now) / whole


#: a certificate is renewed when less than this part of its lifetime is left
RENEW_BELOW = 1 / 3
