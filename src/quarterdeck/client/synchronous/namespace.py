"""The base of the namespaces: the connection that sends their calls."""

from __future__ import annotations

from quarterdeck.client.synchronous.connection import Connection


class Namespace:
    """The calls of one noun."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
