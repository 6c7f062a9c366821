"""The keeper's side of the socket: one agent at a time, the frames that it sends, and the data that waits to be sent.

This module knows nothing about children. An agent that breaks the protocol, or whose socket fails, is disconnected; it
connects again.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress

if sys.platform == "win32":
    raise ImportError("The keeper needs a POSIX system.")

from quarterdeck.keeper.log import note
from quarterdeck.keeper.protocol import Frames, NotAFrame, frame

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from collections.abc import Callable

    from quarterdeck.keeper.poller import Poller
    from quarterdeck.keeper.protocol import Header

#: bytes that may wait for the socket; more stays in the backlogs
OUT_BYTES = 512 * 1024

_IN, _OUT = select.EPOLLIN, select.EPOLLOUT
_UCRED = struct.Struct("3i")  # pid, uid, gid (unix(7))


def may_command(connection: socket.socket) -> bool:
    """Return whether the peer is this user or root."""
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return _UCRED.unpack(peer)[1] in (0, os.geteuid())


class AgentSocket:
    """The connection to the agent. `obey` is called with each frame, `gone` when the agent has disconnected."""

    def __init__(self, poller: Poller, *, obey: Callable[[Header, bytes], None], gone: Callable[[], None]) -> None:
        self._poller = poller
        self._obey = obey
        self._gone = gone
        self._agent: socket.socket | None = None
        self._frames = Frames()
        self._out = bytearray()
        self._blocked = False  # the socket did not take everything
        self.heard = time.monotonic()  #: when the last frame arrived, or the agent disconnected
        self.silent = False  #: it is connected, but takes no data

    @property
    def connected(self) -> bool:
        """Return whether an agent is connected."""
        return self._agent is not None

    @property
    def takes_more(self) -> bool:
        """Return whether an agent is connected and not too much waits for it."""
        return self._agent is not None and len(self._out) < OUT_BYTES

    def begin(self, connection: socket.socket) -> None:
        """Serve this agent from now on; an earlier one is disconnected."""
        self.drop()
        connection.setblocking(False)
        self._agent, self._frames, self.heard = connection, Frames(), time.monotonic()
        self._poller.watch(connection.fileno(), _IN, self._converse)

    def drop(self) -> None:
        """End the connection; what waits for the agent is sent to the next one."""
        if self._agent is not None:
            self._poller.close(self._agent.detach())
            self._agent, self.heard, self._blocked = None, time.monotonic(), False
        self.silent = False
        self._out.clear()
        self._gone()

    def say(self, header: Header, body: bytes = b"") -> None:
        """Queue a frame for the agent, if there is one; `flush` sends it."""
        if self._agent is not None:
            self._out += frame(header, body)

    def flush(self) -> None:
        """Send as much as the socket takes."""
        agent = self._agent
        if agent is None:
            return
        try:
            self._flush(agent)
        except OSError as error:
            note(f"the agent's connection ends: {error}")
            self.drop()

    def _flush(self, agent: socket.socket) -> None:
        with suppress(BlockingIOError):
            while self._out:
                del self._out[: agent.send(self._out)]
        if bool(self._out) != self._blocked:
            self._blocked = not self._blocked
            self._poller.change(agent.fileno(), _IN | _OUT if self._blocked else _IN)

    def _converse(self, events: int) -> None:
        agent = self._agent
        if agent is None:
            return
        try:
            if events & ~_OUT:
                data = agent.recv(1024 * 1024)
                if not data:
                    self.drop()
                    return
                self.heard, self.silent = time.monotonic(), False
                for header, body in self._frames.feed(data):
                    self._obey(header, body)
            if self._agent is agent:
                self._flush(agent)
        except BlockingIOError:
            return
        except (OSError, NotAFrame, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            note(f"the agent's connection ends: {error!r}")
            self.drop()
