"""Messages of nodes: asked of the nodes and read from the table, for people and for who follows a command."""

from __future__ import annotations

from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.jobs import JobParts
from quarterdeck.server.jobs.output import Output
from quarterdeck.server.messages.links import MessageLinks
from quarterdeck.server.messages.messages import Messages
from quarterdeck.store.telemetry.clickhouse import TelemetryStore


class MessageParts:
    """Nodes are asked through the topic of messages; those that are away are read from `store`."""

    def __init__(self, assembly: ServerAssembly, context: Context, *, jobs: JobParts, store: TelemetryStore) -> None:
        links = MessageLinks(context.links)
        self.messages = Messages(context.database, links=links, store=store, clock=context.clock)
        self.output = Output(jobs.commands, self.messages)
        assembly.topics.append(links)
