"""TLS contexts of the https wire: mutual, version 1.2 or newer, from PEM in memory."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from quarterdeck.link.certificates import Credentials


def agent_context(credentials: Credentials) -> ssl.SSLContext:
    """Return a context that trusts only the server's CA, and checks the name in every server certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=credentials.ca_pem.decode())
    return _finish(context, credentials)


def server_context(chain: Credentials, client_roots: bytes) -> ssl.SSLContext:
    """Return a context that requires a certificate from every client, issued by `client_roots`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=client_roots.decode())
    return _finish(context, chain)


def _finish(context: ssl.SSLContext, own: Credentials) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory(prefix="qd-tls-") as folder:  # made with mode 0700; ssl reads keys from files only
        path = Path(folder) / "own.pem"
        path.write_bytes(own.key_pem + own.certificate_pem)
        context.load_cert_chain(path)
    return context
