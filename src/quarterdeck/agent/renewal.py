"""Renews the node's certificate over the link before it ends: a new key, a CSR, a new identity."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.identity import Identity
from quarterdeck.link.certificates import RENEW_BELOW, Credentials, key_to_pem, new_key, new_request
from quarterdeck.link.messages import NewCertificate, RenewCertificate
from quarterdeck.model.errors import BadInput, Unauthenticated

log = logging.getLogger(__name__)

LOOK_INTERVAL_S = 600.0


class Renewal:
    """`identity` tells the present one; `renewed` is handed the next, already checked."""

    def __init__(
        self,
        *,
        identity: Callable[[], Identity],
        renewed: Callable[[Identity], None],
        look_interval_s: float = LOOK_INTERVAL_S,
    ) -> None:
        self._identity = identity
        self._renewed = renewed
        self._interval = look_interval_s
        self._key: ec.EllipticCurvePrivateKey | None = None
        self._not_before = 0.0  # monotonic; a certificate that is short from the start must not be renewed in a loop

    async def run(self, live: LiveLink) -> None:
        """While a link is up: ask for another certificate when a third of this one's life is left."""
        while True:
            identity = self._identity()
            if identity.lifetime_left() < RENEW_BELOW and time.monotonic() >= self._not_before:
                self._not_before = time.monotonic() + self._interval
                self._key = new_key()
                await live.send(RenewCertificate(csr_pem=new_request(self._key, identity.agent.agent_id)))
            await asyncio.sleep(self._interval)

    def received(self, message: NewCertificate) -> None:
        """The server's answer. One that does not fit our key, CA or name is refused, and asked for again later."""
        key, self._key = self._key, None
        if key is None:
            log.warning("the server sent a certificate that was not asked for; it is not used")
            return
        credentials = Credentials(
            key_pem=key_to_pem(key), certificate_pem=message.certificate_pem, ca_pem=message.ca_pem
        )
        try:
            identity = Identity.of(credentials)
        except (BadInput, Unauthenticated) as error:
            log.warning("the renewed certificate is not usable, the present one stays: %s", error)
            return
        if identity.agent.agent_id != self._identity().agent.agent_id:
            log.warning("the renewed certificate names another agent (%s); it is not used", identity.agent.agent_id)
            return
        try:
            self._renewed(identity)
        except OSError as error:
            log.warning("the renewed certificate cannot be kept, the present one stays: %s", error)
