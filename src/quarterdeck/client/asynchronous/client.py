"""The async client: one server, and a namespace for each noun. A failed call raises the server's error."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from quarterdeck.client import graphql
from quarterdeck.client.asynchronous.agents import Agents
from quarterdeck.client.asynchronous.api_tokens import ApiTokens
from quarterdeck.client.asynchronous.audit import Audit
from quarterdeck.client.asynchronous.commands import Commands
from quarterdeck.client.asynchronous.connection import Connection
from quarterdeck.client.asynchronous.files import Files
from quarterdeck.client.asynchronous.instances import Instances
from quarterdeck.client.asynchronous.jobs import Jobs
from quarterdeck.client.asynchronous.logins import Logins
from quarterdeck.client.asynchronous.messages import Messages
from quarterdeck.client.asynchronous.modules import Modules
from quarterdeck.client.asynchronous.nodes import Nodes
from quarterdeck.client.asynchronous.queries import Queries
from quarterdeck.client.asynchronous.saved_queries import SavedQueries
from quarterdeck.client.asynchronous.schedules import Schedules
from quarterdeck.client.asynchronous.scripts import Scripts
from quarterdeck.client.asynchronous.server import Server
from quarterdeck.client.asynchronous.services import Services
from quarterdeck.client.asynchronous.tables import Tables
from quarterdeck.client.asynchronous.tokens import Tokens
from quarterdeck.client.asynchronous.transfers import Transfers
from quarterdeck.client.endpoint import Endpoint
from quarterdeck.client.streams.absence import Notice, log_absence


class AsyncClient:
    """A client of one server. Use it as an async context manager, or call `close`."""

    def __init__(
        self, endpoint: Endpoint, *, transport: httpx.AsyncBaseTransport | None = None, timeout_s: float | None = None
    ) -> None:
        """Make the client; with `timeout_s` no step of a call, such as connecting or reading, takes longer."""
        self.endpoint = endpoint
        self.absent: Notice = log_absence  #: called when the server of an open stream does not answer
        self._connection = connection = Connection(
            endpoint,
            transport=transport,
            absent=lambda seconds: self.absent(seconds),  # noqa: PLW0108 (it may be set later)
            timeout_s=timeout_s,
        )
        self.agents = Agents(connection)
        self.api_tokens = ApiTokens(connection)
        self.audit = Audit(connection)
        self.commands = Commands(connection)
        self.files = Files(connection)
        self.instances = Instances(connection)
        self.jobs = Jobs(connection)
        self.logins = Logins(connection)
        self.messages = Messages(connection)
        self.modules = Modules(connection)
        self.nodes = Nodes(connection)
        self.queries = Queries(connection)
        self.saved_queries = SavedQueries(connection)
        self.schedules = Schedules(connection)
        self.scripts = Scripts(connection)
        self.server = Server(connection)
        self.services = Services(connection)
        self.tables = Tables(connection)
        self.tokens = Tokens(connection)
        self.transfers = Transfers(connection)

    @classmethod
    def local(cls) -> AsyncClient:
        """Return the client of the server that `Endpoint.find` finds: by environment, or on this machine."""
        return cls(Endpoint.find())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the data of a GraphQL query or mutation. Raise its first error, even if other fields have data."""
        answer = await self._connection.send(graphql.ask(query, variables or {}))
        return answer.whole()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()
