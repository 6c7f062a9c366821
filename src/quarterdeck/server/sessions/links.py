"""Where the services reach the agents that are connected now: to wake a node, to cut one off.

Owns nothing but the way there. Until the sessions are attached, as while the server starts, nobody is connected and
there is nobody to tell: whatever changed is in the state store, and every agent gets it when it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from quarterdeck.model.errors import QuarterdeckError, Unavailable
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.model.nodes import NodeKey


class NewJob(NamedTuple):
    """A job that was just stored, as offered to its node."""

    number: int  #: of its command
    offer: JobOffer


class LiveSessions(Protocol):
    """The connected agents of this server."""

    async def push_desired(self, key: NodeKey) -> None: ...

    def push_jobs(self, key: NodeKey) -> None: ...

    def offer_jobs(self, key: NodeKey, new: Sequence[NewJob]) -> None: ...

    async def ask_messages(self, key: NodeKey, wanted: MessageFilter, wait_s: float) -> MessagePage: ...

    def connected(self, key: NodeKey) -> bool: ...

    async def disconnect(self, agent_id: str, error: QuarterdeckError | None = None) -> None: ...

    async def tokens_changed(self) -> None: ...


class Links:
    """Passes on to the sessions, once there are any."""

    def __init__(self) -> None:
        self._sessions: LiveSessions | None = None

    def attach(self, sessions: LiveSessions | None) -> None:
        """From now on these are the connected agents."""
        self._sessions = sessions

    async def wake(self, keys: Iterable[NodeKey]) -> None:
        """The desired sets of these nodes changed."""
        if self._sessions is not None:
            for key in keys:
                await self._sessions.push_desired(key)

    def wake_for_jobs(self, keys: Iterable[NodeKey]) -> None:
        """These nodes have new jobs, or jobs to kill."""
        if self._sessions is not None:
            for key in keys:
                self._sessions.push_jobs(key)

    def offer_jobs(self, new: Mapping[NodeKey, Sequence[NewJob]]) -> None:
        """These nodes have these new jobs, which are on disk as offered."""
        if self._sessions is not None:
            for key, jobs in new.items():
                self._sessions.offer_jobs(key, jobs)

    def here(self, keys: Iterable[NodeKey]) -> set[NodeKey]:
        """Which of these nodes are connected now."""
        sessions = self._sessions
        return set() if sessions is None else {key for key in keys if sessions.connected(key)}

    async def ask_messages(self, key: NodeKey, wanted: MessageFilter, wait_s: float) -> MessagePage:
        """What the node has of these messages; `Unavailable` when it is not connected, or leaves."""
        if self._sessions is None:
            raise Unavailable(f"The node {key} is not connected.")
        return await self._sessions.ask_messages(key, wanted, wait_s)

    async def cut(self, agent_id: str, error: QuarterdeckError) -> None:
        """This agent may not stay."""
        if self._sessions is not None:
            await self._sessions.disconnect(agent_id, error)

    async def tokens_changed(self) -> None:
        """Who may join changed."""
        if self._sessions is not None:
            await self._sessions.tokens_changed()
