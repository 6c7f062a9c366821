"""A fleet without a wire: the server's services over a real state store, with agents that are method calls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import update

from quarterdeck.link.certificates import certificates_from_pem, identity_of, new_key, new_request
from quarterdeck.link.messages import PROTOCOL_VERSION, Hello, JoinRequest, PlacementReport, Welcome
from quarterdeck.model.config import CommandsConfig, ServerConfig
from quarterdeck.model.errors import BadManifest, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.manifests import Manifest
from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.model.modules import (
    MODULE,
    Artefact,
    Build,
    CreateModule,
    DesiredInstance,
    InstanceState,
    InstanceStatus,
    Module,
    Setting,
    TableSource,
)
from quarterdeck.model.nodes import AgentIdentity, Facts, NodeKey
from quarterdeck.model.services import SERVICE, DesiredService
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.server.assembly.context import Context, ServerAssembly
from quarterdeck.server.assembly.fleet import FleetParts
from quarterdeck.server.assembly.jobs import JobParts
from quarterdeck.server.assembly.modules import ModuleParts
from quarterdeck.server.assembly.services import ServiceParts
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.jobs.ledger import Ledger
from quarterdeck.server.jobs.upcoming import NewJob
from quarterdeck.server.sessions.links import Links
from quarterdeck.server.signals import LocalSignals
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.schema import node


class Built(msgspec.Struct):
    """What a builder gives."""

    build: Build
    artefacts: dict[str, bytes]


def make_build(name: str, *, table: str | None = None, version: str = "", settings: Sequence[Setting] = ()) -> Built:
    """A build with one table; `version` makes it another one."""
    body = f"object of {name} {version}".encode()
    sha256 = hashlib.sha256(body).hexdigest()
    columns = (Column(name="time", type=ColumnType.TIMESTAMP), Column(name="pid", type=ColumnType.UINT32))
    shape = Table(name=table or name, columns=columns, module=name)
    build = Build(
        manifest=Manifest(name=name, version=version),
        digest=hashlib.sha256(f"{name} {table} {version}".encode()).hexdigest(),
        object=Artefact(name=f"{name}.bpf.o", sha256=sha256, size=len(body)),
        settings=tuple(settings) or (Setting(name="targ_pid", section=".rodata", offset=0, size=4, type="int"),),
        sources=(TableSource(table=shape, maps=("events",), record_size=8),),
    )
    return Built(build, {sha256: body})


async def fake_builder(files: Mapping[str, bytes], *, sender: str = "") -> Built:
    """Builds what the file `module` says: NAME [TABLE [VERSION]]."""
    if "module" not in files:
        raise BadManifest("Expected a file 'module', found none.")
    name, table, version = (*files["module"].decode().split(), "", "")[:3]
    return make_build(name, table=table or None, version=version)


class FakeBuiltins:
    """Built-in modules of these builds; remembers which were loaded."""

    def __init__(self, *builds: Built) -> None:
        self.builds = {built.build.manifest.name: built for built in builds}
        self.loaded: list[str] = []

    def names(self) -> Sequence[str]:
        return sorted(self.builds)

    async def load(self, name: str) -> Built:
        self.loaded.append(name)
        return self.builds[name]


class FakeSessions:
    """Remembers which conversations were asked for what, and who was cut off."""

    def __init__(self) -> None:
        self.woken: list[NodeKey] = []
        self.woken_for_jobs: list[NodeKey] = []
        self.offered: list[tuple[NodeKey, JobOffer]] = []  #: without that the store was read
        self.here: set[NodeKey] = set()  #: nodes with a live session
        self.cut: list[tuple[str, str]] = []
        self.token_changes = 0

    def conversation(self, key: NodeKey, topic: object) -> Any:
        return _Asked(self, key)

    def connected(self, key: NodeKey) -> bool:
        return key in self.here

    async def disconnect(self, agent_id: str, error: QuarterdeckError | None = None) -> None:
        self.cut.append((agent_id, error.code if error else ""))

    async def tokens_changed(self) -> None:
        self.token_changes += 1

    async def ask(
        self, key: NodeKey, wanted: MessageFilter, wait_s: float, *, follower: int = 0, skip: bool = False
    ) -> MessagePage:
        raise Unavailable(f"The node {key} is not connected.")


class _Asked:
    """What topics ask of their conversations with a node: of desired sets, of jobs (`upcoming`), of messages."""

    def __init__(self, sessions: FakeSessions, key: NodeKey) -> None:
        self._sessions = sessions
        self._key = key
        self.upcoming = self
        self.ask = partial(sessions.ask, key)

    def push(self) -> None:
        self._sessions.woken.append(self._key)

    def changed(self) -> None:
        self._sessions.woken_for_jobs.append(self._key)

    def add(self, new: Sequence[NewJob]) -> None:
        self._sessions.woken_for_jobs.append(self._key)
        self._sessions.offered.extend((self._key, each.offer) for each in new)


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Services:
    """The services together. Nothing runs in the background."""

    def __init__(
        self, database: Database, folder: Path, *, builtins: FakeBuiltins | None = None, server: str = "here"
    ) -> None:
        self.database = database
        self.clock = FakeClock()
        self.sessions = FakeSessions()
        self.builtins = builtins or FakeBuiltins()
        self.ensured: list[str] = []
        self.authority = CertificateAuthority.open(folder, certificate_days=30)
        self.assembly = ServerAssembly()
        links = Links()
        links.attach(self.sessions)
        config = ServerConfig(home=str(folder), commands=CommandsConfig(expires_s=0))
        self.signals = LocalSignals()
        context = Context(
            config=config, database=database, links=links, signals=self.signals, name=server, clock=self.clock
        )
        fleet = FleetParts(self.assembly, context, authority=self.authority)
        jobs = JobParts(self.assembly, context, fleet=fleet)
        modules = ModuleParts(
            self.assembly,
            context,
            fleet=fleet,
            builder=fake_builder,
            builtins=self.builtins,
            ensure_table=self._ensure_table,
        )
        self.artefacts, self.placements, self.audit = fleet.artefacts, fleet.placements, fleet.audit
        self.reports = fleet.placement_reports
        self.nodes, self.joins, self.tokens = fleet.nodes, fleet.joins, fleet.tokens
        self.logins = fleet.logins
        self.commands, self.jobs, self.job_links = jobs.commands, jobs.jobs, jobs.links
        self.instances, self.modules = modules.instances, modules.modules
        self.services = ServiceParts(context, fleet=fleet, jobs=jobs).services

    def commands_with(self, **limits: Any) -> Commands:
        """Other commands of the same fleet, with these limits."""
        ledger = Ledger(self.audit, signals=self.signals, clock=self.clock)
        return Commands(
            self.database, ledger=ledger, links=self.job_links, signals=self.signals, clock=self.clock, **limits
        )

    async def _ensure_table(self, table: Table) -> None:
        self.ensured.append(table.name)

    async def join(
        self,
        name: str,
        *,
        labels: Mapping[str, str] | None = None,
        nid: int | None = None,
        allow_labels: tuple[str, ...] | None = None,
    ) -> AgentIdentity:
        """A node joins with a token of its own; who its agent is."""
        token = await self.tokens.create_join(CreateJoinToken(nid=nid, allow_labels=allow_labels))
        request = JoinRequest(csr_pem=new_request(new_key(), name), name=name, labels=dict(labels or {}))
        reply = await self.joins.join(token.info.id, request)
        return identity_of(certificates_from_pem(reply.certificate_pem)[0])

    async def connect(
        self, agent: AgentIdentity, *, acted: int = 0, held: int = 0, labels: Mapping[str, str] | None = None
    ) -> Welcome:
        """The agent comes."""
        facts = Facts(hostname="host", agent_version="1.0")
        hello = Hello(
            protocol=PROTOCOL_VERSION, facts=facts, labels=dict(labels or {}), acted_revision=acted, held_revision=held
        )
        return await self.nodes.connected(agent, hello)

    async def act(self, agent: AgentIdentity, *, state: InstanceState = InstanceState.SUCCEEDED) -> int:
        """The agent takes its desired set and reports every instance in `state`; the set's revision."""
        revision = await self.revision(agent)
        statuses = tuple(
            InstanceStatus(instance_id=instance.id, state=state, revision=revision)
            for instance in await self.wanted_modules(agent.key)
        )
        await self.report(agent, MODULE, *statuses, revision=revision)
        return revision

    async def report(self, agent: AgentIdentity, kind: str, *statuses: msgspec.Struct, revision: int) -> None:
        """The agent reports this of its things of a kind."""
        await self.reports.reported(agent, PlacementReport.of(kind, statuses, revision=revision))

    async def revision(self, agent: AgentIdentity) -> int:
        """The revision of the node's desired set."""
        return (await self.placements.desired(agent.key)).revision

    async def wanted_modules(self, key: NodeKey) -> list[DesiredInstance]:
        """The modules in the node's desired set."""
        return (await self.placements.desired(key)).read(MODULE, DesiredInstance)

    async def wanted_services(self, key: NodeKey) -> list[DesiredService]:
        """The services in the node's desired set."""
        return (await self.placements.desired(key)).read(SERVICE, DesiredService)

    async def create(self, name: str, *, table: str = "", version: str = "", replace: bool = False) -> Module:
        """A module of one table."""
        text = " ".join((name, table or name, version)).encode()
        return await self.modules.create(CreateModule(files={"module": text}, replace=replace), sender="")

    async def runs_on(self, agent: AgentIdentity) -> list[str]:
        """The names of the modules in the node's desired set."""
        return sorted(instance.build.manifest.name for instance in await self.wanted_modules(agent.key))


async def name_alike(fleet: Services, name: str) -> None:
    """Every node is called `name`, as the store of an earlier release may have it."""
    async with fleet.database.write() as transaction:
        await transaction.execute(update(node).values(name=name))
