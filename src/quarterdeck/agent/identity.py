"""The node's identity: its key, its certificate and the CA it trusts, in one file (`identity.pem`, 0600).

The key is created here and never leaves the node. The ids are read from the certificate, so they cannot differ from it.
"""

from __future__ import annotations

from pathlib import Path

from quarterdeck.kit.files import sync_folder, write_private
from quarterdeck.link.certificates import (
    Credentials,
    certificates_from_pem,
    identity_of,
    issued_by,
    key_from_pem,
    lifetime_left,
)
from quarterdeck.model.errors import BadConfig, BadInput, Unauthenticated
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.struct import Struct

FILE_NAME = "identity.pem"
#: the identity of a node that was removed from its fleet, kept aside
REMOVED_NAME = "identity.removed.pem"


class Identity(Struct, frozen=True, kw_only=True):
    """A node's identity, consistent in itself: the key fits the certificate, and a trusted CA issued it."""

    credentials: Credentials
    agent: AgentIdentity

    @classmethod
    def of(cls, credentials: Credentials) -> Identity:
        """Return the identity of these credentials; raise `Unauthenticated` or `BadInput` when they do not match."""
        certificate = certificates_from_pem(credentials.certificate_pem)[0]
        if certificate.public_key() != key_from_pem(credentials.key_pem).public_key():
            raise Unauthenticated("The node's certificate belongs to another key.")
        if not issued_by(certificate, certificates_from_pem(credentials.ca_pem)):
            raise Unauthenticated("The node's certificate was issued by another CA than the one in the same file.")
        return cls(credentials=credentials, agent=identity_of(certificate))

    def lifetime_left(self) -> float:
        """Return the part of the certificate's lifetime that is left; 0 or less when it has expired."""
        return lifetime_left(certificates_from_pem(self.credentials.certificate_pem)[0])


def load_identity(home: Path) -> Identity | None:
    """Return the identity below `home`, or None when this node never joined; raise `BadConfig` when it is damaged."""
    path = home / FILE_NAME
    try:
        pem = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadConfig(f"{path} cannot be read: {error}.") from error
    marker = b"-----BEGIN CERTIFICATE-----"
    key_pem, *certificates = pem.split(marker)
    try:
        if len(certificates) < 2:
            raise BadInput(f"expected a key and at least two certificates, found {len(certificates)} certificates")
        own, *cas = (marker + certificate for certificate in certificates)
        return Identity.of(Credentials(key_pem=key_pem, certificate_pem=own, ca_pem=b"".join(cas)))
    except (BadInput, Unauthenticated) as error:
        raise BadConfig(
            f"{path} should hold this node's key, certificate and CA, but is damaged: {error}",
            hint="Restore it, or remove it and join again with a new token.",
        ) from error


def save_identity(home: Path, identity: Identity) -> None:
    """Put the identity below `home`, in place of an earlier one."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    credentials = identity.credentials
    parts = (credentials.key_pem, credentials.certificate_pem, credentials.ca_pem)
    write_private(home / FILE_NAME, b"".join(part.rstrip() + b"\n" for part in parts))
    (home / REMOVED_NAME).unlink(missing_ok=True)


def retire_identity(home: Path) -> None:
    """Put the identity aside because the node was removed from its fleet; it is no longer valid."""
    (home / FILE_NAME).replace(home / REMOVED_NAME)
    sync_folder(home)


def is_removed(home: Path) -> bool:
    """Return whether this node was removed from its fleet and has not joined one since."""
    return (home / REMOVED_NAME).exists() and not (home / FILE_NAME).exists()
