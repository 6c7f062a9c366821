"""Trust at first contact: the CA of a server that only a join token's fingerprint is known of.

The server's TLS handshake shows its leaf and its CA. The CA is believed when its fingerprint is the pinned one; then
everything further is verified against it in the ordinary way.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509

from quarterdeck.link.address import Carrier, parse_address
from quarterdeck.link.certificates import certificate_to_pem, certificates_from_pem, fingerprint
from quarterdeck.link.https.proxy import open_tunnel
from quarterdeck.link.join_tokens import ParsedJoinToken
from quarterdeck.model.errors import BadInput, Unauthenticated, Unavailable

CONTACT_TIMEOUT_S = 10.0
_QUESTION = b"GET / HTTP/1.1\r\n\r\n"


async def fetch_ca(address: str, token: ParsedJoinToken) -> bytes:
    """The pinned CA certificate of the server at `address` (as `link/address.py` reads it), PEM.

    `Unavailable`: nobody answers there, or not with TLS; `Unauthenticated`: it is another server than the token's, or
    it does not know the token (any more).
    """
    shown, accepted = await asyncio.to_thread(_contact, address, token)
    pinned = [shown_one for shown_one in shown if fingerprint(shown_one)[: len(token.ca_pin)] == token.ca_pin]
    if not pinned:
        raise Unauthenticated(
            f"The server at {address} is not the one that made this join token.",
            hint="Check --server, or create a token on that server with `qd token create`.",
        )
    if not accepted:
        raise Unauthenticated(
            f"The server at {address} does not know this join token (any more).",
            hint="Create another with `qd token create`.",
        )
    return certificate_to_pem(pinned[0])


def _contact(address: str, token: ParsedJoinToken) -> tuple[list[x509.Certificate], bool]:
    """The chain the server shows, and whether it accepts the token's certificate: then it speaks."""
    server = parse_address(address)
    https = server.carrier is Carrier.HTTPS
    try:
        context = _unverifying_context(token, "http/1.1" if https else "h2")
        with (
            open_tunnel(server, timeout_s=CONTACT_TIMEOUT_S)
            if https
            else socket.create_connection((server.host, server.port), timeout=CONTACT_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=None) as tls,
        ):
            return _unverified_chain(tls), _speaks(tls, question=_QUESTION if https else b"")
    except (OSError, BadInput) as error:
        raise Unavailable(f"No server answers at {address}: {error}.") from error


def _unverifying_context(token: ParsedJoinToken, protocol: str) -> ssl.SSLContext:
    """Verifies nothing: the chain it yields is compared with the pin, and no secret is sent over its connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with tempfile.TemporaryDirectory(prefix="qd-join-") as folder:  # made with mode 0700
        path = Path(folder) / "join.pem"
        path.write_bytes(token.key_pem + token.certificate_pem)
        context.load_cert_chain(path)
    return context


def _speaks(tls: ssl.SSLSocket, *, question: bytes) -> bool:
    """With TLS 1.3 a client learns only from what comes after the handshake whether its certificate was accepted.

    A server of HTTP/2 begins by itself; one of HTTP/1.1 answers a question, be it with an error.
    """
    try:
        tls.sendall(question)
        return bool(tls.recv(1))
    except TimeoutError:
        raise
    except OSError:
        return False


def _unverified_chain(tls: ssl.SSLSocket) -> list[x509.Certificate]:
    """What the server showed. Public since Python 3.13 (DER); before, on the inner object (PEM)."""
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return [x509.load_der_x509_certificate(der) for der in public()]
    inner: Any = getattr(tls, "_sslobj")  # noqa: B009
    pems: list[str] = [shown.public_bytes() for shown in inner.get_unverified_chain()]
    return certificates_from_pem("".join(pems).encode())
