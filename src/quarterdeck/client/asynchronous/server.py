"""`client.server`: the server itself."""

from __future__ import annotations

from quarterdeck.client.asynchronous.namespace import Namespace
from quarterdeck.client.calls import get
from quarterdeck.model.server import ServerInfo


class Server(Namespace):
    """The server itself."""

    async def get(self) -> ServerInfo:
        """Return the server's version and addresses."""
        return await self._connection.send(get("/server", ServerInfo))
