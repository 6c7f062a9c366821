"""Membership of this node in its fleet: its identity, and what it does when the server refuses it.

Owns the present identity, on disk and in memory, and the one token that lets the node join again. It starts and ends no
program: `removed` is called when the node was removed from the fleet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from quarterdeck.agent.identity import Identity, retire_identity, save_identity
from quarterdeck.agent.joining import REJOIN, Joining
from quarterdeck.model.errors import QuarterdeckError, Revoked, UnknownNode
from quarterdeck.model.nodes import AgentIdentity

log = logging.getLogger(__name__)


class Membership:
    """`changed` is called when the identity is another than before; `home` is the agent's own folder."""

    def __init__(
        self,
        home: Path,
        *,
        identity: Identity,
        joining: Joining,
        token: str,
        changed: Callable[[], None],
        removed: Callable[[], Awaitable[None]],
    ) -> None:
        self.identity = identity
        self.ended = asyncio.Event()  #: set when the node was removed from the fleet
        self._home = home
        self._joining = joining
        self._token = token
        self._changed = changed
        self._removed = removed

    def who(self) -> AgentIdentity:
        """Return the ids in the present certificate."""
        return self.identity.agent

    def renewed(self, identity: Identity) -> None:
        """Use a renewed certificate from now on."""
        save_identity(self._home, identity)
        self.identity = identity
        log.info("this node's certificate was renewed (serial %s)", identity.agent.serial)
        self._changed()

    async def refused(self, error: QuarterdeckError) -> None:
        """Handle the server's refusal: join again if possible; end all programs only if the node was removed.

        A server that does not know the node has another state than the one that the node joined. That is not a removal:
        programs keep running, and the agent keeps trying.
        """
        if not isinstance(error, (Revoked, UnknownNode)) or await self._rejoined():
            return
        if isinstance(error, UnknownNode):
            log.warning("the server does not know this node; its programs keep running, and it tries again: %s", error)
            return
        log.error("this node was removed from the fleet; its programs are ended. %s", REJOIN)
        await self._removed()
        self.ended.set()

    def retire(self) -> None:
        """Put the identity aside and raise `Revoked`, if the node was removed from the fleet."""
        if self.ended.is_set():
            retire_identity(self._home)
            raise Revoked("This node was removed from its fleet; its programs have ended.", hint=REJOIN)

    async def _rejoined(self) -> bool:
        """Return whether the agent could join again with the token that it was started with."""
        if not self._token:
            return False
        text, self._token = self._token, ""
        try:
            self.identity = await self._joining.join(text)
        except QuarterdeckError as failure:
            log.warning("the server does not know this node, and the token does not let it join: %s", failure)
            return False
        self._changed()
        return True
