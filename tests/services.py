"""A fleet without a wire: the server's services over a real state store, with agents that are method calls."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from quarterdeck.link.certificates import certificates_from_pem, identity_of, new_key, new_request
from quarterdeck.link.messages import Hello, InstanceReport, JoinRequest, Welcome
from quarterdeck.model.errors import BadManifest, QuarterdeckError, Unavailable
from quarterdeck.model.jobs import JobOffer
from quarterdeck.model.manifests import Manifest
from quarterdeck.model.messages import MessageFilter, MessagePage
from quarterdeck.model.modules import (
    Artefact,
    Build,
    CreateModule,
    InstanceState,
    InstanceStatus,
    Module,
    Setting,
    TableSource,
)
from quarterdeck.model.nodes import AgentIdentity, Facts, NodeKey
from quarterdeck.model.tables import Column, ColumnType, Table
from quarterdeck.model.tokens import CreateJoinToken
from quarterdeck.server.audit import Audit
from quarterdeck.server.ca import CertificateAuthority
from quarterdeck.server.desired import Desired
from quarterdeck.server.files.artefacts import Artefacts
from quarterdeck.server.instances import Instances
from quarterdeck.server.jobs.commands import Commands
from quarterdeck.server.jobs.jobs import Jobs
from quarterdeck.server.jobs.ledger import Ledger
from quarterdeck.server.joins import Joins
from quarterdeck.server.modules import Modules
from quarterdeck.server.nodes import Nodes
from quarterdeck.server.services import Services as ServiceServices
from quarterdeck.server.sessions.links import Links, NewJob
from quarterdeck.server.tokens import Tokens
from quarterdeck.store.state.database import Database


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


async def fake_builder(files: Mapping[str, bytes]) -> Built:
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
    """Remembers who was woken and who was cut off."""

    def __init__(self) -> None:
        self.woken: list[NodeKey] = []
        self.woken_for_jobs: list[NodeKey] = []
        self.offered: list[tuple[NodeKey, JobOffer]] = []  #: without that the store was read
        self.here: set[NodeKey] = set()  #: nodes with a live session
        self.cut: list[tuple[str, str]] = []
        self.token_changes = 0

    async def push_desired(self, key: NodeKey) -> None:
        self.woken.append(key)

    def push_jobs(self, key: NodeKey) -> None:
        self.woken_for_jobs.append(key)

    def offer_jobs(self, key: NodeKey, new: Sequence[NewJob]) -> None:
        self.woken_for_jobs.append(key)
        self.offered.extend((key, each.offer) for each in new)

    async def ask_messages(self, key: NodeKey, wanted: MessageFilter, wait_s: float) -> MessagePage:
        raise Unavailable(f"The node {key} is not connected.")

    def connected(self, key: NodeKey) -> bool:
        return key in self.here

    async def disconnect(self, agent_id: str, error: QuarterdeckError | None = None) -> None:
        self.cut.append((agent_id, error.code if error else ""))

    async def tokens_changed(self) -> None:
        self.token_changes += 1


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Services:
    """The services together. Nothing runs in the background."""

    def __init__(self, database: Database, folder: Path, *, builtins: FakeBuiltins | None = None) -> None:
        self.database = database
        self.clock = FakeClock()
        self.sessions = FakeSessions()
        self.builtins = builtins or FakeBuiltins()
        self.ensured: list[str] = []
        self.authority = CertificateAuthority.open(folder, certificate_days=30)
        links = Links()
        links.attach(self.sessions)
        self.artefacts = Artefacts(database, clock=self.clock)
        self.desired = Desired(database, artefacts=self.artefacts, clock=self.clock)
        self.instances = Instances(database, desired=self.desired, clock=self.clock)
        self.audit = Audit(database, clock=self.clock)
        ledger = Ledger(self.audit, clock=self.clock)
        self.commands = Commands(database, ledger=ledger, links=links, clock=self.clock)
        self.jobs = Jobs(database, ledger=ledger, clock=self.clock)
        self.services = ServiceServices(
            database, desired=self.desired, links=links, commands=self.commands, clock=self.clock
        )
        self.nodes = Nodes(
            database, desired=self.desired, links=links, ledger=ledger, offline_after_s=30.0, clock=self.clock
        )
        self.joins = Joins(
            database, authority=self.authority, desired=self.desired, links=links, ledger=ledger, clock=self.clock
        )
        self.tokens = Tokens(database, ca_fingerprint=self.authority.fingerprint, gid=1, links=links, clock=self.clock)
        self.modules = Modules(
            database,
            artefacts=self.artefacts,
            desired=self.desired,
            instances=self.instances,
            links=links,
            builder=fake_builder,
            builtins=self.builtins,
            ensure_table=self._ensure_table,
            clock=self.clock,
        )

    async def _ensure_table(self, table: Table) -> None:
        self.ensured.append(table.name)

    async def join(
        self, name: str, *, labels: Mapping[str, str] | None = None, nid: int | None = None
    ) -> AgentIdentity:
        """A node joins with a token of its own; who its agent is."""
        token = await self.tokens.create_join(CreateJoinToken(nid=nid))
        request = JoinRequest(csr_pem=new_request(new_key(), name), name=name, labels=dict(labels or {}))
        reply = await self.joins.join(token.info.id, request)
        return identity_of(certificates_from_pem(reply.certificate_pem)[0])

    async def connect(
        self, agent: AgentIdentity, *, acted: int = 0, labels: Mapping[str, str] | None = None
    ) -> Welcome:
        """The agent comes."""
        facts = Facts(hostname="host", agent_version="1.0")
        hello = Hello(protocol=1, facts=facts, labels=dict(labels or {}), acted_revision=acted)
        return await self.nodes.connected(agent, hello)

    async def act(self, agent: AgentIdentity, *, state: InstanceState = InstanceState.SUCCEEDED) -> int:
        """The agent takes its desired set and reports every instance in `state`; the set's revision."""
        desired = await self.desired.of(agent.key)
        statuses = tuple(
            InstanceStatus(instance_id=instance.id, state=state, revision=desired.revision)
            for instance in desired.instances
        )
        await self.instances.reported(agent, InstanceReport(revision=desired.revision, statuses=statuses))
        return desired.revision

    async def create(self, name: str, *, table: str = "", version: str = "", replace: bool = False) -> Module:
        """A module of one table."""
        text = " ".join((name, table or name, version)).encode()
        return await self.modules.create(CreateModule(files={"module": text}, replace=replace))

    async def runs_on(self, agent: AgentIdentity) -> list[str]:
        """The names of the modules in the node's desired set."""
        desired = await self.desired.of(agent.key)
        return sorted(instance.build.manifest.name for instance in desired.instances)
