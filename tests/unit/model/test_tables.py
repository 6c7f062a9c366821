from __future__ import annotations

import msgspec

from quarterdeck.model.losses import LOSSES_TABLE
from quarterdeck.model.tables import Column, ColumnType, Table

COLUMN = Column(name="pid", type=ColumnType.UINT32)


def test_a_fingerprint_changes_with_the_shape_and_with_nothing_else() -> None:
    table = Table(name="t", columns=(COLUMN,))
    described = Column(name="pid", type=ColumnType.UINT32, description="process id", unit="")
    same = Table(name="t", columns=(described,), retention_s=1, description="other", order=("pid",))
    assert same.fingerprint == table.fingerprint
    others = [
        Table(name="u", columns=(COLUMN,)),
        Table(name="t", columns=(msgspec.structs.replace(COLUMN, name="tid"),)),
        Table(name="t", columns=(msgspec.structs.replace(COLUMN, type=ColumnType.UINT64),)),
        Table(name="t", columns=(COLUMN, msgspec.structs.replace(COLUMN, name="tid"))),
        Table(name="t", columns=(msgspec.structs.replace(COLUMN, type=ColumnType.ENUM, values={"0": "A"}),)),
    ]
    assert len({table.fingerprint, *(other.fingerprint for other in others)}) == len(others) + 1


def test_the_order_of_enum_values_does_not_matter() -> None:
    one = Column(name="kind", type=ColumnType.ENUM, values={"0": "A", "1": "B"})
    two = Column(name="kind", type=ColumnType.ENUM, values={"1": "B", "0": "A"})
    assert Table(name="t", columns=(one,)).fingerprint == Table(name="t", columns=(two,)).fingerprint


def test_a_column_is_found_by_its_name() -> None:
    assert LOSSES_TABLE.column("reason") is not None
    assert LOSSES_TABLE.column("nothing") is None


def test_a_newer_peers_column_may_have_keys_we_do_not_know() -> None:
    frame = msgspec.msgpack.encode({"name": "pid", "type": "uint32", "colour": "blue"})
    assert msgspec.msgpack.decode(frame, type=Column) == COLUMN
