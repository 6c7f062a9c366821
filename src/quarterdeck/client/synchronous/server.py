"""`client.server`: the server itself."""

from __future__ import annotations

from quarterdeck.client.calls import get
from quarterdeck.client.synchronous.namespace import Namespace
from quarterdeck.model.server import ServerInfo


class Server(Namespace):
    """The server itself."""

    def get(self) -> ServerInfo:
        """Return the server's version and addresses."""
        return self._connection.send(get("/server", ServerInfo))
