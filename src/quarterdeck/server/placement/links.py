"""Sends each connected node its desired set: when it connects, and again whenever the set has changed.

What is in a set is decided elsewhere (`placements`); pushes that come while one is under way become one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

from quarterdeck.link.conversation import Conversation
from quarterdeck.link.messages import Desired
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.nodes import NodeKey
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.sessions.session import Session

#: sets that are read at one time; after a restart of the server all agents arrive together
CONCURRENT = 32


class DueSets(Protocol):
    """Knows the set that a connected node is to be sent; None while it is to keep the one that it has."""

    async def due(self, key: NodeKey) -> DesiredSet | None: ...


class DesiredLinks:
    """The topic of desired sets."""

    takes = ()

    def __init__(self, sets: DueSets, *, links: Links) -> None:
        self._sets = sets
        self._links = links
        self._turns = asyncio.Semaphore(CONCURRENT)

    def open(self, link: Session) -> SetSender:
        """Begin on a new link."""
        return SetSender(self, link)

    def wake(self, keys: Iterable[NodeKey]) -> None:
        """Send these nodes their sets anew, as far as they are connected."""
        for key in keys:
            if sender := self._links.find(key, self):
                sender.push()

    async def due(self, key: NodeKey) -> DesiredSet | None:
        """Return the set that this node is to be sent, when it is its turn."""
        async with self._turns:
            return await self._sets.due(key)


class SetSender(Conversation):
    """Sends the sets of one node over one link."""

    def __init__(self, topic: DesiredLinks, session: Session) -> None:
        self._topic = topic
        self._session = session
        self._stale = asyncio.Event()
        self._stale.set()

    def push(self) -> None:
        """Send the set anew."""
        self._stale.set()

    async def run(self) -> None:
        """Send the set whenever it is stale."""
        while True:
            await self._stale.wait()
            self._stale.clear()
            desired = await self._topic.due(self._session.agent.key)
            if desired is not None:
                await self._session.send(Desired(desired=desired))
