"""The renewal of an agent's certificate."""

from __future__ import annotations

from quarterdeck.link.limits import Pem
from quarterdeck.model.struct import Wire


class RenewCertificate(Wire, frozen=True, kw_only=True, tag="renew"):
    """Requests a new certificate before the current one expires, with a CSR by a new key."""

    csr_pem: Pem


class NewCertificate(Wire, frozen=True, kw_only=True, tag="certificate"):
    """The renewed certificate, and the CA to trust from now on."""

    certificate_pem: Pem
    ca_pem: Pem
