"""TLS contexts of the https wire: mutual, version 1.2 or newer, from PEM in memory."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from quarterdeck.link.certificates import Credentials


def agent_context(credentials: Credentials) -> ssl.SSLContext:
    """Trusts the server's CA alone, and checks the name that every server leaf carries."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=credentials.ca_pem.decode())
    return _finish(context, credentials)


def server_context(chain: Credentials, client_roots: bytes) -> ssl.SSLContext:
    """Asks every client for a certificate that stems from `client_roots`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=client_roots.decode())
    return _finish(context, chain)


def _finish(context: ssl.SSLContext, shown: Credentials) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory(prefix="qd-tls-") as folder:  # made with mode 0700; ssl reads keys from files only
        path = Path(folder) / "shown.pem"
        path.write_bytes(shown.key_pem + shown.certificate_pem)
        context.load_cert_chain(path)
    return context
