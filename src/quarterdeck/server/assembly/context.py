"""The context that all groups of the server's components share, and their assembly."""

from __future__ import annotations

import time
from collections.abc import Callable

from quarterdeck.link.conversation import Assembly
from quarterdeck.model.config import ServerConfig
from quarterdeck.model.struct import Struct
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.sessions.session import Session
from quarterdeck.server.signals import Signals
from quarterdeck.store.state.database import Database


class Context(Struct, frozen=True, kw_only=True):
    """The configuration, the state, the way to the agents, signals of changes, the clock (seconds since the epoch).

    `name` tells this server from others that share its state.
    """

    config: ServerConfig
    database: Database
    links: Links
    signals: Signals
    name: str
    clock: Callable[[], float] = time.time


#: a server's parts and topics
ServerAssembly = Assembly[Session]
