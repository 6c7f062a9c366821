"""An agent at work: its parts put together and run, isolated from one another.

What runs on the node is the modules' business (`agent/modules/`, behind `Instances`); what is said to the server goes
through the connection; this module only joins the ends, and holds the desired set between them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

import msgspec

from quarterdeck.agent.artefacts import Artefacts
from quarterdeck.agent.commands.builtin import builtin_names
from quarterdeck.agent.commands.execute import execute_command
from quarterdeck.agent.commands.extensions import extension_commands
from quarterdeck.agent.commands.files import FileCommands
from quarterdeck.agent.commands.messages import message_commands
from quarterdeck.agent.commands.processes import process_commands
from quarterdeck.agent.commands.scripts import script_commands
from quarterdeck.agent.components import Components
from quarterdeck.agent.connection import Connection, LiveLink
from quarterdeck.agent.desired import DesiredFile
from quarterdeck.agent.fetches import Fetches
from quarterdeck.agent.identity import Identity, save_identity
from quarterdeck.agent.jobs.jobs import Jobs
from quarterdeck.agent.joining import Joining
from quarterdeck.agent.memory import trim
from quarterdeck.agent.messages.asking import Asking
from quarterdeck.agent.messages.log import MessageLog
from quarterdeck.agent.offers import Offers
from quarterdeck.agent.outbox import Outbox
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.agent.processes.environment import Environment, Templates
from quarterdeck.agent.processes.measuring import Measuring
from quarterdeck.agent.processes.processes import Processes
from quarterdeck.agent.renewal import Renewal
from quarterdeck.agent.reporter import Reporter
from quarterdeck.agent.scripts.files import ScriptFiles
from quarterdeck.agent.services.services import Services
from quarterdeck.agent.shipper import ship
from quarterdeck.agent.stats.stats import Stats
from quarterdeck.link.messages import (
    PROTOCOL_VERSION,
    ArtefactChunk,
    AskMessages,
    Desired,
    FileStored,
    Hello,
    InstanceReport,
    JobOffers,
    KillJobs,
    NewCertificate,
    ResultsStored,
    StatsReport,
    StopAsking,
    ToAgent,
    WantFile,
)
from quarterdeck.link.race import until_first
from quarterdeck.link.wire import AgentWire
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.errors import QuarterdeckError, Revoked
from quarterdeck.model.losses import Loss
from quarterdeck.model.modules import Artefact, InstanceStats, InstanceStatus
from quarterdeck.model.nodes import Facts
from quarterdeck.model.tables import Table

log = logging.getLogger(__name__)

#: rows for the outbox: table, rows, body (compressed Arrow IPC), module, losses; any thread, never waits
Emit = Callable[[Table, int, bytes, str, Sequence[Loss]], None]
#: rows that were lost before they became a batch; any thread
Lose = Callable[[Loss], None]


class Instances(Protocol):
    """The module instances of this node, as the agent sees them."""

    async def apply(self, desired: DesiredSet) -> None: ...

    def statuses(self) -> tuple[InstanceStatus, ...]: ...

    def stats(self) -> tuple[InstanceStats, ...]: ...

    async def close(self) -> None: ...


class InstancesFactory(Protocol):
    """Makes the module instances. `changed` is called, from any thread, when a status is another than before."""

    def __call__(
        self,
        *,
        emit: Emit,
        lose: Lose,
        artefacts: Callable[[Artefact], Awaitable[bytes]],
        changed: Callable[[], None],
        config: AgentConfig,
    ) -> Instances: ...


class Work:
    """An agent that has its identity, at work. `home` is the agent's own folder."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        home: Path,
        identity: Identity,
        joining: Joining,
        wire: AgentWire,
        facts: Callable[[], Facts],
        instances: InstancesFactory,
    ) -> None:
        self._config = config
        self._home = home
        self._joining = joining
        self._identity = identity
        self._token = config.token
        self._file = DesiredFile(home / "desired.msgpack")
        self._wanted = self._file.load()
        self._acted = 0
        self._news = asyncio.Event()
        self._comes_back = False
        self._outbox = Outbox(home / "outbox", config.outbox)
        self._fetches, self._offers = Fetches(), Offers()
        self._artefacts = Artefacts(home / "artefacts", fetches=self._fetches)
        cgroups = Cgroups.detect(home)
        self._reporter = Reporter(
            instances=lambda: InstanceReport(revision=self._acted, statuses=self._instances.statuses()),
            services=lambda: self._services.report(),  # noqa: PLW0108 (made further down)
            stats=lambda: StatsReport(stats=self._instances.stats()),
            facts=lambda: msgspec.structs.replace(facts(), cgroups=str(cgroups.version)),
            stats_interval_s=config.stats_interval_s,
        )
        self._instances = instances(
            emit=self._outbox.put,
            lose=self._outbox.lose,
            artefacts=self._artefacts.get,
            changed=self._reporter.changed,
            config=config,
        )
        self._stats = Stats(
            config.stats,
            emit=self._outbox.put,
            lose=self._outbox.lose,
            who=lambda: self._identity.agent,
            cache=home / "wasm",
        )
        self._messages = MessageLog(home / "messages", emit=self._outbox.put, lose=self._outbox.lose)
        self._asking = Asking(self._messages, allow=config.jobs.allow)
        templates = Templates(home)
        self._processes = Processes(
            home / "processes",
            messages=self._messages,
            environment=Environment(
                templates, who=lambda: self._identity.agent, node=config.name or self._reporter.facts.hostname
            ),
            measuring=Measuring(cgroups, feed=self._stats.feed),
            cgroups=cgroups,
            usual=config.processes,
        )
        self._files = FileCommands(
            fetches=self._fetches, offers=self._offers, fill=templates.fill, who=lambda: self._identity.agent
        )
        self._services = Services(
            home,
            processes=self._processes,
            templates=templates,
            allow=config.jobs.allow,
            changed=self._reporter.services_changed,
        )
        commands = {
            "execute": execute_command(self._processes, templates),
            **process_commands(self._processes),
            **self._services.commands(),
            **message_commands(self._messages),
            **script_commands(self._processes, ScriptFiles(home / "scripts", fetch=self._artefacts.path)),
            **self._files.commands(),
        }
        self._jobs = Jobs(
            home,
            config=config.jobs,
            commands=commands
            | extension_commands(
                config.extensions, self._processes, templates, taken=builtin_names() | commands.keys()
            ),
            noted=self._processes.release,
            recovered=self._processes.disown_all_but,
        )
        self._renewal = Renewal(identity=lambda: self._identity, renewed=self._renewed)
        self._connection = Connection(
            wire,
            credentials=lambda: self._identity.credentials,
            hello=self._hello,
            received=self._received,
            while_linked=(
                self._reporter.run,
                self._fetches.run,
                self._offers.run,
                self._renewal.run,
                self._ship,
                self._jobs.linked,
                self._asking.linked,
            ),
            refused=self._refused,
            heartbeat_s=config.heartbeat_s,
        )

    async def run(self, stopping: asyncio.Event) -> None:
        """Until `stopping` or a job asks for a restart; then all is ended, and what is in memory goes to disk."""
        components = Components()
        components.start("modules", self._apply)
        components.start("stats", self._stats.run)
        components.start("messages", self._messages.keep)
        components.start("outbox", self._outbox.keep)
        components.start("processes", self._processes.run)
        components.start("jobs", self._jobs.run)
        components.start("connection", self._connection.run)
        components.start("memory", trim)
        async with AsyncExitStack() as ending:  # the last first: what emits ends before the outbox does
            ending.push_async_callback(self._outbox.close)
            ending.push_async_callback(asyncio.to_thread, self._stats.close)
            ending.push_async_callback(self._messages.close)
            ending.push_async_callback(self._instances.close)
            ending.push_async_callback(self._processes.close)
            ending.push_async_callback(self._services.close)
            ending.push_async_callback(self._jobs.close)
            ending.push_async_callback(self._files.close)
            ending.push_async_callback(components.stop)
            ending.push_async_callback(self._end_processes)
            await until_first(stopping.wait(), self._jobs.restarting())
            self._comes_back = not stopping.is_set()

    async def _end_processes(self) -> None:
        """Where the agent is told so, the programs end with it; not when it only restarts."""
        if self._config.end_processes and not self._comes_back:
            log.info("%d processes ended with the agent", await self._processes.end_all())

    def _hello(self) -> Hello:
        return Hello(
            protocol=PROTOCOL_VERSION,
            facts=self._reporter.facts,
            labels=self._config.labels,
            acted_revision=self._acted,
        )

    async def _ship(self, live: LiveLink) -> None:
        await ship(self._outbox, live.telemetry())

    async def _received(self, message: ToAgent) -> None:
        match message:
            case Desired():
                self._wanted = message.desired
                self._news.set()
            case ArtefactChunk():
                self._fetches.received(message)
            case WantFile() | FileStored():
                self._offers.received(message)
            case JobOffers() | KillJobs() | ResultsStored():
                self._jobs.received(message)
            case AskMessages() | StopAsking():
                self._asking.received(message)
            case NewCertificate():
                self._renewal.received(message)
            case _:
                log.warning("the server sent a %s when none was due", type(message).__name__)

    async def _apply(self) -> None:
        """Make what runs equal to what is wanted, again at each change; at the start, to what was wanted last."""
        self._news.set()
        while True:
            await self._news.wait()
            self._news.clear()
            wanted = self._wanted
            if wanted is None:
                continue
            await asyncio.to_thread(self._file.save, wanted)
            self._services.apply(wanted)
            await self._instances.apply(wanted)
            self._acted = wanted.revision
            self._reporter.changed()

    def _renewed(self, identity: Identity) -> None:
        save_identity(self._home, identity)
        self._identity = identity
        log.info("this node's certificate was renewed (serial %s)", identity.agent.serial)
        self._connection.reconnect()

    async def _refused(self, error: QuarterdeckError) -> None:
        """The server will not have this node: when it was removed, nothing may run here, unless it may join again."""
        if not isinstance(error, Revoked):
            return
        if self._token:
            text, self._token = self._token, ""
            try:
                self._identity = await self._joining.join(text)
            except QuarterdeckError as failure:
                log.warning("this node was removed from the fleet, and its token does not let it in: %s", failure)
            else:
                self._connection.reconnect()
                return
        log.error("this node was removed from the fleet; all it ran ends. Join again with a new token (--token).")
        self._wanted = DesiredSet(revision=0)
        self._news.set()
        await self._jobs.end_all("ended because this node was removed from the fleet")
