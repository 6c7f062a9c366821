"""Runs an agent: builds its parts and topics and runs them until it is stopped or its node is removed.

`agent/assembly/` has the parts; the connection carries their messages. This module owns only the order in which they
start and end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from quarterdeck.agent.assembly.contents import ContentParts
from quarterdeck.agent.assembly.context import AgentAssembly, Context
from quarterdeck.agent.assembly.jobs import JobParts
from quarterdeck.agent.assembly.modules import InstancesFactory, ModuleParts
from quarterdeck.agent.assembly.programs import ProgramParts
from quarterdeck.agent.assembly.telemetry import TelemetryParts
from quarterdeck.agent.assembly.usage import UsageParts
from quarterdeck.agent.connection import Connection, Retries
from quarterdeck.agent.identity import Identity
from quarterdeck.agent.joining import Joining
from quarterdeck.agent.membership import Membership
from quarterdeck.agent.memory import trim
from quarterdeck.agent.notices import Notices
from quarterdeck.agent.placements import Placements
from quarterdeck.agent.processes.cgroups import Cgroups
from quarterdeck.agent.renewal import Renewal
from quarterdeck.agent.reports import FactsReport
from quarterdeck.kit.race import until_first
from quarterdeck.link.messages import PROTOCOL_VERSION, Hello
from quarterdeck.link.wire import AgentWire
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.desired import DesiredSet
from quarterdeck.model.nodes import Facts

log = logging.getLogger(__name__)

#: how long the programs of a removed node may take to end without being killed
REMOVAL_S = 60.0


class Work:
    """The run of an agent that has its identity. `home` is the agent's own folder."""

    def __init__(
        self,
        config: AgentConfig,
        *,
        home: Path,
        identity: Identity,
        joining: Joining,
        wire: AgentWire,
        retries: Retries,
        facts: Callable[[], Facts],
        instances: InstancesFactory,
    ) -> None:
        self._config = config
        self._comes_back = False
        self._assembly = assembly = AgentAssembly()
        self._membership = Membership(
            home, identity=identity, joining=joining, token=config.token, changed=self._reconnect, removed=self._empty
        )
        cgroups = Cgroups.detect(home)
        self._facts = FactsReport(lambda: msgspec.structs.replace(facts(), cgroups=str(cgroups.version)))
        context = Context(
            config=config, home=home, who=self._membership.who, name=config.name or self._facts.facts.hostname
        )
        self._placements = Placements(home / "desired.msgpack", agent_id=lambda: self._membership.who().agent_id)
        telemetry = TelemetryParts(assembly, context)
        contents = ContentParts(assembly, context)
        self._programs = programs = ProgramParts(
            assembly, context, cgroups=cgroups, telemetry=telemetry, placements=self._placements
        )
        modules = ModuleParts(
            assembly, context, factory=instances, telemetry=telemetry, contents=contents, placements=self._placements
        )
        UsageParts(assembly, context, telemetry=telemetry, modules=modules)
        self._jobs = JobParts(assembly, context, contents=contents, telemetry=telemetry, programs=programs).jobs
        self._add_link(assembly, wire, retries)

    async def run(self, stopping: asyncio.Event) -> None:
        """Run until `stopping` is set or a job asks for a restart; then end everything and write memory to disk.

        Raise `Revoked` when the node was removed from its fleet; its programs have ended by then.
        """
        await self._assembly.parts.start()
        try:
            await until_first(stopping.wait(), self._jobs.restarting(), self._removal())
            self._comes_back = not (stopping.is_set() or self._membership.ended.is_set())
        finally:
            await self._assembly.parts.close()
        self._membership.retire()

    def _add_link(self, assembly: AgentAssembly, wire: AgentWire, retries: Retries) -> None:
        """Register the placements and the connection. Must be called after all others have registered."""
        renewal = Renewal(identity=lambda: self._membership.identity, renewed=self._membership.renewed)
        self._connection = Connection(
            wire,
            credentials=lambda: self._membership.identity.credentials,
            hello=self._hello,
            topics=[*assembly.topics, self._placements, self._facts, renewal, Notices()],
            refused=self._membership.refused,
            heartbeat_s=self._config.heartbeat_s,
            retries=retries,
        )
        assembly.parts.add("placements", run=self._placements.run)
        assembly.parts.add("connection", run=self._connection.run)
        assembly.parts.add("memory", run=trim)
        assembly.parts.add("end of the programs", close=self._end_processes)

    def _reconnect(self) -> None:
        self._connection.reconnect()

    async def _end_processes(self) -> None:
        """End the programs if the agent is configured so, or the node was removed; a restart leaves them running."""
        if (self._config.end_processes or self._membership.ended.is_set()) and not self._comes_back:
            log.info("%d processes ended with the agent", await self._programs.processes.end_all())

    def _hello(self) -> Hello:
        return Hello(
            protocol=PROTOCOL_VERSION,
            facts=self._facts.facts,
            labels=self._config.labels,
            acted_revision=self._placements.acted,
            held_revision=self._placements.held,
        )

    async def _empty(self) -> None:
        """End all jobs and everything of the desired set, because the node was removed from the fleet."""
        await self._jobs.end_all("ended because this node was removed from the fleet")
        self._placements.want(DesiredSet(revision=0, placements={}))

    async def _removal(self) -> None:
        """Wait until the node was removed and the programs of the desired set have ended, or took too long to end."""
        await self._membership.ended.wait()
        try:
            async with asyncio.timeout(REMOVAL_S):
                await self._placements.settled()
                await self._programs.services.none_left()
        except TimeoutError:
            log.warning("the programs of this node did not end within %.0f s, and are ended with the agent", REMOVAL_S)
