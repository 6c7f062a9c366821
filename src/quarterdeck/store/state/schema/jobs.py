"""Jobs."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Named, Table, TypedColumns

from quarterdeck.model.jobs import JobResult, JobState
from quarterdeck.store.state.schema.metadata import metadata
from quarterdeck.store.state.types import Json, Word


class JobColumns(TypedColumns):
    """A command on one node. It outlives the node. `change` grows with every change of any job, and is a resume token.

    `offered`: the node may have been offered the job, so that only the node knows its outcome.
    """

    command: Named[int] = Column(ForeignKey("command.number", ondelete="CASCADE"), primary_key=True)
    gid: Named[int] = Column(primary_key=True, autoincrement=False)
    nid: Named[int] = Column(primary_key=True, autoincrement=False)
    node_name: Named[str]
    state: Named[JobState] = Column(Word(JobState))
    reason: Named[str]
    offered: Named[bool]
    killed: Named[bool]  #: a user asked to end it
    result: Named[JobResult | None] = Column(Json(JobResult))
    create_time: Named[float]
    accept_time: Named[float]
    last_update_time: Named[float]
    change: Named[int] = Column(BigInteger)


job = Table("job", metadata, JobColumns)
Index(None, job.c.state, job.c.gid, job.c.nid)
Index(None, job.c.gid, job.c.nid)
Index(None, job.c.change, unique=True)
