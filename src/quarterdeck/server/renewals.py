"""The conversation about certificates with each agent: each request is answered with a new certificate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from quarterdeck.link.conversation import Conversation
from quarterdeck.link.messages import NewCertificate, RenewCertificate
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.server.sessions.session import Session

#: issues a certificate to the agent for a CSR (PEM)
Renew = Callable[[AgentIdentity, bytes], Awaitable[NewCertificate]]


class Renewals:
    """The topic of renewals."""

    takes = (RenewCertificate,)

    def __init__(self, renew: Renew) -> None:
        self._renew = renew

    def open(self, link: Session) -> Conversation:
        """Open the conversation on a new link."""
        return _Renewing(link, self._renew)


class _Renewing(Conversation):
    def __init__(self, session: Session, renew: Renew) -> None:
        self._session = session
        self._renew = renew

    async def received(self, message: RenewCertificate) -> None:
        await self._session.send(await self._renew(self._session.agent, message.csr_pem))
