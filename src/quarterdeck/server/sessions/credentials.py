"""The TLS material of the server's end of every wire, kept current: the leaf, the CA, the certificates of join tokens.

TLS handshakes read it on threads of their own, and the event loop replaces it as a whole. A renewed leaf or a new token
therefore takes effect at the next handshake, without a restart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509

from quarterdeck.link.certificates import Credentials, certificates_from_pem
from quarterdeck.link.join_tokens import token_id_of
from quarterdeck.server.ca import CertificateAuthority


class LinkCredentials:
    """`ServerCredentials` of link/wire over a CA. `names` are further host names of this server."""

    def __init__(self, authority: CertificateAuthority, *, names: Iterable[str] = ()) -> None:
        self._authority = authority
        self._names = tuple(names)
        self._chain = authority.server_leaf(self._names)
        self._tokens: dict[str, x509.Certificate] = {}
        self._roots = authority.pem
        self._generation = 0

    @property
    def generation(self) -> int:
        """Grows whenever the chain or the roots change."""
        return self._generation

    def server_chain(self) -> Credentials:
        """Return the leaf and the CA that signed it."""
        return self._chain

    def client_roots(self) -> bytes:
        """Return the CA and the certificates of listed join tokens, PEM."""
        return self._roots

    def list_tokens(self, certificates_pem: Sequence[bytes]) -> None:
        """Let these join certificates, and no others, through the handshake."""
        parsed = (certificates_from_pem(pem)[0] for pem in certificates_pem)
        self._tokens = {token_id_of(certificate) or "": certificate for certificate in parsed}
        roots = b"".join((self._authority.pem, *certificates_pem))
        if roots != self._roots:
            self._roots = roots
            self._generation += 1

    def token_of(self, certificate: x509.Certificate) -> str | None:
        """Return the id of the listed token whose certificate this is, byte for byte; None when it is none."""
        token_id = token_id_of(certificate)
        return token_id if token_id and self._tokens.get(token_id) == certificate else None

    def renew(self) -> None:
        """Take another leaf when the present one nears its end."""
        chain = self._authority.server_leaf(self._names)
        if chain != self._chain:
            self._chain = chain
            self._generation += 1
