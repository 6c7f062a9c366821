"""Renews the node's certificate over the link before it expires: a new key, a CSR, a new identity."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec

from quarterdeck.agent.connection import LiveLink
from quarterdeck.agent.identity import Identity
from quarterdeck.link.certificates import RENEW_BELOW, Credentials, key_to_pem, new_key, new_request
from quarterdeck.link.conversation import Conversation
from quarterdeck.link.messages import NewCertificate, RenewCertificate
from quarterdeck.model.errors import BadInput, Unauthenticated

log = logging.getLogger(__name__)

LOOK_INTERVAL_S = 600.0


class Renewal:
    """`identity` returns the current identity; `renewed` is called with the next one, already verified."""

    takes = (NewCertificate,)

    def __init__(
        self,
        *,
        identity: Callable[[], Identity],
        renewed: Callable[[Identity], None],
        look_interval_s: float = LOOK_INTERVAL_S,
    ) -> None:
        self._identity = identity
        self._renewed = renewed
        self.interval_s = look_interval_s
        self._not_before = 0.0  # monotonic; a certificate that is short from the start must not be renewed in a loop

    def open(self, link: LiveLink) -> Conversation:
        """Open a conversation on a new link."""
        return _Renewing(self, link)

    def due(self) -> str:
        """Return the agent id when a third of the certificate's lifetime or less is left; else an empty string."""
        identity = self._identity()
        if identity.lifetime_left() >= RENEW_BELOW or time.monotonic() < self._not_before:
            return ""
        self._not_before = time.monotonic() + self.interval_s
        return identity.agent.agent_id

    def accept(self, message: NewCertificate, key: ec.EllipticCurvePrivateKey | None) -> None:
        """Take the certificate for `key`. One that does not match our key, CA or name is refused."""
        if key is None:
            log.warning("the server sent a certificate that was not requested; it is not used")
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


class _Renewing(Conversation):
    """The renewal over one link, and the key of the request that was sent over it."""

    def __init__(self, renewal: Renewal, link: LiveLink) -> None:
        self._renewal = renewal
        self._link = link
        self._key: ec.EllipticCurvePrivateKey | None = None

    async def received(self, message: NewCertificate) -> None:
        key, self._key = self._key, None
        self._renewal.accept(message, key)

    async def run(self) -> None:
        while True:
            if agent_id := self._renewal.due():
                self._key = new_key()
                await self._link.send(RenewCertificate(csr_pem=new_request(self._key, agent_id)))
            await asyncio.sleep(self._renewal.interval_s)
