"""The tables of the state store, each with its columns and keys. What changes them stands in the module of its noun.

What a query looks for is a column; what is only read back whole is a struct in JSON. Times are seconds since the
epoch. The migrations below `migrations/` build exactly these tables: a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Named,
    Table,
    TypedColumns,
    UniqueConstraint,
)

from quarterdeck.model import tables
from quarterdeck.model.jobs import CreateCommand, JobResult, JobState
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import Build, InstanceStats, InstanceStatus, ModuleState
from quarterdeck.model.nodes import AgentState, Facts, Selector
from quarterdeck.model.schedules import MissedRuns
from quarterdeck.model.services import Service, ServiceStatus
from quarterdeck.model.tokens import Role
from quarterdeck.store.state.types import Json, Word

Settings = dict[str, SettingValue]
Labels = dict[str, str]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


# ── nodes ────────────────────────────────────────────────────────────────────────────────────────────────────────────
class GridColumns(TypedColumns):
    """A grid gives its nodes their numbers. A number is never given twice."""

    gid: Named[int] = Column(primary_key=True, autoincrement=False)
    next_nid: Named[int]


class NodeColumns(TypedColumns):
    """A host. `labels` were set here, `agent_labels` by the agent's own configuration, which wins on the same key."""

    gid: Named[int] = Column(primary_key=True, autoincrement=False)
    nid: Named[int] = Column(primary_key=True, autoincrement=False)
    name: Named[str]
    agent_id: Named[str] = Column(nullable=False, unique=True)
    labels: Named[Labels] = Column(Json(dict[str, str]))
    agent_labels: Named[Labels] = Column(Json(dict[str, str]))
    facts: Named[Facts] = Column(Json(Facts))
    revision: Named[int]
    acted_revision: Named[int]
    joined_at: Named[float]


class AgentColumns(TypedColumns):
    """An agent. It outlives its node here, TERMINATED, so that its certificate stays refused."""

    agent_id: Named[str] = Column(primary_key=True)
    gid: Named[int]
    nid: Named[int]
    node_name: Named[str]
    state: Named[AgentState] = Column(Word(AgentState))
    version: Named[str]
    certificate_serial: Named[str]
    certificate_expires: Named[float]
    seen_at: Named[float]
    create_time: Named[float]
    last_update_time: Named[float]


grid = Table("grid", metadata, GridColumns)
node = Table("node", metadata, NodeColumns)
agent = Table("agent", metadata, AgentColumns)
Index(None, agent.c.state, agent.c.seen_at)


# ── tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class JoinTokenColumns(TypedColumns):
    """A join token's public half: the certificate its holder proves to have the key of."""

    id: Named[str] = Column(primary_key=True)
    gid: Named[int]
    nid: Named[int | None]
    labels: Named[Labels] = Column(Json(dict[str, str]))
    certificate_pem: Named[bytes]
    created_at: Named[float]
    expires_at: Named[float]
    used_at: Named[float | None]
    used_by: Named[str]
    key_sha256: Named[str]  #: of the public key it was used with: the same joiner may ask again


class ApiTokenColumns(TypedColumns):
    """An API token; of its secret only the SHA-256."""

    id: Named[str] = Column(primary_key=True)
    name: Named[str] = Column(nullable=False, unique=True)
    role: Named[Role] = Column(Word(Role))
    secret_sha256: Named[str]
    created_at: Named[float]
    expires_at: Named[float | None]


join_token = Table("join_token", metadata, JoinTokenColumns)
api_token = Table("api_token", metadata, ApiTokenColumns)


# ── modules ──────────────────────────────────────────────────────────────────────────────────────────────────────────
class BuildColumns(TypedColumns):
    """A build, by the digest of all it holds: it never changes."""

    digest: Named[str] = Column(primary_key=True)
    body: Named[Build] = Column(Json(Build))
    created_at: Named[float]


class ArtefactColumns(TypedColumns):
    """The bytes of an artefact. They lie here, not in files, so that every server of a shared store has them."""

    sha256: Named[str] = Column(primary_key=True)
    size: Named[int]
    body: Named[bytes]


class ModuleColumns(TypedColumns):
    """A module: which build of it the fleet should run, where, and with which settings."""

    id: Named[str] = Column(primary_key=True)
    name: Named[str] = Column(nullable=False, unique=True)
    digest: Named[str] = Column(ForeignKey("build.digest"))
    builtin: Named[bool]
    desire_state: Named[ModuleState] = Column(Word(ModuleState))
    selector: Named[Selector] = Column(Json(Selector))
    settings: Named[Settings] = Column(Json(dict[str, SettingValue]))
    create_time: Named[float]
    last_update_time: Named[float]


class InstanceColumns(TypedColumns):
    """A module on a node. `revision` is the desired set of that node in which this row last changed.

    UNDEPLOYED rows wait until the node's agent says that the instance is gone.
    """

    id: Named[str] = Column(primary_key=True)
    module_id: Named[str] = Column(ForeignKey("module.id", ondelete="CASCADE"))
    gid: Named[int]
    nid: Named[int]
    digest: Named[str] = Column(ForeignKey("build.digest"))
    settings: Named[Settings] = Column(Json(dict[str, SettingValue]))
    desire_state: Named[ModuleState] = Column(Word(ModuleState))
    revision: Named[int]
    status: Named[InstanceStatus | None] = Column(Json(InstanceStatus))
    stats: Named[InstanceStats | None] = Column(Json(InstanceStats))
    create_time: Named[float]
    last_update_time: Named[float]


build = Table("build", metadata, BuildColumns)
artefact = Table("artefact", metadata, ArtefactColumns)
module = Table("module", metadata, ModuleColumns)
instance = Table(
    "instance",
    metadata,
    InstanceColumns,
    UniqueConstraint("module_id", "gid", "nid"),
    ForeignKeyConstraint(["gid", "nid"], ["node.gid", "node.nid"], ondelete="CASCADE"),
)
Index(None, instance.c.gid, instance.c.nid)


# ── commands and jobs ────────────────────────────────────────────────────────────────────────────────────────────────
class CommandColumns(TypedColumns):
    """What was asked of some nodes. `number` grows with every command, and orders them."""

    number: Named[int] = Column(primary_key=True)
    id: Named[str] = Column(nullable=False, unique=True)
    cmd: Named[str]
    args: Named[dict[str, Any]] = Column(Json(dict[str, Any]))
    data: Named[str] = Column(Json(str))
    selector: Named[Selector] = Column(Json(Selector))
    actor: Named[str]
    role: Named[str]
    create_time: Named[float]
    expires_at: Named[float | None]
    ended_at: Named[float | None]  #: when the last of its jobs got its result
    script: Named[str | None]  #: the sha256 of the script that it runs


class JobColumns(TypedColumns):
    """A command on one node. It outlives the node. `change` grows with every change of any job, and is a resume token.

    `offered`: the node may have been offered it, so that only the node can say what became of it.
    """

    command: Named[int] = Column(ForeignKey("command.number", ondelete="CASCADE"), primary_key=True)
    gid: Named[int] = Column(primary_key=True, autoincrement=False)
    nid: Named[int] = Column(primary_key=True, autoincrement=False)
    node_name: Named[str]
    state: Named[JobState] = Column(Word(JobState))
    reason: Named[str]
    offered: Named[bool]
    killed: Named[bool]  #: somebody asked for its end
    result: Named[JobResult | None] = Column(Json(JobResult))
    create_time: Named[float]
    accept_time: Named[float]
    last_update_time: Named[float]
    change: Named[int] = Column(BigInteger)


class ScriptColumns(TypedColumns):
    """The bytes of a script that commands or schedules name."""

    sha256: Named[str] = Column(primary_key=True)
    size: Named[int]
    body: Named[bytes]


command = Table("command", metadata, CommandColumns)
job = Table("job", metadata, JobColumns)
script = Table("script", metadata, ScriptColumns)
Index(None, command.c.ended_at)
Index(None, command.c.script)
Index(None, job.c.state, job.c.gid, job.c.nid)
Index(None, job.c.gid, job.c.nid)
Index(None, job.c.change, unique=True)


class RedisCommandColumns(TypedColumns):
    """A command that came through Redis. Results of jobs whose `change` is above `delivered` are not there yet."""

    command: Named[int] = Column(ForeignKey("command.number", ondelete="CASCADE"), primary_key=True)
    digest: Named[str]  #: of what came: the same once more is no other command
    tags: Named[str] = Column(Json(str))
    jobs: Named[int]
    delivered: Named[int] = Column(BigInteger)


redis_command = Table("redis_command", metadata, RedisCommandColumns)


# ── schedules ────────────────────────────────────────────────────────────────────────────────────────────────────────
class ScheduleColumns(TypedColumns):
    """A command that is asked for again and again. `next_time` is none while it is disabled."""

    name: Named[str] = Column(primary_key=True)
    command: Named[CreateCommand] = Column(Json(CreateCommand))
    cron: Named[str]
    timezone: Named[str]
    period_s: Named[int]
    missed: Named[MissedRuns] = Column(Word(MissedRuns))
    enabled: Named[bool]
    actor: Named[str]
    role: Named[Role] = Column(Word(Role))
    create_time: Named[float]
    next_time: Named[float | None]
    last_time: Named[float | None]
    last_command: Named[str]
    reason: Named[str]
    script: Named[str | None]  #: the sha256 of the script that its command runs


schedule = Table("schedule", metadata, ScheduleColumns)
Index(None, schedule.c.next_time)
Index(None, schedule.c.script)


# ── services ─────────────────────────────────────────────────────────────────────────────────────────────────────────
class ServiceColumns(TypedColumns):
    """A program that the nodes its selector means keep running."""

    name: Named[str] = Column(primary_key=True)
    group: Named[str] = Column("group_name")
    version: Named[str]
    body: Named[Service] = Column(Json(Service))
    actor: Named[str]
    create_time: Named[float]
    last_update_time: Named[float]


class ServiceOnNodeColumns(TypedColumns):
    """A service on a node. `revision` is the desired set of that node in which this row last changed.

    Rows that are not wanted wait until the node's agent says that the service is gone; the service may be, too.
    """

    name: Named[str] = Column(primary_key=True)
    gid: Named[int] = Column(primary_key=True, autoincrement=False)
    nid: Named[int] = Column(primary_key=True, autoincrement=False)
    version: Named[str]
    wanted: Named[bool]
    revision: Named[int]
    status: Named[ServiceStatus | None] = Column(Json(ServiceStatus))
    last_update_time: Named[float]


service = Table("service", metadata, ServiceColumns)
service_on_node = Table(
    "service_on_node",
    metadata,
    ServiceOnNodeColumns,
    ForeignKeyConstraint(["gid", "nid"], ["node.gid", "node.nid"], ondelete="CASCADE"),
)
Index(None, service_on_node.c.gid, service_on_node.c.nid)


# ── audit ────────────────────────────────────────────────────────────────────────────────────────────────────────────
class AuditColumns(TypedColumns):
    """One change that was asked for."""

    id: Named[int] = Column(primary_key=True)
    time: Named[float]
    actor: Named[str]
    role: Named[str]
    action: Named[str]
    target: Named[str]
    result: Named[str]
    detail: Named[str]


audit = Table("audit", metadata, AuditColumns)


# ── ingest ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class IngestGroupColumns(TypedColumns):
    """An insert into the telemetry store that was begun and not yet known to be done."""

    group: Named[int] = Column("group_id", BigInteger, primary_key=True, autoincrement=False)
    table: Named[str] = Column("table_name")


class IngestBatchColumns(TypedColumns):
    """A batch that is stored, or (with `group`) part of a pending insert."""

    agent_id: Named[str] = Column(primary_key=True)
    epoch: Named[str] = Column(primary_key=True)
    seq: Named[int] = Column(BigInteger, primary_key=True, autoincrement=False)
    table: Named[str] = Column("table_name", primary_key=True)
    group: Named[int | None] = Column("group_id", BigInteger)


class TableSchemaColumns(TypedColumns):
    """A schema that a table has or had; the one registered last is the table's present one."""

    fingerprint: Named[str] = Column(primary_key=True)
    name: Named[str]
    body: Named[tables.Table] = Column(Json(tables.Table))
    registered: Named[int]  #: grows with every registration


ingest_group = Table("ingest_group", metadata, IngestGroupColumns)
ingest_batch = Table("ingest_batch", metadata, IngestBatchColumns, sqlite_with_rowid=False)
table_schema = Table("table_schema", metadata, TableSchemaColumns)
Index("ix_ingest_batch_group", ingest_batch.c.group)
