"""A full disk under the embedded store: writes raise `StorageFull`, queries work, and with free space writes do too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.disks import MB
from tests.faults.conftest import MakeDisk

REPOSITORY = Path(__file__).parents[2]

#: in a process of its own, because a process opens one store
PROGRAM = """
import sys, time
from pathlib import Path
import numpy as np
from msgspec.structs import replace
from quarterdeck.model.errors import StorageFull
from quarterdeck.model.tables import Column, ColumnType
from quarterdeck.store.telemetry.clickhouse import open_store
from quarterdeck.store.telemetry.batches import decode
from tests.telemetry import EXECS, execs

disk = Path(sys.argv[1])
store = open_store(path=disk / "chdb")
store.ensure(EXECS)
rows = decode(EXECS, execs(50_000))
ones = np.ones(50_000, np.uint32)
counted = "SELECT count() FROM quarterdeck.execs"

def insert(group):
    store.insert(EXECS, rows, gids=ones, nids=ones, group=group)

insert(1)
filler = disk / "filler"
with filler.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(65536))
    except OSError:
        pass
for group in (2, 3):
    try:
        insert(group)
        raise SystemExit("stored on a full disk")
    except StorageFull:
        assert not store.holds("execs", group)
assert store._rows(counted) == [[50_000]]
wider = replace(EXECS, columns=(*EXECS.columns, Column(name="more", type=ColumnType.UINT8)))
for table in (replace(EXECS, name="fresh"), wider):  # the engine would leave an empty definition, and not open again
    try:
        store.ensure(table)
        raise SystemExit("defined a table on a full disk")
    except StorageFull:
        pass
assert all(file.stat().st_size for file in disk.glob("chdb/**/*.sql"))
filler.unlink()
insert(4)
assert store._rows(counted) == [[100_000]]
store.close()
"""


def test_a_full_disk_is_said_and_passes(small_disk: MakeDisk, tmp_path: Path) -> None:
    disk = small_disk(tmp_path, 64 * MB)
    path = f"{REPOSITORY / 'src'}:{REPOSITORY}"
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(disk.folder)],
        cwd=REPOSITORY,
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
