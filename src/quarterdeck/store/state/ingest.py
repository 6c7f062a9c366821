"""The ingest journal: which batches the telemetry store has, and which inserts may not have finished.

`begin` is on disk before an insert starts and `commit` before the sender gets its acknowledgement, so that after a
crash every batch is either known to be stored, or pending and looked up in the telemetry store. Also owns the register
of schemas: the columns that a table had at each version.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from quarterdeck.model.errors import Conflict
from quarterdeck.model.ingest import BatchId, PendingInsert
from quarterdeck.model.tables import Table
from quarterdeck.store.state.database import Database
from quarterdeck.store.state.schema import ingest_batch, ingest_group, table_schema


class IngestJournal:
    """The journal in the state store. A group is one insert into one table; the caller assigns its number."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, group: int, table: str, batches: Sequence[BatchId]) -> None:
        """Record that an insert of these batches into `table` begins; raise `Conflict` if one began before."""
        rows = [
            {"origin": batch.origin, "epoch": batch.epoch, "seq": batch.seq, "table": table, "group": group}
            for batch in batches
        ]
        try:
            async with self._database.write() as transaction:
                await transaction.execute(insert(ingest_group).values(group=group, table=table))
                if rows:
                    await transaction.execute(insert(ingest_batch), rows)
        except IntegrityError as error:
            raise Conflict(f"A batch of insert {group} was begun or stored before.") from error

    async def commit(self, group: int, floors: Mapping[tuple[str, str], int]) -> None:
        """Record that the insert is on disk. `floors`: by (origin, epoch), the first batch that it may repeat."""
        below = delete(ingest_batch).where(
            ingest_batch.c.origin == bindparam("b_origin"),
            ingest_batch.c.epoch == bindparam("b_epoch"),
            ingest_batch.c.seq < bindparam("b_floor"),
            ingest_batch.c.group.is_(None),
        )
        async with self._database.write() as transaction:
            await transaction.execute(update(ingest_batch).where(ingest_batch.c.group == group).values(group=None))
            await transaction.execute(delete(ingest_group).where(ingest_group.c.group == group))
            if floors:
                rows = [{"b_origin": a, "b_epoch": e, "b_floor": floor} for (a, e), floor in floors.items()]
                await transaction.execute(below, rows)

    async def discard(self, group: int) -> None:
        """Record that the insert did not happen; its batches are unknown again."""
        async with self._database.write() as transaction:
            await transaction.execute(delete(ingest_batch).where(ingest_batch.c.group == group))
            await transaction.execute(delete(ingest_group).where(ingest_group.c.group == group))

    async def pending(self) -> list[PendingInsert]:
        """Return the inserts that began and were neither committed nor discarded, in the order of their numbers."""
        batches: dict[int, list[BatchId]] = defaultdict(list)
        async with self._database.read() as transaction:
            c = ingest_batch.c
            query = select(c.group, c.origin, c.epoch, c.seq).where(c.group.is_not(None))
            for group, origin, epoch, seq in await transaction.execute(query.order_by(c.origin, c.epoch, c.seq)):
                if group is not None:
                    batches[group].append(BatchId(origin=origin, epoch=epoch, seq=seq))
            groups = await transaction.execute(select(ingest_group).order_by(ingest_group.c.group))
            return [PendingInsert(group=group, table=table, batches=tuple(batches[group])) for group, table in groups]

    async def stored(self, origin: str, epoch: str) -> set[int]:
        """Return the stored batches of this origin and epoch, from the last floor on."""
        c = ingest_batch.c
        query = select(c.seq).where(c.origin == origin, c.epoch == epoch, c.group.is_(None))
        async with self._database.read() as transaction:
            return set((await transaction.execute(query)).scalars())

    async def register_table(self, table: Table) -> None:
        """Register `table` as the current schema of its name; its earlier schemas stay readable."""
        async with self._database.write() as transaction:
            newest = select(func.coalesce(func.max(table_schema.c.registered), 0))
            registered = (await transaction.execute(newest)).scalar_one() + 1
            changed = await transaction.execute(
                update(table_schema)
                .where(table_schema.c.fingerprint == table.fingerprint)
                .values(body=table, registered=registered)
            )
            if changed.rowcount == 0:
                row = {"fingerprint": table.fingerprint, "name": table.name, "body": table, "registered": registered}
                await transaction.execute(insert(table_schema).values(row))

    async def table_by_fingerprint(self, fingerprint: str) -> Table | None:
        """Return the schema with this fingerprint, current or earlier."""
        query = select(table_schema.c.body).where(table_schema.c.fingerprint == fingerprint)
        async with self._database.read() as transaction:
            return (await transaction.execute(query)).scalar_one_or_none()

    async def tables(self) -> list[Table]:
        """Return every table in its current schema, in the order of their names."""
        newest = select(func.max(table_schema.c.registered)).group_by(table_schema.c.name)
        query = select(table_schema.c.body).where(table_schema.c.registered.in_(newest)).order_by(table_schema.c.name)
        async with self._database.read() as transaction:
            return list((await transaction.execute(query)).scalars())
