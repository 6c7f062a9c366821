"""Columns as the engine accepts them, without pandas."""

from __future__ import annotations

import subprocess
import sys

import numpy as np

from quarterdeck.model.losses import LOSSES_TABLE
from quarterdeck.store.telemetry.batches import decode
from quarterdeck.store.telemetry.rows import as_stored, from_lists, joined, kept, tagged, times_ns
from tests.telemetry import ALL_TYPES, EXECS, body_of, every_value, execs


def test_rows_keep_their_values_on_the_way() -> None:
    rows = joined([decode(EXECS, execs(2, time_ns=50)), decode(EXECS, execs(3, first=2, time_ns=60))])
    assert rows["pid"].to_pylist() == [0, 1, 2, 3, 4]
    assert times_ns(rows).tolist() == [50, 51, 60, 61, 62]
    assert kept(rows, times_ns(rows) > 50)["pid"].to_pylist() == [1, 2, 3, 4]
    ids = np.arange(5, dtype=np.uint32)
    marked = tagged(rows, gids=ids, nids=ids * 2, group=2**63)
    assert [marked[name].to_pylist()[1] for name in ("gid", "nid", "_group")] == [1, 2, 2**63]


def test_types_the_engine_has_no_arrow_for_become_such() -> None:
    rows = as_stored(ALL_TYPES, decode(ALL_TYPES, body_of(ALL_TYPES, every_value(3))), {"c_int8": "c_int8__int8"})
    assert rows["c_enum"].to_pylist() == ["ONE", "MINUS_TWO", "9"]
    assert rows["c_mac"].to_pylist() == ["0a:0b:0c:0d:0e:0f"] * 3
    assert rows["c_ip"].to_pylist() == ["127.0.0.1"] * 3
    assert rows["c_map"].to_pylist()[2] == [("t2", 2)]
    assert "c_int8__int8" in rows.column_names


def test_a_slice_is_read_where_it_begins() -> None:
    rows = decode(EXECS, execs(10, time_ns=0)).slice(4, 2)
    assert times_ns(rows).tolist() == [4, 5]


def test_a_slice_keeps_its_maps() -> None:
    rows = decode(ALL_TYPES, body_of(ALL_TYPES, every_value(3))).slice(1, 2)
    assert as_stored(ALL_TYPES, rows, {})["c_map"].to_pylist() == [[("t1", 1)], [("t2", 2)]]


def test_rows_the_server_makes() -> None:
    columns = {"time": [1, 2], "module": ["", "é"], "table": ["a", "b"], "reason": ["x", "y"], "rows": [1, 2**63 - 1]}
    rows = from_lists(LOSSES_TABLE, {**columns, "detail": ["", "d"]})
    rows.validate(full=True)
    assert rows["module"].to_pylist() == ["", "é"]
    assert rows["rows"].to_pylist() == [1, 2**63 - 1]


def test_pandas_is_not_imported() -> None:
    """Check that pandas is not imported: it would cost the first batch a second, and the server 50 MB permanently."""
    program = (
        "import sys\nimport numpy as np\nfrom quarterdeck.store.telemetry.batches import *\n"
        "from quarterdeck.store.telemetry.rows import *\nfrom tests.telemetry import *\n"
        "rows = joined([decode(ALL_TYPES, body_of(ALL_TYPES, every_value()))])\n"
        "ids = np.ones(2, np.uint32)\n"
        "tagged(as_stored(ALL_TYPES, kept(rows, times_ns(rows) > 0), {}), gids=ids, nids=ids, group=1)\n"
        "assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)})
