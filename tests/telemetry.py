"""Tables and batches for tests of the telemetry store and of ingest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import zstandard

from quarterdeck.columns.arrow import encode
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Pairs, Values, Varying, strings
from quarterdeck.link.messages import TelemetryBatch
from quarterdeck.model.losses import Loss
from quarterdeck.model.nodes import AgentIdentity
from quarterdeck.model.queries import Answer, Completeness, Query
from quarterdeck.model.tables import Column, ColumnRole, ColumnType, Table
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.memory import Memory
from quarterdeck.server.queries import Queries

TIME = Column(name="time", type=ColumnType.TIMESTAMP)
EXECS = Table(
    name="execs",
    description="Programs that were started",
    module="execs",
    columns=(
        TIME,
        Column(name="pid", type=ColumnType.UINT32, role=ColumnRole.PID, description="its process id"),
        Column(name="comm", type=ColumnType.STRING, role=ColumnRole.COMM),
        Column(name="took", type=ColumnType.DURATION, unit="ns", description="until it ended"),
    ),
)
#: a column of every type
ALL_TYPES = Table(
    name="all_types",
    columns=(
        TIME,
        *(
            Column(name=f"c_{kind}", type=kind)
            for kind in ColumnType
            if kind not in ("timestamp_ns", "list", "map", "enum")
        ),
        Column(name="c_enum", type=ColumnType.ENUM, values={"1": "ONE", "-2": "MINUS_TWO"}),
        Column(name="c_list", type=ColumnType.LIST, item=ColumnType.UINT64),
        Column(name="c_names", type=ColumnType.LIST, item=ColumnType.STRING),
        Column(name="c_map", type=ColumnType.MAP, item=ColumnType.INT32),
    ),
)

#: columns within columns
TAGS = Table(
    name="tags",
    columns=(
        TIME,
        Column(name="tags", type=ColumnType.MAP, item=ColumnType.STRING),
        Column(name="sizes", type=ColumnType.LIST, item=ColumnType.UINT64),
    ),
)


def agent(nid: int = 7, gid: int = 1) -> AgentIdentity:
    """An agent on that node."""
    return AgentIdentity(agent_id=f"agent-{gid}-{nid}", gid=gid, nid=nid, serial="01")


def execs(rows: int, *, first: int = 0, time_ns: int | None = None) -> bytes:
    """Rows of EXECS with the process ids from `first` on."""
    start = time.time_ns() if time_ns is None else time_ns
    names = [("sh", "cat", "ls")[i % 3] for i in range(first, first + rows)]
    columns: dict[str, Values] = {
        "time": start + np.arange(rows, dtype=np.int64),
        "pid": np.arange(first, first + rows, dtype=np.uint32),
        "comm": strings(names),
        "took": np.full(rows, 5, np.int64),
    }
    return encode(Batch(EXECS, columns, rows))


def body_of(table: Table, columns: Mapping[str, Values]) -> bytes:
    """The columns as a batch of the table, with the present as time."""
    rows = len(next(iter(columns.values())))
    return encode(Batch(table, {"time": np.full(rows, time.time_ns()), **columns}, rows))


def batch(body: bytes, rows: int, *, seq: int = 0, table: Table = EXECS, **other: Any) -> TelemetryBatch:
    """A batch as an agent sends it."""
    given = {"epoch": "e1", "floor": 0, "fingerprint": table.fingerprint, **other}
    return TelemetryBatch(seq=seq, table=table.name, rows=rows, body=body, **given)


def only_losses(losses: Sequence[Loss], *, seq: int = 0) -> TelemetryBatch:
    """A batch without rows."""
    return batch(b"", 0, seq=seq, losses=tuple(losses))


def every_value(rows: int = 2) -> dict[str, Values]:
    """Values for each column of ALL_TYPES but `time`."""
    numbers = {
        column.name: np.arange(rows).astype(column.type.value)
        for column in ALL_TYPES.columns
        if column.type.value in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    }
    text = strings([f"t{i}" for i in range(rows)])
    counts = np.arange(rows + 1, dtype=np.int32)
    return {
        **numbers,
        "c_bool": np.arange(rows) % 2 == 1,
        "c_float32": np.arange(rows) + np.float32(0.5),
        "c_float64": np.arange(rows) + 0.25,
        "c_string": text,
        "c_binary": Varying(counts, np.full(rows, 0xFF, np.uint8)),
        "c_duration_ns": np.arange(rows, dtype=np.int64),
        "c_ipv4": np.full(rows, 0x7F000001, np.uint32),
        "c_ipv6": np.frombuffer(bytes.fromhex("20010db8000000000000000000000001") * rows, np.uint8).reshape(rows, 16),
        "c_ip": np.frombuffer(bytes.fromhex("00000000000000000000ffff7f000001") * rows, np.uint8).reshape(rows, 16),
        "c_mac": np.full(rows, 0x0A0B0C0D0E0F, np.uint64),
        "c_json": strings(['{"a":1}'] * rows),
        "c_enum": np.array([1, -2, 9][:rows], np.int32),
        "c_list": Varying(counts, np.arange(rows, dtype=np.uint64)),
        "c_names": Varying(counts, text),
        "c_map": Varying(counts, Pairs(text, np.arange(rows, dtype=np.int32))),
    }


def packed(table: pa.Table, **options: Any) -> bytes:
    """The rows as the bytes of a batch, by another writer than an agent's."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return zstandard.ZstdCompressor().compress(sink.getvalue())


def tags(*, key: str = "key", value: str = "value", item: str = "item", nullable: bool = False) -> pa.Table:
    """Rows of TAGS by another writer."""
    entry = pa.struct([pa.field(key, pa.string(), nullable=nullable), pa.field(value, pa.string(), nullable=nullable)])
    schema = pa.schema(
        [
            pa.field("time", pa.timestamp("ns", "UTC"), nullable=nullable),
            pa.field("tags", pa.list_(pa.field(item, entry, nullable=nullable)), nullable=nullable),
            pa.field("sizes", pa.list_(pa.field(item, pa.uint64(), nullable=nullable)), nullable=nullable),
        ],
        metadata={"writer": "another"},
    )
    columns = [pa.array([time.time_ns()] * 2), pa.array([[{key: "k", value: "v"}], []]), pa.array([[1], [2, 3]])]
    return pa.table([column.cast(field.type) for column, field in zip(columns, schema, strict=True)], schema=schema)


#: what a test's queries and inserts may use
MEMORY = Memory(
    store_bytes=1_000_000_000,
    query_bytes=200_000_000,
    answer_bytes=50_000_000,
    answers_bytes=400_000_000,
    insert_bytes=64_000_000,
)
ADMIN = ApiToken(id="a", name="admin", role=Role.ADMIN)
VIEWER = ApiToken(id="v", name="viewer", role=Role.VIEWER)


async def ask(queries: Queries, query: Query, token: ApiToken = ADMIN) -> Answer:
    """The answer as values."""
    reply = await queries.run(query, token)
    return msgspec.json.decode(b"".join(reply.parts), type=Answer)


async def export(queries: Queries, query: Query) -> tuple[bytes, Completeness]:
    """The answer as it is written."""
    reply = await queries.run(query, ADMIN)
    return b"".join(reply.parts), reply.completeness
