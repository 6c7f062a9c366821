"""Trust at first contact: verifies the CA of a server by the fingerprint in a join token.

The server's TLS handshake presents its certificate and its CA. The CA is trusted when its fingerprint is the pinned
one; then everything further is verified against it in the usual way.
"""

from __future__ import annotations

import asyncio
import ssl
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509

from quarterdeck.link.address import Carrier, parse_address
from quarterdeck.link.certificates import certificate_to_pem, certificates_from_pem, fingerprint
from quarterdeck.link.https.client import connect
from quarterdeck.link.https.proxy import proxy_of_environment
from quarterdeck.link.join_tokens import ParsedJoinToken
from quarterdeck.model.errors import BadInput, Unauthenticated, Unavailable

CONTACT_TIMEOUT_S = 10.0
_QUESTION = b"GET / HTTP/1.1\r\n\r\n"


async def fetch_ca(address: str, token: ParsedJoinToken) -> bytes:
    """Return the pinned CA certificate of the server at `address` (in the form of `link/address.py`), as PEM.

    Raise `Unavailable` when nobody answers there with TLS; `Unauthenticated` when it is not the token's server, or does
    not know the token (any more).
    """
    presented, accepted = await _contact(address, token)
    pinned = [each for each in presented if fingerprint(each)[: len(token.ca_pin)] == token.ca_pin]
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


async def _contact(address: str, token: ParsedJoinToken) -> tuple[list[x509.Certificate], bool]:
    """Return the chain that the server presents, and whether it accepts the token's certificate."""
    server = parse_address(address)
    https = server.carrier is Carrier.HTTPS
    proxy = proxy_of_environment(server.host) if https else ""
    try:
        context = _unverifying_context(token, "http/1.1" if https else "h2")
        async with asyncio.timeout(CONTACT_TIMEOUT_S):
            reader, writer = await connect(server, context, proxy=proxy)
            try:
                return _unverified_chain(writer), await _speaks(reader, writer, question=_QUESTION if https else b"")
            finally:
                writer.transport.abort()
    except (OSError, BadInput) as error:
        raise Unavailable(f"No server answers at {address}: {error}.") from error


def _unverifying_context(token: ParsedJoinToken, protocol: str) -> ssl.SSLContext:
    """Return a context that verifies nothing: its chain is compared with the pin, and no secret is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols([protocol])
    with tempfile.TemporaryDirectory(prefix="qd-join-") as folder:  # made with mode 0700
        path = Path(folder) / "join.pem"
        path.write_bytes(token.key_pem + token.certificate_pem)
        context.load_cert_chain(path)
    return context


async def _speaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, question: bytes) -> bool:
    """Return whether the server sends data: with TLS 1.3, only this shows that it accepted the client's certificate.

    A server of HTTP/2 sends first; one of HTTP/1.1 answers a request, possibly with an error.
    """
    try:
        writer.write(question)
        return bool(await reader.read(1))
    except OSError:
        return False


def _unverified_chain(writer: asyncio.StreamWriter) -> list[x509.Certificate]:
    """Return the presented chain. Public since Python 3.13 (DER); before, on the inner object (PEM)."""
    tls: Any = writer.get_extra_info("ssl_object")
    public: Any = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return [x509.load_der_x509_certificate(der) for der in public()]
    inner: Any = getattr(tls, "_sslobj")  # noqa: B009
    pems: list[str] = [certificate.public_bytes() for certificate in inner.get_unverified_chain()]
    return certificates_from_pem("".join(pems).encode())
